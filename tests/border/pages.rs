//! Pages, argument files and adapters that somebody made to stop the reader: each is read or refused, within its length in time.

use std::cell::Cell;
use std::fs;

use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fresh_folder, refused};

#[test]
fn hostile_pages_are_read_or_refused() {
    let w = "some words stand here for all";
    let n = 20_000;
    let rep = |piece: &str| piece.repeat(n / piece.len());
    let pages: [(&str, &str, String); 78] = [
        ("md", "quotes", rep("> ")),
        ("md", "brackets", rep("[")),
        ("md", "brackets2", rep("![")),
        ("md", "links", rep("[a](")),
        ("md", "linksopen", rep("[a](<b")),
        ("md", "stars", rep("*a_ ")),
        ("md", "stars2", rep("a**b")),
        ("md", "under", rep("_a__b")),
        ("md", "ticks", (1..).map(|k| "`".repeat(k % 600 + 1) + " ").take(n / 300).collect()),
        ("md", "html", rep("<a ")),
        ("md", "htmlc", rep("<!--")),
        ("md", "cdata", rep("<![CDATA[")),
        ("md", "pi", rep("<?")),
        ("md", "decl", rep("<!A ")),
        ("md", "lists", (0..2000).map(|k| " ".repeat(2 * (k % 500)) + "- a\n").collect()),
        ("md", "lists1", rep("- ")),
        ("md", "nums", rep("1. ")),
        ("md", "table", format!("|{}\n|{}\n{}", rep("a|"), rep("-|"), "|x\n".repeat(1000))),
        ("md", "refs", (0..n / 12).map(|k| format!("[a{k}]: b\n")).collect::<String>() + &rep("[a1]")),
        ("md", "foot", (0..n / 12).map(|k| format!("[^{k}]: b\n")).collect::<String>() + &rep("[^1]")),
        ("md", "nul", rep("\0a ")),
        ("md", "line", rep("a")),
        ("md", "lineword", rep("a b ")),
        ("md", "emph", rep("*")),
        ("md", "entities", rep("&a")),
        ("md", "esc", rep("\\")),
        ("md", "strike", rep("~a~~")),
        ("md", "setext", rep("a\n=\n")),
        ("md", "headings", rep("# a\n")),
        ("md", "attrs", format!("# a {{{}", rep("#a "))),
        ("md", "meta", format!("---\n{}", rep("a: b\n"))),
        ("txt", "nul", rep("\0")),
        ("txt", "line", rep("a")),
        ("txt", "spaces", rep(" ") + w),
        ("txt", "sentences", rep("A. ")),
        ("txt", "combining", rep("e\u{301}")),
        ("txt", "zwj", rep("\u{1f468}\u{200d}")),
        ("txt", "bidi", rep("\u{202e}a")),
        ("txt", "breaks", rep("\u{2028}")),
        ("html", "attr", format!("<p>{w}</p><a href=\"{}\">{w}</a>", rep("a"))),
        ("html", "attropen", format!("<p>{w}</p><a href=\"{}", rep("a"))),
        ("html", "attrs", format!("<p>{w}</p><a {}>{w}</a>", (0..n / 8).map(|k| format!("a{k}=b ")).collect::<String>())),
        ("html", "attrsame", format!("<p>{w}</p><a {}>{w}</a>", rep("a=b "))),
        ("html", "nul", format!("<p>{w}</p>{}", rep("\0"))),
        ("html", "line", format!("<p>{}</p>", rep("a"))),
        ("html", "words", format!("<p>{}</p>", rep("ab "))),
        ("html", "p", format!("{}{w}", rep("<p>"))),
        ("html", "li", format!("<ul>{}{w}", rep("<li>"))),
        ("html", "td", format!("<table><tr>{}{w}", rep("<td>"))),
        ("html", "tdx", format!("<table><tr>{}{w}", rep("<td>a"))),
        ("html", "tr", format!("<table>{}{w}", rep("<tr><td>a"))),
        (
            "html",
            "colspan",
            format!("<table>{}</table><p>{w}</p>", "<tr><td colspan=100000 rowspan=60000>a</td><td>b</td></tr>".repeat(50)),
        ),
        ("html", "dd", format!("<dl>{}{w}", rep("<dd>"))),
        ("html", "fmt", format!("<p>{w}</p>{}", rep("<b></p><p>"))),
        ("html", "fmt2", format!("<p>{w}</p>{}", rep("<a><p></a>"))),
        ("html", "fmt3", format!("<p>{w}</p>{}", (0..n / 30).map(|k| format!("<font size={k}><p>a")).collect::<String>())),
        ("html", "foster", format!("<p>{w}</p><table>{}", rep("a<b>"))),
        ("html", "close", format!("<p>{w}</p>{}", rep("</p>"))),
        ("html", "closes", format!("<p>{w}</p>{}{}", "<div>".repeat(1900), rep("</x>"))),
        ("html", "entity", format!("<p>{w}</p><p>{}</p>", rep("&amp"))),
        ("html", "entity2", format!("<p>{w}</p><p>{}</p>", rep("&#x0"))),
        ("html", "comment", format!("<p>{w}</p>{}", rep("<!--"))),
        ("html", "comment2", format!("<p>{w}</p>{}", rep("<!-- -->"))),
        ("html", "script", format!("<p>{w}</p>{}", rep("<script>"))),
        ("html", "textarea", format!("<p>{w}</p>{}", rep("<textarea>"))),
        ("html", "svg", format!("<p>{w}</p>{}", rep("<svg></svg>"))),
        ("html", "select", format!("<p>{w}</p>{}", rep("<select><option>"))),
        ("html", "template", format!("<p>{w}</p>{}", "<template>".repeat(1900))),
        ("html", "olstart", format!("<ol start=9223372036854775807>{}</ol>", "<li>some words stand here for all".repeat(50))),
        ("html", "imgs", format!("<p>{w}</p>{}", rep("<img alt=a>"))),
        ("html", "css", format!("<style>{}</style><p style=\"{}\">{w}</p>", rep("a{b:c}"), rep("a:b;"))),
        ("html", "sup", format!("<p>{w}</p>{}", rep("<sup>1</sup>"))),
        ("html", "nest", format!("{}{w}", "<blockquote>".repeat(1900))),
        ("html", "nesttable", format!("{}{w}", "<table><tr><td>".repeat(1900))),
        ("html", "nestol", format!("{}{w}", "<ol><li>".repeat(1900))),
        ("html", "nesthead", format!("{}{w}", "<h1>".repeat(1900))),
        ("html", "nestpre", format!("{}{w}", "<pre>".repeat(1900))),
        ("html", "nestspan", format!("{}{w}", "<span>".repeat(1900))),
    ];
    let (mut read, folder) = (0, fresh_folder());
    for (suffix, name, page) in pages {
        let file = folder.join(format!("{name}.{suffix}"));
        fs::write(&file, page).unwrap();
        match Sections::read_with(&file, &SectionOptions::default(), |text| Ok(text.split_whitespace().count())) {
            Ok(sections) => read += usize::from(!sections.sections.is_empty()),
            Err(error) => assert!(error.to_string().contains("hint: ") && error.to_string().len() < 1000, "{name}: {error}"),
        }
    }
    assert!(read > 40, "{read} were read");
    // What is larger than any page is refused before it is read.
    for text in ["a".repeat(50 << 20), format!("<p>{w}</p><a href=\"{}\">{w}</a>", "a".repeat(100 << 20))] {
        let file = folder.join("large.html");
        fs::write(&file, text).unwrap();
        refused(Sections::read_with(&file, &SectionOptions::default(), |_| Ok(1)), &["large.html", "larger than 16 MB"]);
    }
}

