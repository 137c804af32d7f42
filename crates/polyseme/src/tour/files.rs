//! Where a tour keeps what it makes.

use super::Error;
use super::task::{Row, Task};
use std::path::{Path, PathBuf};

/// Shows that a folder was made by a tour, so that the next one may replace it.
const MARK: &str = "tour.json";
/// Everything that a tour makes besides its mark.
const MADE: [&str; 7] = ["corpus.txt", "task", "encoder", "classifier", "scratch", "work", "report.html"];

/// Paths inside the output folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// The text that is pre-trained on.
    pub corpus: PathBuf,
    /// Labelled rows to learn from.
    pub train: PathBuf,
    /// Labelled rows to choose by.
    pub valid: PathBuf,
    /// Labelled rows to measure on.
    pub test: PathBuf,
    /// The pre-trained encoder.
    pub encoder: PathBuf,
    /// The classifier made from it.
    pub classifier: PathBuf,
    /// Runs in between; gone at the end.
    pub work: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The result as JSON.
    pub mark: PathBuf,
}

impl Files {
    /// An empty folder, or that of an earlier tour, which is cleared.
    pub fn prepare(out: &Path) -> anyhow::Result<Self> {
        let io =
            |action: &'static str| move |source| polyseme_formats::Error::Io { action, path: out.to_owned(), source };
        std::fs::create_dir_all(out).map_err(io("create"))?;
        let taken = std::fs::read_dir(out).map_err(io("read"))?.next().is_some();
        if taken && !out.join(MARK).is_file() {
            return Err(Error::OutTaken { path: out.to_owned() }.into());
        }
        for name in MADE {
            let path = out.join(name);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(e) = removed
                && e.kind() != std::io::ErrorKind::NotFound
            {
                return Err(io("clear")(e).into());
            }
        }
        let files = Self {
            corpus: out.join("corpus.txt"),
            train: out.join("task/train.jsonl"),
            valid: out.join("task/valid.jsonl"),
            test: out.join("task/test.jsonl"),
            encoder: out.join("encoder"),
            classifier: out.join("classifier"),
            work: out.join("work"),
            report: out.join("report.html"),
            mark: out.join(MARK),
        };
        // From now on an interrupted tour can be begun again in the same folder.
        write(&files.mark, b"{}\n")?;
        Ok(files)
    }

    /// Writes the three sets of labelled rows.
    pub fn write_task(&self, task: &Task) -> anyhow::Result<()> {
        for (path, rows) in [(&self.train, &task.train), (&self.valid, &task.valid), (&self.test, &task.test)] {
            let folder = path.parent().expect("inside a folder").to_owned();
            std::fs::create_dir_all(&folder).map_err(|source| polyseme_formats::Error::Io {
                action: "create",
                path: folder,
                source,
            })?;
            write(path, json_lines(rows, &task.labels).as_bytes())?;
        }
        Ok(())
    }
}

fn json_lines(rows: &[Row], labels: &[String]) -> String {
    rows.iter().map(|r| serde_json::json!({"text": r.text, "label": labels[r.label]}).to_string() + "\n").collect()
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> polyseme_formats::Result<()> {
    polyseme_formats::atomic::write(path, |out| out.write_all(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tours_own_folder_is_cleared() {
        let home = tempfile::tempdir().expect("a folder");
        let out = home.path().join("tour");
        let files = Files::prepare(&out).expect("new");
        std::fs::create_dir(&files.encoder).expect("made");
        std::fs::write(&files.corpus, "old").expect("written");
        std::fs::write(out.join("notes.txt"), "the user's own").expect("written");
        Files::prepare(&out).expect("again");
        assert!(!files.corpus.exists() && !files.encoder.exists() && out.join("notes.txt").exists());
        let other = home.path().join("other");
        std::fs::create_dir(&other).expect("made");
        std::fs::write(other.join("corpus.txt"), "the user's own").expect("written");
        let error = Files::prepare(&other).expect_err("taken").to_string();
        assert!(error.contains("not made by a tour"), "{error}");
        assert!(other.join("corpus.txt").exists());
    }
}
