//! A published chat template that does not mark what the assistant says → the same with marks, as TRL writes them.
//!
//! Only of templates in which the text that asks for a turn does not show what TRL counts as said: headers with a channel or a
//! recipient, and signs of the next speaker by which a model stops.

/// A template, and what is written otherwise in it.
struct Published {
    name: &'static str,
    /// What all its versions hold.
    known_by: &'static str,
    /// What stands in it once, and what stands there with marks.
    changes: &'static [(&'static str, &'static str)],
}

const PUBLISHED: [Published; 3] = [
    Published {
        name: "gpt-oss",
        known_by: "<|start|>assistant<|channel|>",
        changes: &[
            (r#"{%- if "tool_calls" in message %}"#, r#"{%- generation %}{%- if "tool_calls" in message %}"#),
            (
                "{%- set last_tool_call.name = none %}\n        {%- endif %}",
                "{%- set last_tool_call.name = none %}\n        {%- endif %}{%- endgeneration %}",
            ),
        ],
    },
    Published {
        name: "Muse Glimmer",
        known_by: "<|start|>assistant to=self<|message|>",
        changes: &[
            ("{%- if message.get('reasoning_content') -%}", "{%- generation %}{%- if message.get('reasoning_content') -%}"),
            (
                "{{- ('<|eot|>' if end_turn else '<|eom|>') -}}\n        {%- endif -%}",
                "{{- ('<|eot|>' if end_turn else '<|eom|>') -}}\n        {%- endif -%}{%- endgeneration %}",
            ),
        ],
    },
    // The sign of the next speaker is what the model stops with: it is the assistant's, and written once.
    Published {
        name: "GLM 4",
        known_by: "[gMASK]<sop>",
        changes: &[
            (
                "<|user|>\n{{ visible_text(m.content) }}",
                "{%- if loop.first or messages[loop.index0 - 1].role != 'assistant' -%}<|user|>{%- endif -%}\n{{ '\\n' + visible_text(m.content) }}",
            ),
            (
                "{%- if loop.index0 > ns.last_user_index and reasoning_content -%}",
                "{% generation %}\n{%- if loop.index0 > ns.last_user_index and reasoning_content -%}",
            ),
            (
                "</tool_call>{% endfor %}\n{% endif %}\n{%- elif m.role == 'tool' -%}",
                "</tool_call>{% endfor %}<|observation|>\n{%- elif loop.last -%}\n{{- '<|user|>' }}\n\
                 {%- elif messages[loop.index0 + 1].role == 'system' -%}\n{{- '<|system|>' }}\n{%- else -%}\n{{- '<|user|>' }}\n{%- endif %}\n\
                 {% endgeneration %}\n{%- elif m.role == 'tool' -%}",
            ),
            ("{%- if loop.first or (messages[loop.index0 - 1].role != \"tool\") %}\n    {{- '<|observation|>' }}\n{%- endif %}\n", ""),
            (
                "<|observation|>{% for tr in m.content %}",
                "{{- '<|observation|>' if loop.first or messages[loop.index0 - 1].role != 'assistant' }}{% for tr in m.content %}",
            ),
            (
                "<|system|>\n{{ visible_text(m.content) }}",
                "{%- if loop.first or messages[loop.index0 - 1].role != 'assistant' -%}<|system|>{%- endif -%}\n{{ '\\n' + visible_text(m.content) }}",
            ),
        ],
    },
];

/// What is known of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Nothing, or that none are needed.
    Unknown,
    /// The template with marks.
    Written(String),
    /// It is one of these in another version.
    Otherwise(&'static str),
}

/// Writes marks into a template that is known.
pub(crate) fn marks(template: &str) -> Marks {
    let Some(known) = PUBLISHED.iter().find(|known| template.contains(known.known_by)) else { return Marks::Unknown };
    let mut marked = template.to_string();
    for (own, with_marks) in known.changes {
        if marked.matches(own).count() != 1 {
            return Marks::Otherwise(known.name);
        }
        marked = marked.replace(own, with_marks);
    }
    Marks::Written(marked)
}
