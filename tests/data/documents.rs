//! A folder of Markdown, HTML and text → sections → rows, by template and by an asker that plays a script.

use std::fs;

use finetuning::documents::ask::Reason;
use finetuning::documents::overlap::{Support, rouge_l};
use finetuning::*;

use crate::support::{fixture, fresh_folder, grows_evenly, refused, time};

/// Words in place of a model's tokens.
fn words(text: &str) -> Result<usize> {
    Ok(text.split_whitespace().count())
}

fn sections(options: SectionOptions) -> Sections {
    Sections::read_with(fixture("documents"), &options, words).unwrap()
}

#[test]
fn a_folder_becomes_sections_below_their_headings() {
    let all = sections(SectionOptions::default().with_min_words(3));
    let found: Vec<(&str, String, Option<usize>)> =
        all.sections.iter().map(|section| (section.source_file.as_str(), section.path(), section.line)).collect();
    assert_eq!(
        found,
        [
            ("guide.md", "guide".to_string(), Some(4)),
            ("guide.md", "Lamp › Install".to_string(), Some(8)),
            ("guide.md", "Lamp › Install › On Linux".to_string(), Some(23)),
            ("guide.md", "Lamp › Colours".to_string(), Some(30)),
            ("guide.md", "Lamp › How do I switch it off?".to_string(), Some(42)),
            ("page.html", "Service".to_string(), Some(4)),
            ("page.html", "Service › What it costs".to_string(), Some(6)),
            ("sub/warranty.txt", "warranty".to_string(), Some(1)),
        ]
    );
    assert_eq!((all.too_short, all.other_files.as_slice()), (1, ["prices.csv".to_string()].as_slice()));
    let install = &all.sections[1].text;
    assert!(install.contains("```sh\n# this is no heading\nlamp install --all\n\nlamp check\n```\n\nThen start it."), "{install}");
    assert!(!install.contains("editor"), "{install}");
    assert!(all.sections[2].text.contains("> ## A quoted heading is no heading\n> It belongs"));
    assert!(all.sections[3].text.contains("| red | 1 |\n| blue | 2 |"));
    let [service, costs] = [5, 6].map(|index| all.sections[index].text.as_str());
    assert_eq!(service, "A lamp is **repaired** within *five days*. Ask `lamp help` or send it to our address.");
    assert!(costs.contains("- Repair: 20 euros\n- A new lamp: 45 euros"), "{costs}");
    assert!(costs.contains("```\n# price list\nlamp price --all\n\nlamp pay\n```\n\n# a paragraph that begins"), "{costs}");
    assert!(costs.lines().any(|line| line.split_whitespace().eq(["bulb", "2"])), "a table is lines of its cells: {costs}");
    assert_eq!(
        all.sections[7].text,
        "The warranty lasts two years from the day of purchase.\nKeep the bill.\n\nIt does not cover broken glass."
    );
    assert!(all.to_string().starts_with("8 sections of 3 files, 1 left out"), "{all}");
}

#[test]
fn no_section_is_longer_than_its_limit_and_no_word_is_lost() {
    let whole = sections(SectionOptions::default().with_min_words(0));
    for max in [40, 25, 12, 6, 3] {
        let cut = sections(SectionOptions::default().with_min_words(0).with_max_tokens(max));
        for section in &cut.sections {
            // A fence is a word by itself and cannot be cut.
            assert!(words(&section.text).unwrap() <= max, "{max}: {section:?}");
        }
        let letters = |all: &Sections| {
            let text: String = all.sections.iter().map(|section| section.text.replace("```sh", "").replace("```", "")).collect();
            text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>()
        };
        assert_eq!(letters(&cut), letters(&whole), "{max}");
    }
    // Code stays whole where it fits, though the section does not.
    let cut = sections(SectionOptions::default().with_max_tokens(20));
    let code = cut.sections.iter().find(|section| section.text.contains("lamp install")).unwrap();
    assert!(code.text.contains("```sh\n# this is no heading\nlamp install --all\n\nlamp check\n```"), "{code:?}");
    let parts: Vec<usize> = cut.sections.iter().filter(|section| section.path() == "Lamp › Install").map(|section| section.part).collect();
    assert!(parts.len() > 1 && parts == (0..parts.len()).collect::<Vec<_>>(), "{parts:?}");
}

