//! Names of columns: the nearest to one misspelt, and guesses where the user named none.

/// The most similar of `known`, when it is similar enough to be what was meant.
pub(crate) fn nearest(wanted: &str, known: &[String]) -> Option<String> {
    let wanted = wanted.to_lowercase();
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&wanted, &k.to_lowercase()), k))
        .filter(|(score, _)| *score >= 0.75)
        // On a tie the first column wins, so that the answer is always the same.
        .fold(None, |best: Option<(f64, &String)>, new| match best {
            Some(b) if b.0 >= new.0 => Some(b),
            _ => Some(new),
        })
        .map(|(_, k)| k.clone())
}

/// Usual names of a text column, best first.
const TEXT: &[&str] = &[
    "text",
    "content",
    "body",
    "sentence",
    "document",
    "article",
    "paragraph",
    "passage",
    "review",
    "message",
    "abstract",
    "description",
    "comment",
    "question",
    "title",
    "tweet",
    "email",
];

/// Usual names of a label column, best first.
const LABEL: &[&str] =
    &["label", "labels", "class", "category", "target", "label_text", "topic", "tag", "score", "sentiment", "y"];

/// Usual keys of a list of tokens, best first.
const TOKENS: &[&str] = &["tokens", "words"];

/// Usual keys of a list with a tag for each token, best first.
const TAGS: &[&str] = &["tags", "ner_tags", "labels"];

/// The text column among `columns`, `except` not counted: a usual name, else the only one there is.
pub(crate) fn guess_text(columns: &[String], except: Option<&str>) -> Option<usize> {
    let free = |i: &usize| Some(columns[*i].as_str()) != except;
    if let Some(i) = usual(columns, TEXT, except) {
        return Some(i);
    }
    let mut rest = (0..columns.len()).filter(free);
    match (rest.next(), rest.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The label column among `columns`, by a usual name.
pub(crate) fn guess_label(columns: &[String]) -> Option<usize> {
    usual(columns, LABEL, None)
}

/// The key of the tokens among `keys`, by a usual name.
pub(crate) fn guess_tokens(keys: &[String]) -> Option<usize> {
    usual(keys, TOKENS, None)
}

/// The key of the tags among `keys`, by a usual name.
pub(crate) fn guess_tags(keys: &[String]) -> Option<usize> {
    usual(keys, TAGS, None)
}

fn usual(columns: &[String], names: &[&str], except: Option<&str>) -> Option<usize> {
    names
        .iter()
        .find_map(|n| columns.iter().position(|c| c.trim().eq_ignore_ascii_case(n) && Some(c.as_str()) != except))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn nearest_finds_a_slip_and_nothing_else() {
        let known = columns(&["label", "text", "title"]);
        assert_eq!(nearest("lable", &known).as_deref(), Some("label"));
        assert_eq!(nearest("Text", &known).as_deref(), Some("text"));
        assert_eq!(nearest("zzz", &known), None);
    }

    #[test]
    fn text_is_guessed_by_name_then_by_being_alone() {
        assert_eq!(guess_text(&columns(&["id", "Body", "text"]), None), Some(2));
        assert_eq!(guess_text(&columns(&["id", "CONTENT"]), None), Some(1));
        assert_eq!(guess_text(&columns(&["x", "label"]), Some("label")), Some(0));
        assert_eq!(guess_text(&columns(&["x", "z"]), None), None);
        assert_eq!(guess_text(&columns(&["text"]), Some("text")), None);
    }

    #[test]
    fn label_is_guessed_by_name() {
        assert_eq!(guess_label(&columns(&["text", "Category"])), Some(1));
        assert_eq!(guess_label(&columns(&["text", "other"])), None);
    }
}
