//! Tables of text for terminals.

/// Rows as aligned columns: the first to the left, the others to the right, two blanks between.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let count = header.len();
    let width = |i: usize| rows.iter().map(|r| cells(&r[i])).chain([cells(header[i])]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    // Numbers stand right, words left; the first column is always one of words.
    let words: Vec<bool> = (0..count).map(|i| i == 0 || rows.iter().any(|r| is_word(&r[i]))).collect();
    let mut text = String::new();
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let blanks = " ".repeat(widths[i] - cells(cell));
            line += if i == 0 { "" } else { "  " };
            line += &if words[i] { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Whether a cell is no number, nor a dash in the place of one.
fn is_word(cell: &str) -> bool {
    let begins = cell.chars().find(|c| !matches!(c, '-' | '+' | '−' | '–' | '≤' | '≥' | '<' | '>' | '.' | '('));
    begins.is_some_and(|c| !c.is_ascii_digit())
}

/// Columns a string takes on a terminal: wide (Chinese, Japanese, Korean) characters take two.
pub fn cells(s: &str) -> usize {
    s.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_wide_scripts_too() {
        let rows = vec![vec!["好评".into(), "7".into()], vec!["bad".into(), "12".into()]];
        assert_eq!(table(&["label", "n"], &rows), "label   n\n好评    7\nbad    12\n");
    }

    #[test]
    fn numbers_stand_right_and_words_left() {
        let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
        let rows = [row("a", "1.5", "long text"), row("b", "–", "x"), row("c", "12.5 %", "")];
        let text = table(&["one", "two", "three"], &rows);
        assert_eq!(text, "one     two  three\na       1.5  long text\nb         –  x\nc    12.5 %\n");
    }
}