#[test]
fn a_model_measures_in_its_tokens() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let all = Sections::read(fixture("documents"), &SectionOptions::default().with_max_tokens(24), &tokenizer).unwrap();
    let sizes: Vec<usize> = all.sections.iter().map(|section| tokenizer.encode(&section.text).unwrap().len()).collect();
    assert!(sizes.iter().all(|&size| size <= 24) && sizes.len() > 6, "{sizes:?}");
    let failing =
        |text: &str| if text.contains("Linux") { Err(Error::new(ErrorKind::Tokenizer, "no ids").hint("none")) } else { words(text) };
    refused(Sections::read_with(fixture("documents"), &SectionOptions::default(), failing), &["guide.md", "no ids"]);
}

#[test]
fn headings_become_questions_and_rows_say_where_they_come_from() {
    let all = sections(SectionOptions::default());
    let rows = all.to_rows().unwrap();
    assert_eq!(
        (rows.len(), rows.columns()),
        (all.sections.len(), ["question", "answer", "source_file", "section", "line", "generated"].map(String::from).to_vec())
    );
    let questions = rows.column("question").unwrap();
    assert!(questions.contains(&"What does the documentation say about On Linux?".to_string()), "{questions:?}");
    assert!(questions.contains(&"How do I switch it off?".to_string()), "{questions:?}");
    assert_eq!(rows.unique("generated").unwrap(), [serde_json::Value::Bool(false)]);
    let linux = rows.containing("section", "On Linux");
    assert_eq!((&linux.get(0).unwrap()["source_file"], linux.get(0).unwrap().text("line").unwrap()), ("guide.md", "23".into()));
    let own = all.to_rows_with(&PromptTemplate::new("{section} in {source_file}:")).unwrap();
    assert!(own.column("question").unwrap().contains(&"Lamp › Colours in guide.md:".to_string()));
    refused(all.to_rows_with(&PromptTemplate::new("{title}")), &["`{title}`", "no column"]);
    // They are rows as any other.
    assert_eq!(rows.detect().unwrap().shape, Shape::QuestionAnswer);
}

#[test]
fn written_rows_are_kept_when_their_section_supports_them() {
    let all = sections(SectionOptions::default());
    let template = all.to_rows().unwrap();
    let mut asked = Vec::new();
    let generated = all
        .ask(&AskOptions::default().with_count(2), Some(&template), |prompt| {
            asked.push(prompt.to_string());
            match asked.len() {
                1 => Ok("1. **Question:** How many lamps light the room?\n   **Answer:** Twelve lamps light the room.\n\nQ2: How many lamps light a room?\nA2: Twelve lamps light a room.\n".into()),
                2 => Ok("```json\n[{\"question\": \"How much disk does the program need?\", \"answer\": \"It needs 40 MB of disk.\"}, {\"question\": \"How long does the first start take?\", \"answer\": \"The first start takes 90 seconds.\"}]\n```".into()),
                3 => Ok("Question: Which package brings the service?\nAnswer: The package `lamp-linux` brings a service.\nQuestion: Who wrote it?\nAnswer: Alice Miller wrote everything in Berlin.\n".into()),
                4 => Err(Error::new(ErrorKind::Service, "busy").hint("wait")),
                5 => Ok("Question: How do I switch it off?\nAnswer: Press the button for three seconds.\nQuestion: Off?\nAnswer: Press the button for three seconds.".into()),
                _ => Ok("I cannot help with that.".into()),
            }
        })
        .unwrap();
    assert_eq!(asked.len(), all.sections.len());
    assert!(asked[1].contains("section \"Lamp › Install\"") && asked[1].contains("lamp check") && asked[1].contains("Write 2 questions"));
    let kept = generated.rows.column("question").unwrap();
    assert_eq!(kept, ["How many lamps light the room?", "How much disk does the program need?", "Which package brings the service?"]);
    assert_eq!(generated.rows.unique("generated").unwrap(), [serde_json::Value::Bool(true)]);
    assert_eq!(
        (&generated.rows.get(2).unwrap()["section"], generated.rows.get(2).unwrap().text("line").unwrap()),
        ("Lamp › Install › On Linux", "23".into())
    );
    let reasons: Vec<(usize, String)> = generated.refused.iter().map(|refused| (refused.section, refused.reason.to_string())).collect();
    let expected = [
        (0, "near duplicate of \"How many lamps light the room?\" (ROUGE-L 0.83)"),
        (1, "not supported by the section (support 0.80; it lacks: 90)"),
        (2, "not supported by the section"),
        (3, "the asker failed: busy"),
        (4, "near duplicate of \"How do I switch it off?\" (ROUGE-L 1.00)"),
        (4, "too short"),
        (5, "no question with an answer"),
    ];
    for (place, (section, reason)) in expected.into_iter().enumerate() {
        assert_eq!(reasons[place].0, section, "{reasons:?}");
        assert!(reasons[place].1.starts_with(reason), "{reason}: {reasons:?}");
    }
    let counts = generated.to_string();
    assert!(
        counts.starts_with("3 rows of ") && counts.contains("2 near duplicates, 2 not supported by their section, 1 too short"),
        "{counts}"
    );
    // Real and written rows stay two data sets until somebody joins them; the column tells them apart.
    let both = concatenate_datasets([&template, &generated.rows]).unwrap();
    assert_eq!(both.filter(|row| row.value("generated") == Some(&true.into())), generated.rows);
}

