//! Hides the names of the labels in texts, so that the answer does not stand in the question.

/// What stands in place of a name.
const HIDDEN: &str = "crate";

/// Names to hide, made once for many texts.
pub struct Mask {
    /// Whole names without `-` and `_`, lower case: hidden where a word contains them.
    names: Vec<String>,
    /// First parts and short names: hidden where a part of a word is one.
    parts: Vec<String>,
}

impl Mask {
    /// For these labels. Of a name in several parts, the first part hides too: `clap_builder`, `clap`.
    pub fn new(labels: &[String]) -> Self {
        let (mut names, mut parts) = (Vec::new(), Vec::new());
        for label in labels {
            let whole = squeeze(label);
            let first = label.split(['-', '_', '/', '.']).next().unwrap_or_default().to_lowercase();
            for name in [whole, first] {
                // A short name is part of many words that have nothing to do with it.
                if name.chars().count() >= 4 {
                    names.push(name)
                } else if !name.is_empty() {
                    parts.push(name)
                }
            }
        }
        Self { names, parts }
    }

    /// The text with every word hidden that names a label.
    pub fn hide(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut word = String::new();
        for c in text.chars() {
            if c.is_alphanumeric() || c == '_' || c == '-' {
                word.push(c);
            } else {
                self.end(&mut word, &mut out);
                out.push(c);
            }
        }
        self.end(&mut word, &mut out);
        out
    }

    fn end(&self, word: &mut String, out: &mut String) {
        out.push_str(if self.names_a_label(word) { HIDDEN } else { word });
        word.clear();
    }

    fn names_a_label(&self, word: &str) -> bool {
        if word.is_empty() {
            return false;
        }
        let squeezed = squeeze(word);
        self.names.iter().any(|n| squeezed.contains(n.as_str()))
            || self.parts.iter().any(|p| parts(word).any(|found| found == *p))
    }
}

fn squeeze(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Parts of an identifier: `ZipArchive` → zip, archive; `to_zip` → to, zip.
fn parts(word: &str) -> impl Iterator<Item = String> {
    let mut out = vec![String::new()];
    let mut lower_before = false;
    for c in word.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && lower_before) {
            out.push(String::new());
        }
        if c != '_' && c != '-' {
            out.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    out.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_spelling_are_hidden() {
        let labels = ["regex-automata", "zip", "clap_builder", "nom", "rayon"].map(str::to_owned);
        let mask = Mask::new(&labels);
        let cases = [
            ("use regex_automata::dfa with rayon.", "use crate::dfa with crate."),
            ("A RegexBuilder or a ZipArchive", "A crate or a crate"),
            ("Clap's builder, to_zip() and zipped", "crate's builder, crate() and zipped"),
            ("nominal economy of nom-like parsers", "nominal economy of crate parsers"),
            ("the automata stay", "the automata stay"),
        ];
        for (text, hidden) in cases {
            assert_eq!(mask.hide(text), hidden);
        }
    }
}
