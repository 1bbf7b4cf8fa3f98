//! Messages → the text that a chat model reads: the checkpoint's chat template, rendered as transformers renders it.
//!
//! The template is `chat_template` of `tokenizer_config.json`, or `chat_template.jinja`.

use minijinja::context;
use minijinja::value::Value;
use serde_json::{Map, Value as Json};

use crate::border::{file, limits};
use crate::data::example::short;
use crate::data::message::{Message, ROLES};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::jinja::{Jinja, from_json, readable};
use crate::tokenizer::text::Tokenizer;
use crate::util::names::quoted;

/// What a chat template is given besides the messages.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ChatOptions {
    /// End the text where the assistant speaks next. Default false.
    pub add_generation_prompt: bool,
    /// The tools that the assistant may call: a list of JSON schemas, as OpenAI writes them, or that list as text. Default null:
    /// none.
    pub tools: Json,
    /// Other variables of the template, such as `enable_thinking` of Qwen3.
    pub variables: Map<String, Json>,
}

impl ChatOptions {
    /// The defaults: a finished conversation without tools.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another [`ChatOptions::add_generation_prompt`].
    pub fn with_generation_prompt(mut self, add_generation_prompt: bool) -> Self {
        self.add_generation_prompt = add_generation_prompt;
        self
    }

    /// With other [`ChatOptions::tools`].
    pub fn with_tools(mut self, tools: impl Into<Json>) -> Self {
        self.tools = tools.into();
        self
    }

    /// With one more of [`ChatOptions::variables`].
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

impl Tokenizer {
    /// The text of a conversation in the model's own format; `add_generation_prompt` ends it where the assistant speaks next.
    /// The text holds the special tokens that the template writes; [`Tokenizer::encode`] and [`Tokenizer::encode_prompt`] read
    /// them as such and add no second begin-of-sequence token.
    ///
    /// Equal to `tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=…)` of transformers.
    ///
    /// # Errors
    /// As [`Tokenizer::apply_chat_template_with`].
    pub fn apply_chat_template(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.apply_chat_template_with(messages, &ChatOptions { add_generation_prompt, ..Default::default() })
    }

    /// [`Tokenizer::apply_chat_template`] with tools and other variables of the template. Of several templates the one named
    /// `tool_use` is taken where there are tools, else `default`.
    ///
    /// # Errors
    /// When the checkpoint has no template, a role is none of [`ROLES`], there is no message, the tools are no list, or the
    /// template fails or refuses the conversation; then with the line of the template.
    pub fn apply_chat_template_with(&self, messages: &[Message], options: &ChatOptions) -> Result<String> {
        let template = self.chat_template(!options.tools.is_null())?;
        check(messages)?;
        let source = readable(&template);
        let text = Jinja::new(&source, false).and_then(|template| template.render(self.template_values(messages, options)?));
        text.map(|(text, _)| text).map_err(|error| self.in_template(error))
    }