#[test]
fn bad_requests_and_askers_are_refused() {
    let all = sections(SectionOptions::default());
    let none = |_: &str| Err(Error::new(ErrorKind::Service, "the service is away").hint("start it"));
    refused(all.ask(&AskOptions::default(), None, none), &["every section", "the service is away"]);
    let stopped = |_: &str| Err(Error::interrupted("by hand"));
    assert_eq!(all.ask(&AskOptions::default(), None, stopped).unwrap_err().kind(), ErrorKind::Interrupted);
    let with = |options: AskOptions| all.ask(&options, None, |_| Ok(String::new()));
    refused(with(AskOptions::default().with_count(0)), &["count is 0"]);
    refused(with(AskOptions::default().with_max_similarity(0.0)), &["max_similarity is 0"]);
    refused(with(AskOptions::default().with_min_support(f64::NAN)), &["min_support is NaN"]);
    refused(with(AskOptions::default().with_template(PromptTemplate::new("{title}"))), &["`{title}`", "heading"]);
    assert!(matches!(with(AskOptions::default()).unwrap().refused[0].reason, Reason::NoPair));
    assert_eq!(AskOptions::default().with_min_words(9).min_words, 9);
}

#[test]
fn overlap_is_counted_in_words() {
    // By hand: 5 of 6 and 6 words in common, in order.
    assert!((rouge_l("How many lamps light the room?", "how many lamps light a room") - 10.0 / 12.0).abs() < 1e-12);
    assert!((rouge_l("a b c d", "d c b a") - 0.25).abs() < 1e-12);
    assert_eq!((rouge_l("", "a"), rouge_l("Same words", "same, WORDS!"), rouge_l("一二三", "一二四") > 0.6), (0.0, 1.0, true));
    let support = Support::of("The lamps need 40 MB and two keys.", "A lamp needs 40 MB of disk.");
    assert_eq!((support.score, support.missing.as_slice()), (0.6666666666666667, ["two", "key"].map(String::from).as_slice()));
    assert!(!support.invents_number() && Support::of("It takes 3 days", "It takes 5 days").invents_number());
    assert_eq!(Support::of("", "text").score, 0.0);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let read = |folder: &std::path::Path| Sections::read_with(folder, &SectionOptions::default(), words);
    let folder = fresh_folder();
    refused(read(&folder.join("none")), &["none"]);
    refused(read(&folder), &["holds no .md, .html or .txt"]);
    fs::write(folder.join("a.pdf"), "%PDF").unwrap();
    refused(read(&folder), &["only `a.pdf`", "pdftotext"]);
    fs::write(folder.join("b.TXT"), b"good \xff bad").unwrap();
    refused(read(&folder), &["b.TXT", "no UTF-8 text from byte 5"]);
    fs::write(folder.join("b.TXT"), "short").unwrap();
    refused(read(&folder), &["no section", "5 words"]);
    refused(Sections::read_with(&folder, &SectionOptions::default().with_max_tokens(0), words), &["max_tokens is 0"]);
    fs::write(folder.join("c.html"), "<div>".repeat(100_000)).unwrap();
    refused(read(&folder), &["c.html", "100000 deep"]);
    fs::write(folder.join("c.html"), format!("{}{}", "<ul><li>".repeat(1500), "The end of a long list of lists")).unwrap();
    assert!(read(&folder).unwrap().sections.iter().any(|section| section.text.ends_with("The end of a long list of lists")));
    fs::write(folder.join("c.html"), format!("<p>A page with a script is no deep page.</p><script>{}</script>", "a<b;".repeat(9000)))
        .unwrap();
    assert_eq!(read(&folder).unwrap().sections[0].text, "A page with a script is no deep page.");
    fs::remove_file(folder.join("c.html")).unwrap();
    fs::write(folder.join("d.md"), format!("{} deep quotes of many words", ">".repeat(100_000))).unwrap();
    read(&folder).unwrap();
    let single = folder.join("e.md");
    fs::write(&single, "\u{feff}# Title\r\n\r\nOne file alone is a folder, too.\r\n").unwrap();
    let alone = read(&single).unwrap();
    assert_eq!((alone.sections[0].source_file.as_str(), alone.sections[0].heading(), alone.sections[0].line), ("e.md", "Title", Some(1)));
}