/// A file's sections, and how many bytes were measured for them.
fn measured(text: &str) -> (Sections, usize) {
    let (file, bytes) = (fresh_folder().join("a.txt"), Cell::new(0));
    fs::write(&file, text).unwrap();
    let size = |text: &str| {
        bytes.set(bytes.get() + text.len());
        Ok(text.len())
    };
    (Sections::read_with(&file, &SectionOptions::default().with_max_tokens(64).with_min_words(1), size).unwrap(), bytes.get())
}

#[test]
fn a_line_without_an_end_is_measured_in_pieces() {
    for piece in ["a", "_a__b", "some words ", "é\u{301}", "A sentence. "] {
        let text = |count: usize| piece.repeat(count / piece.len());
        let (small, large) = (measured(&text(2_000)).1, measured(&text(32_000)).1);
        assert!(large < 24 * small, "{piece:?}: {small} bytes are measured for 2,000, {large} for 32,000");
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        let (sections, _) = measured(&text(32_000));
        let all: String = sections.sections.iter().map(|section| letters(&section.text)).collect();
        assert!(all == letters(&text(32_000)), "{piece:?}: something is lost");
        assert!(sections.sections.iter().all(|section| section.text.len() <= 64 && !section.text.is_empty()), "{piece:?}");
    }
}

