//! A text → its language, where it is long enough to tell.

use whatlang::{Lang, Script};

/// Letters that a text in Latin or Cyrillic script must have, so that its language can be told.
const LETTERS: usize = 80;
/// Languages that no long text writes in ASCII alone: the detector takes lists of English questions for French.
const ACCENTED: [&str; 12] = ["fra", "cat", "por", "ron", "pol", "ces", "slk", "hun", "tur", "vie", "lit", "lav"];
/// Characters that are looked at.
const READ: usize = 500;

/// The language by ISO 639-3, such as `eng`; none where the text is too short, or nothing fits well.
pub(crate) fn language(text: &str) -> Option<&'static str> {
    let end = text.char_indices().nth(READ).map_or(text.len(), |(end, _)| end);
    let text = &text[..end];
    let info = whatlang::detect(text)?;
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    // A script of one language tells it in a few letters.
    let shared = matches!(info.script(), Script::Latin | Script::Cyrillic | Script::Arabic | Script::Devanagari | Script::Hebrew);
    let enough = if shared { LETTERS } else { LETTERS / 8 };
    let code = info.lang().code();
    let plausible = !(text.is_ascii() && ACCENTED.contains(&code));
    (letters >= enough && info.is_reliable() && plausible).then_some(code)
}

/// The English name of a language, such as `English`.
pub(crate) fn name(code: &str) -> &'static str {
    Lang::from_code(code).map_or("unknown", Lang::eng_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_has_no_language() {
        let english = "The rows of a data set should be in one language, unless the model is to learn several of them at once.";
        let german = "Die Zeilen eines Datensatzes sollten in einer Sprache sein, wenn das Modell nicht mehrere lernen soll.";
        assert_eq!((language(english), language(german)), (Some("eng"), Some("deu")));
        let french = "Les lignes d'un jeu de données devraient être dans une seule langue, sauf si le modèle en apprend plusieurs.";
        let questions = "what do we still not know about paper?\nwhat did people say about paper?\nwhat came before paper?\nwhat is paper?";
        assert_eq!((language(french), language(questions)), (Some("fra"), None));
        assert_eq!((language("Hello"), language("Was?"), language("")), (None, None, None));
        assert_eq!(language("これは日本語の文章です。モデルはこれを読みます。"), Some("jpn"));
    }
}