    /// What a template can name.
    ///
    /// # Errors
    /// When the tools are no list.
    pub(crate) fn template_values(&self, messages: &[Message], options: &ChatOptions) -> Result<Value> {
        let messages: Vec<Value> = messages.iter().map(|message| from_json(&fields(message).into())).collect();
        let special = self.special_tokens().iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str())));
        let others = options.variables.iter().map(|(name, value)| (name.as_str(), from_json(value)));
        let own = context! {
            messages,
            add_generation_prompt => options.add_generation_prompt,
            tools => from_json(&list_of_tools(&options.tools)?),
            documents => (),
        };
        Ok(context! { ..own, ..Value::from_pairs(others), ..Value::from_pairs(special) })
    }

    /// An error of the chat template, with its place.
    pub(crate) fn in_template(&self, error: Error) -> Error {
        error.at(format_args!("chat template of `{}`", self.folder().display()))
    }

    /// Whether the checkpoint brings a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.chat_template(false).is_ok()
    }

    /// The text by which a model is asked: the conversation in the model's own format, ended where the assistant speaks next. A
    /// checkpoint without a chat template is asked by the bare contents, a paragraph each.
    ///
    /// # Errors
    /// As [`Tokenizer::apply_chat_template`]; a template that is there and does not work is an error, too.
    pub fn prompt(&self, messages: &[Message]) -> Result<String> {
        if self.brings_chat_template() {
            return self.apply_chat_template(messages, true);
        }
        check(messages)?;
        Ok(messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n"))
    }

    /// The ids of what [`Tokenizer::prompt`] gave: a chat template writes all that stands before a text itself, as in transformers.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(crate) fn encode_asked(&self, prompt: &str) -> Result<Vec<u32>> {
        if self.brings_chat_template() { self.encode(prompt) } else { self.encode_prompt(prompt) }
    }

    /// Whether there is any template, also one that cannot be chosen or does not work.
    pub(crate) fn brings_chat_template(&self) -> bool {
        self.folder().join("chat_template.jinja").exists() || !self.configuration()["chat_template"].is_null()
    }

    /// The template: of `chat_template.jinja`, else of `tokenizer_config.json`, there the one named `default` of several, or
    /// `tool_use` for `tools`.
    pub(crate) fn chat_template(&self, tools: bool) -> Result<String> {
        let own = &self.configuration()["chat_template"];
        if let Some(bytes) = file::read_if_there(&self.folder().join("chat_template.jinja"), limits::TEMPLATE)? {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let named = own.as_array().into_iter().flatten();
        let of_name = |name: &str| named.clone().find(|template| template["name"] == name).map(|template| &template["template"]);
        let default = tools.then(|| of_name("tool_use")).flatten().or_else(|| of_name("default"));
        if let Some(template) = own.as_str().or(default.and_then(|template| template.as_str())) {
            return Ok(template.to_string());
        }
        let place = self.folder().display();
        let names: Vec<String> = named.filter_map(|template| template["name"].as_str()).map(String::from).collect();
        Err(match names.is_empty() {
            true => Error::new(ErrorKind::Tokenizer, format!("the tokenizer of `{place}` has no chat template")).hint(
                "use an instruct or chat model, write your own as chat_template.jinja beside tokenizer.json, or ask with a plain prompt",
            ),
            false => {
                Error::new(ErrorKind::Tokenizer, format!("the tokenizer of `{place}` has templates {}, none `default`", quoted(&names)))
                    .hint("write the one to use as chat_template.jinja beside tokenizer.json")
            }
        })
    }
}

/// Refuses what no template could render.
///
/// # Errors
/// When there is no message, or a role is none of [`ROLES`].
pub(crate) fn check(messages: &[Message]) -> Result<()> {
    if messages.is_empty() {
        return Err(Error::new(ErrorKind::Tokenizer, "the conversation has no message")
            .hint("give at least one, such as `Message::user(\"Hello\")`"));
    }
    match messages.iter().enumerate().find(|(_, message)| !ROLES.contains(&message.role.as_str())) {
        Some((index, message)) => {
            let known = quoted(&ROLES.map(String::from));
            Err(Error::new(ErrorKind::Tokenizer, format!("message {index}: role `{}` is none of {known}", message.role))
                .hint("use `Message::system`, `Message::user` or `Message::assistant`"))
        }
        None => Ok(()),
    }
}

/// The names under which the files have what a model thought before it answered; templates read the first.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A message as templates see it: without fields that are null, and what was thought under both names that they know.
fn fields(message: &Message) -> Map<String, Json> {
    let own = [("role", &message.role), ("content", &message.content)].map(|(name, text)| (name.to_string(), Json::from(text.as_str())));
    let more = message.more.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone()));
    let mut fields: Map<String, Json> = own.into_iter().chain(more).collect();
    if let Some(thought) = REASONING.iter().find_map(|name| fields.get(*name)).cloned() {
        fields.entry("thinking").or_insert_with(|| thought.clone());
        fields.insert(REASONING[0].into(), thought);
    }
    fields
}

/// Tools as templates read them; a list may be written as text, as data sets with fixed columns do.
fn list_of_tools(tools: &Json) -> Result<Json> {
    let read = match tools {
        Json::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    match read {
        Json::Array(_) => Ok(read),
        Json::Null if tools.is_null() || *tools == "null" => Ok(Json::Null),
        _ => Err(Error::new(ErrorKind::Tokenizer, format!("tools are no list: {}", short(tools)))
            .hint("write [{\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": …}}], as JSON or as its text")),
    }
}
