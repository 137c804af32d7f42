//! The texts of a tour: documentation of the crates this program is built from, or the user's own.

use super::docs::doc_comments;
use super::markdown::paragraphs;
use super::registry::CrateSource;
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A piece of text with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Index into [`Texts::parts`]: the crate, folder or file it is from.
    pub part: usize,
    /// Number of the source file, so that neighbours stay together.
    pub file: usize,
    /// The text; its paragraphs are lines.
    pub text: String,
}

/// All texts, in a fixed order.
#[derive(Debug, Default)]
pub struct Texts {
    /// Names of the parts, sorted.
    pub parts: Vec<String>,
    /// Passages in order of part, file and place; no two alike.
    pub passages: Vec<Passage>,
    /// Passages left out because the same one was there before.
    pub duplicates: usize,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

/// Reads the documentation of crates: comments in `.rs` files, and readme files.
pub fn read_crates(crates: &[CrateSource]) -> Texts {
    let files: Vec<Vec<Vec<String>>> = crates.par_iter().map(|c| crate_passages(&c.folder)).collect();
    let named = crates.iter().map(|c| c.name.clone()).zip(files);
    collect(named, Vec::new())
}

/// Reads the user's texts: each folder and file at the top level of what was given is a part.
pub fn read_own(paths: &[PathBuf]) -> anyhow::Result<Texts> {
    let mut named = Vec::new();
    let mut warnings = Vec::new();
    for (name, path) in top_level(paths)? {
        let reader = polyseme_text::CorpusReader::open(std::slice::from_ref(&path), None)?;
        let mut documents = Vec::new();
        let odd = reader.for_each(
            &mut |document| {
                documents.push(split_paragraphs(&document.text));
                Ok(())
            },
            &mut |_| true,
        )?;
        warnings.extend(odd.iter().map(ToString::to_string));
        named.push((name, documents));
    }
    Ok(collect(named.into_iter(), warnings))
}

/// What stands between blank lines, each paragraph on one line.
fn split_paragraphs(document: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in document.lines().map(str::trim) {
        let current = out.last_mut().expect("never empty");
        if line.is_empty() {
            out.push(String::new());
        } else {
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(line);
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

/// What stands directly in the folders given; files given stand for themselves.
fn top_level(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut out = Vec::new();
    for path in paths {
        if path.is_dir() {
            // A folder of one folder only is a wrapping: its inside is meant.
            let mut folder = path.clone();
            let mut inside = entries(&folder)?;
            while let [only] = inside.as_slice() {
                if !only.is_dir() {
                    break;
                }
                folder = only.clone();
                inside = entries(&folder)?;
            }
            // Entries that hold no text (pictures, scripts) are no part, unless nothing else is there.
            let texts = |p: &PathBuf| polyseme_text::CorpusReader::open(std::slice::from_ref(p), None).is_ok();
            let usable: Vec<PathBuf> = inside.into_iter().filter(texts).collect();
            if usable.is_empty() {
                out.push((name_of(path), path.clone()));
            }
            out.extend(usable.into_iter().map(|p| (name_of(&p), p)));
        } else {
            out.push((name_of(path), path.clone()));
        }
    }
    Ok(out)
}

fn name_of(path: &Path) -> String {
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    stem.map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into_owned())
}

/// Visible entries of a folder, sorted.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let listed =
        listed.map_err(|source| polyseme_formats::Error::Io { action: "read", path: folder.to_owned(), source })?;
    let hidden = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with('.');
    let mut out: Vec<PathBuf> = listed.iter().filter(|e| !hidden(e)).map(std::fs::DirEntry::path).collect();
    out.sort();
    Ok(out)
}

/// Passages of each file of a crate. A file that cannot be read is none: documentation is no duty.
fn crate_passages(folder: &Path) -> Vec<Vec<String>> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    files.iter().map(|file| file_passages(file)).filter(|passages| !passages.is_empty()).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in entries(folder).unwrap_or_default() {
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn file_passages(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let source = || std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    match () {
        () if name.ends_with(".rs") => doc_comments(&source()),
        () if name == "readme.md" => {
            let found = paragraphs(&source());
            if found.is_empty() { Vec::new() } else { vec![found.join("\n")] }
        }
        () => Vec::new(),
    }
}

/// Puts parts of one name together, numbers files and drops repeats.
fn collect(named: impl Iterator<Item = (String, Vec<Vec<String>>)>, warnings: Vec<String>) -> Texts {
    let mut named: Vec<(String, Vec<Vec<String>>)> = named.collect();
    named.sort_by(|a, b| a.0.cmp(&b.0)); // stable: versions of a crate stay in order
    let mut texts = Texts { warnings, ..Texts::default() };
    let mut seen: HashSet<String> = HashSet::new();
    let mut file = 0;
    for (name, files) in named {
        if texts.parts.last() != Some(&name) {
            texts.parts.push(name);
        }
        let part = texts.parts.len() - 1;
        for passages in files {
            for text in passages {
                if seen.insert(text.to_lowercase()) {
                    texts.passages.push(Passage { part, file, text });
                } else {
                    texts.duplicates += 1;
                }
            }
            file += 1;
        }
    }
    texts
}

impl Texts {
    /// The corpus file: the passages of a file are one document, lines; documents are apart by a blank
    /// line. Passages in `held_out` (sorted) are not in it. Returns text and number of documents.
    pub fn corpus(&self, held_out: &[usize]) -> (String, usize) {
        let mut out = String::new();
        let (mut documents, mut last) = (0, None);
        for (i, passage) in self.passages.iter().enumerate() {
            if held_out.binary_search(&i).is_ok() {
                continue;
            }
            if last != Some(passage.file) {
                if last.is_some() {
                    out.push('\n');
                }
                documents += 1;
                last = Some(passage.file);
            }
            // A blank line inside would end the document.
            for line in passage.text.lines().filter(|l| !l.trim().is_empty()) {
                out.push_str(line);
                out.push('\n');
            }
        }
        (out, documents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn crates_become_passages_without_repeats() {
        let home = tempfile::tempdir().expect("a folder");
        write(
            home.path(),
            "a-1/src/lib.rs",
            "//! All about the letter a.\n\n/// Opens the door with a key.\nfn x() {}\n",
        );
        write(
            home.path(),
            "a-2/src/lib.rs",
            "/// Opens the DOOR with a key.\nfn x() {}\n/// Only the second version says this.\n",
        );
        write(home.path(), "a-2/README.md", "# A\n\nThe readme is one text.\n\nWith two of its paragraphs.\n");
        write(home.path(), "b-1/src/notes.txt", "/// This is no source file at all.\n");
        let source = |name: &str, folder: &str| CrateSource { name: name.to_owned(), folder: home.path().join(folder) };
        let texts = read_crates(&[source("b", "b-1"), source("a", "a-1"), source("a", "a-2")]);
        assert_eq!(texts.parts, ["a", "b"]);
        assert_eq!(texts.duplicates, 1);
        let all: Vec<&str> = texts.passages.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(
            all,
            [
                "All about the letter a.",
                "Opens the door with a key.",
                "The readme is one text.\nWith two of its paragraphs.",
                "Only the second version says this."
            ]
        );
        let (corpus, documents) = texts.corpus(&[1]);
        assert_eq!(documents, 3);
        assert_eq!(
            corpus,
            "All about the letter a.\n\nThe readme is one text.\nWith two of its paragraphs.\n\nOnly the second version says this.\n"
        );
    }

    #[test]
    fn own_folders_and_files_are_parts() {
        let home = tempfile::tempdir().expect("a folder");
        write(home.path(), "texts/law/1.txt", "One paragraph of law.\n\nAnother paragraph of law.\n");
        write(home.path(), "texts/art.txt", "One paragraph of art.\n");
        write(home.path(), "texts/.hidden/x.txt", "Nobody sees this one.\n");
        let texts = read_own(&[home.path().to_owned()]).expect("read");
        assert_eq!(texts.parts, ["art", "law"]);
        assert_eq!(texts.passages.len(), 3);
        assert!(read_own(&[home.path().join("nothing")]).is_err());
    }
}
