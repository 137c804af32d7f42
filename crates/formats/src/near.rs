//! "Did you mean": the nearest of some names.

/// Names less alike than this are no suggestion.
const ALIKE: f64 = 0.6;

/// The candidate most like `wanted`, the first of equals, if any is alike enough. A candidate that
/// has `wanted` as its end (or the other way round), as a tensor with another prefix has, is
/// preferred to one that differs in the middle.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut best_score = ALIKE;
    for candidate in candidates {
        let mut score = strsim::normalized_damerau_levenshtein(wanted, candidate);
        if candidate.ends_with(wanted) || wanted.ends_with(candidate) {
            score += 1.0;
        }
        if score > best_score {
            best = Some(candidate);
            best_score = score;
        }
    }
    best
}

/// "`a`, `b`, `c` and 4 more": the first few of a list.
pub(crate) fn few<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{}`", n.as_ref())).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_found_and_a_stranger_is_not() {
        let keys = ["hidden_size", "num_hidden_layers", "vocab_size"];
        assert_eq!(nearest("hiden_size", keys), Some("hidden_size"));
        assert_eq!(nearest("dropout", keys), None);
    }

    #[test]
    fn the_same_name_under_a_prefix_wins() {
        let names = ["layer.1.bias", "bert.layer.0.bias"];
        assert_eq!(nearest("layer.0.bias", names), Some("bert.layer.0.bias"));
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(few(&["a", "b"]), "`a`, `b`");
        assert_eq!(few(&["a", "b", "c", "d", "e", "f", "g"]), "`a`, `b`, `c`, `d`, `e` and 2 more");
    }
}