#[test]
fn argument_files_are_refused_in_few_words() {
    let path = fresh_folder().join("training_args.json");
    let load = |text: String| {
        fs::write(&path, text).unwrap();
        TrainingArguments::load(&path)
    };
    let long = "a".repeat(900_000);
    for text in [
        "[".repeat(100_000),
        format!("{{\"optim\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        format!("{{\"optim\": {}1{}}}", "[".repeat(50), "]".repeat(50)),
        format!("{{\"{long}\": 1}}"),
        format!("{{\"optim\": \"{long}\"}}"),
        format!("{{\"learning_rate\": \"{long}\"}}"),
        format!("{{\"output_dir\": [\"{long}\"]}}"),
        format!("{{\"optim\0\": \"{long}\"}}"),
        "{\"learning_rate\": 1\0}".into(),
        "{\"warmup_steps\": -5}".into(),
        "{\"warmup_steps\": 1e300}".into(),
        "{\"max_steps\": 1e300}".into(),
        "{\"seed\": -1}".into(),
        "{\"num_train_epochs\": {}}".into(),
        "{\"num_train_epochs\": 1e999}".into(),
        "{\"learning_rate\": 1e-5, \"learning_rate\": 1}".into(),
        String::new(),
        "\u{feff}{".into(),
    ] {
        let error = load(text.clone()).map(|_| ()).expect_err(&text[..text.len().min(80)]).to_string();
        assert!(error.contains("training_args.json") && error.contains("hint: "), "{error}");
        assert!(error.len() < 1500, "{} bytes: {}", error.len(), &error[..300]);
    }
    // A file of one line that no settings need.
    refused(load(format!("{{\"output_dir\": \"{}\"}}", "a".repeat(50 << 20))), &["training_args.json", "a configuration may have 4194304"]);
}

#[test]
fn adapters_name_their_layers() {
    let folder = fresh_folder();
    let base = crate::support::tiny_model(7);
    base.with_lora(&LoraConfig::default()).unwrap().save_adapter(&folder).unwrap();
    let path = folder.join("adapter_config.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let with = |targets: Value| {
        let mut config = good.clone();
        config["target_modules"] = targets;
        fs::write(&path, config.to_string()).unwrap();
        base.load_adapter(&folder)
    };
    with(good["target_modules"].clone()).unwrap();
    for wrong in
        [json!(7), json!(null), json!([["dense"]]), json!(["dense", 3]), json!([]), json!(""), json!([""]), json!({ "a": 1 }), json!(true)]
    {
        refused(with(wrong.clone()), &["adapter_config.json", &format!("target_modules is {wrong}"), "a list of names"]);
    }
    for wrong in [json!("a".repeat(100_000)), json!("(".repeat(10_000)), json!("(a*)*b"), json!("dense\0")] {
        let error = with(wrong).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("target_modules") && error.len() < 2000, "{} bytes: {}", error.len(), &error[..300]);
    }
}

#[test]
fn a_tag_has_so_many_attributes() {
    let file = fresh_folder().join("a.html");
    let read = |page: String| {
        fs::write(&file, page).unwrap();
        Sections::read_with(&file, &SectionOptions::default(), |text| Ok(text.split_whitespace().count()))
    };
    let (names, text) = (
        |count: usize, of: &str| (0..count).map(|row| of.replace('#', &row.to_string())).collect::<String>(),
        "five words stand right here",
    );
    for of in ["a# ", "a#=b ", "a#=\"b > c\" ", "a#='<p>' ", "a#/", "<p a#=b ", "a# = b\n", "=#= "] {
        let page = |count: usize| format!("<p {}>{text}</p>", names(count, of));
        assert_eq!(read(page(400)).unwrap().sections[0].text, text, "{of}");
        refused(read(page(100_000)), &["a.html", "attributes; 1000 are read"]);
    }
    // Words of one value are no attributes, however many.
    assert_eq!(read(format!("<p class=\"{}\">{text}</p>", "a ".repeat(100_000))).unwrap().sections[0].text, text);
}