#[test]
fn a_page_takes_no_more_than_its_length() {
    let words_of = "some words stand here for all";
    let heading =
        |count: usize, title: &str| (0..count).map(|row| format!("<h1>{title} {row}</h1>\n<p>{words_of}</p>\n")).collect::<String>();
    type Page<'a> = &'a dyn Fn(usize) -> String;
    let pages: [(&str, usize, Page<'_>); 6] = [
        ("a.html", 50, &|count| heading(count, "Title")),
        // Titles that are not found in the source.
        ("a.html", 50, &|count| heading(count, "&#65;b")),
        ("a.html", 1000, &|count| format!("<p>{words_of}</p>{}", "<a".repeat(count))),
        ("a.html", 1000, &|count| format!("<p>{words_of}</p>{}", "<h1".repeat(count))),
        ("a.md", 50, &|count| (0..count).map(|row| format!("# Title {row}\n\n{words_of}\n\n")).collect()),
        ("a.md", 50, &|count| (0..count).map(|row| format!("paragraph {row}: {words_of}\n\n")).collect()),
    ];
    // No section is cut, as for a model with a long context.
    let options = SectionOptions::default().with_max_tokens(1 << 30);
    for (name, small, page) in pages {
        grows_evenly(name, small, |count| {
            let folder = fresh_folder();
            fs::write(folder.join(name), page(count)).unwrap();
            // A page that is nothing but beginnings is refused.
            time(|| Sections::read_with(&folder, &options, words).map(drop).map_err(drop))
        });
    }
}

#[test]
fn pieces_are_those_of_their_exact_size() {
    // A measure by which a whole is smaller than its parts together: each text begins with a token of its own.
    let size = |text: &str| Ok(1 + text.split_whitespace().count());
    let folder = fresh_folder();
    fs::write(folder.join("a.txt"), (0..40).map(|row| format!("{}\n\n", "word ".repeat(1 + row % 7))).collect::<String>()).unwrap();
    for most in [8, 9, 20, 50] {
        let options = SectionOptions::default().with_max_tokens(most).with_min_words(1);
        let all = Sections::read_with(&folder, &options, size).unwrap();
        let sizes: Vec<usize> = all.sections.iter().map(|section| size(&section.text).unwrap()).collect();
        assert!(sizes.iter().all(|own| *own <= most), "{most}: {sizes:?}");
        // No piece could have taken the next one's first paragraph as well.
        let firsts = all.sections.iter().skip(1).map(|section| section.text.split("\n\n").next().unwrap().split_whitespace().count());
        assert!(sizes.iter().zip(firsts).all(|(own, first)| own + first > most), "{most}: {sizes:?}");
    }
}
