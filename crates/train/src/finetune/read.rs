//! From files to a task: read, checked, labelled, encoded.

use super::data::{Columns, LabelRule, Labelled, shortened};
use super::folds::{Split, Which};
use super::settings::FinetuneSettings;
use super::{more_rows, shown};
use crate::distil::Teacher;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer, Silent};
use crate::tasks::generate::{self, Generate};
use crate::tasks::regress::{Regress, Scale};
use crate::tasks::rows::{LooksAt, Rows};
use crate::tasks::similarity::{Retrieval, Similarity};
use crate::tasks::{Part, Task, answer, choice::Choose, classify::Classify, multilabel::Multilabel, tag};
use polyseme_infer::GenerateOptions;
use polyseme_models::{EncoderConfig, HeadKind, Model};
use polyseme_tensor::{Stream, device};
use polyseme_text::check::{LabelledRow, check};
use polyseme_text::{Question, Questions, Table, Tagged, TaggedSentence, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How rows are read and encoded.
pub struct Reading<'a> {
    /// Which columns hold what.
    pub columns: &'a Columns,
    /// Between several labels of a row.
    pub label_separator: &'a str,
    /// Turns texts into tokens.
    pub tokenizer: &'a Tokenizer,
    /// Longest input in tokens.
    pub longest: usize,
    /// Tokens that windows of a long passage share.
    pub stride: usize,
    /// Tokens of the longest target, its end included.
    pub max_new_tokens: usize,
    /// What a sentence vector is made of.
    pub vectors: LooksAt,
}

impl Reading<'_> {
    /// Rows of a table with what is true of each.
    fn part<T>(&self, rows: &Labelled, targets: Vec<T>) -> Result<Part<T>> {
        Ok(Part { rows: rows.encode(self.tokenizer, self.longest)?, targets, shown: Vec::new() })
    }

    /// Pairs of texts that are encoded apart.
    fn apart<T>(&self, rows: &Labelled, targets: Vec<T>) -> Result<Part<T>> {
        let rows = rows.encode_apart(self.tokenizer, self.longest, self.vectors.clone())?;
        Ok(Part { rows, targets, shown: Vec::new() })
    }

    /// Sources with the targets that stand in the label's column.
    fn targets(&self, rows: &Labelled) -> Result<Part<generate::Wanted>> {
        let pairs = rows.rows.iter().map(|r| (r.texts.0.as_str(), r.label.as_str())).collect();
        generate::encode(pairs, self.tokenizer, self.longest, self.max_new_tokens)
    }

    /// The best token each time.
    fn generates(&self) -> GenerateOptions {
        GenerateOptions { max_new_tokens: self.max_new_tokens, ..GenerateOptions::default() }
    }

    fn table(&self, file: &Path, columns: &Columns, rule: LabelRule) -> Result<Labelled> {
        Labelled::new(&Table::read(file)?, columns, rule)
    }

    fn tagged(&self, file: &Path) -> Result<Tagged> {
        Ok(Tagged::read(file, self.columns.text.as_deref(), self.columns.label.as_deref())?)
    }

    /// Sentences with the numbers of their words' labels, and those of all words.
    fn tagged_part(&self, rows: &Tagged, labels: &[String]) -> Result<(Part<tag::TagTarget>, Vec<Vec<usize>>)> {
        let truth = numbers_of(&rows.path, &rows.sentences, labels)?;
        let part = tag::encode(&rows.sentences, &truth, self.tokenizer, self.longest)?;
        if part.targets.is_empty() && !rows.sentences.is_empty() {
            return Err(Error::NoWords { file: rows.path.clone() });
        }
        Ok((part, truth))
    }

    /// The task of a model's head with the rows of a file to measure on, and none to learn from.
    ///
    /// # Errors
    /// A head that no task has, a file that cannot be read, a column named that the task does not look at, labels
    /// the model does not know, a tokenizer that is not the model's.
    pub fn to_measure(&self, model: &Model, file: &Path) -> Result<Box<dyn Task>> {
        let task = self.of_head(model, file)?;
        self.columns.check(task.name())?;
        self.fits(task.valid(), model.config())?;
        Ok(task)
    }

    /// Errors where the tokenizer made ids or segments of rows that a model has no embeddings for.
    pub(super) fn fits(&self, rows: &Rows, config: &EncoderConfig) -> Result<()> {
        let (vocabulary, segments) = (config.vocab_size, config.type_vocab_size);
        for sequence in (0..rows.len()).flat_map(|row| rows.sequences(&[row])) {
            if let Some(&id) = sequence.ids.iter().find(|&&id| id as usize >= vocabulary) {
                let token = self.tokenizer.token(id).unwrap_or_default();
                let pieces = self.tokenizer.vocab_size();
                return Err(polyseme_infer::Error::ForeignTokenizer { token, id, vocabulary, pieces }.into());
            }
            if let Some(&segment) = sequence.type_ids.iter().find(|&&s| segments > 0 && s as usize >= segments) {
                return Err(polyseme_infer::Error::NoSegment { segment, segments }.into());
            }
        }
        Ok(())
    }

    fn of_head(&self, model: &Model, file: &Path) -> Result<Box<dyn Task>> {
        Ok(match model.head() {
            HeadKind::Classify(labels) => {
                let rows = self.table(file, self.columns, LabelRule::Always)?;
                let part = self.part(&rows, rows.numbers(&labels)?)?;
                Box::new(Classify::new(labels, Part::none(), part.showing(shown::rows(&rows))))
            }
            HeadKind::MultiLabel(labels) => {
                let rows = self.table(file, self.columns, LabelRule::Maybe)?;
                let part = self.part(&rows, rows.several_of(&labels, self.label_separator)?)?;
                let thresholds = model.thresholds().map_or(vec![0.5; labels.len()], <[f64]>::to_vec);
                let part = part.showing(shown::rows(&rows));
                Box::new(Multilabel::new(labels, Part::none(), part).with_thresholds(thresholds))
            }
            HeadKind::Regress => {
                let rows = self.table(file, self.columns, LabelRule::Always)?;
                let part = self.part(&rows, rows.measured()?)?.showing(shown::rows(&rows));
                Box::new(Regress::new(Scale::NONE, Part::none(), part))
            }
            HeadKind::Tag(labels) => {
                let rows = self.tagged(file)?;
                let (part, truth) = self.tagged_part(&rows, &labels)?;
                let part = part.showing(shown::sentences(rows));
                Box::new(tag::Tag::new(labels, Part::none(), part, truth))
            }
            HeadKind::Answer => {
                let questions = Questions::read(file)?.questions;
                let part = answer::encode(&questions, self.tokenizer, self.longest, self.stride)?;
                let or_none = questions.iter().any(|q| q.answers.is_empty());
                Box::new(answer::AnswerTask::new(Part::none(), part, questions, or_none))
            }
            HeadKind::Choice => {
                let rows = self.table(file, self.columns, LabelRule::Always)?;
                enough_choices(&rows.columns)?;
                let part = self.part(&rows, rows.chosen()?)?.showing(shown::rows(&rows));
                Box::new(Choose::new(rows.columns.choices.clone(), Part::none(), part))
            }
            HeadKind::None if self.columns.pair.is_some() => {
                let table = Table::read(file)?;
                match self.columns.label.is_some() || table.guess_label().is_ok() {
                    true => {
                        let rows = Labelled::new(&table, self.columns, LabelRule::Always)?;
                        let part = self.apart(&rows, rows.measured()?)?.showing(shown::rows(&rows));
                        Box::new(Similarity::to_measure(model.score_line(), part))
                    }
                    false => {
                        let rows = Labelled::new(&table, self.columns, LabelRule::Never)?;
                        let part = self.apart(&rows, vec![(); rows.rows.len()])?.showing(shown::rows(&rows));
                        Box::new(Retrieval::new(Part::none(), part))
                    }
                }
            }
            HeadKind::Generate => {
                let rows = self.table(file, self.columns, LabelRule::Always)?;
                let options = self.generates();
                let part = self.targets(&rows)?.showing(shown::rows(&rows));
                Box::new(Generate::new(Part::none(), part, self.tokenizer, options))
            }
            head => {
                return Err(polyseme_infer::Error::WrongHead {
                    what: "scores",
                    head: "a head of a task",
                    found: polyseme_infer::head_name(&head),
                    task: "classify",
                }
                .into());
            }
        })
    }

    /// The task of the settings with its rows. `like_known` puts labels into the order in which the model that
    /// is begun with has them.
    pub(super) fn to_learn(
        &self,
        settings: &FinetuneSettings,
        which: Which,
        like_known: &dyn Fn(Vec<String>) -> Result<Vec<String>>,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Task>> {
        let split = Split { which, stream: Stream::new(settings.seed) };
        Ok(match settings.task.as_str() {
            "tag" => self.tag_task(settings, like_known, split, observer)?,
            "qa" => self.answer_task(settings, split, observer)?,
            _ => {
                let (mut train, valid) = self.tables(settings, split, observer)?;
                if let Some(folder) = settings.distil.teacher.as_ref().filter(|_| settings.distil.wants_more_rows()) {
                    // What is wrong with the rows or the teacher is said before it is asked for more of them.
                    let task = self.table_task(settings, like_known, &train, &valid, &mut Silent)?;
                    Teacher::open(folder, &*task, self.tokenizer, &device::parse("cpu").expect("there is one"))?;
                    more_rows::add(settings, &mut train, &valid, self.longest, observer)?;
                }
                observer.event(Event::Stage("encode"));
                self.table_task(settings, like_known, &train, &valid, observer)?
            }
        })
    }

    /// The task of tables' rows.
    fn table_task(
        &self,
        settings: &FinetuneSettings,
        like_known: &dyn Fn(Vec<String>) -> Result<Vec<String>>,
        train: &Labelled,
        valid: &Labelled,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Task>> {
        let shown = shown::rows(valid);
        Ok(match settings.task.as_str() {
            "multilabel" => {
                let of = |rows: &Labelled| rows.several(self.label_separator).into_iter().flatten();
                let mut found: BTreeSet<String> = of(train).collect();
                match settings.valid {
                    // Thresholds cannot be chosen where nothing is true.
                    Some(_) => some_label(of(valid).count(), valid)?,
                    // A rare label may be in the rows that were kept for validation only.
                    None => found.extend(of(valid)),
                }
                some_label(found.len(), train)?;
                let labels = like_known(found.into_iter().collect())?;
                let part = |rows: &Labelled| self.part(rows, rows.several_of(&labels, self.label_separator)?);
                let (train, valid) = (part(train)?, part(valid)?.showing(shown));
                Box::new(Multilabel::new(labels, train, valid))
            }
            "regress" => {
                let numbers = train.measured()?;
                if numbers.iter().all(|n| *n == numbers[0]) {
                    return Err(train.one_class(&train.rows[0].label));
                }
                let scale = Scale::of(&numbers);
                let valid = self.part(valid, valid.measured()?)?.showing(shown);
                Box::new(Regress::new(scale, self.part(train, numbers)?, valid))
            }
            "similarity" => {
                let valid = self.apart(valid, valid.measured()?)?.showing(shown);
                let task = Similarity::new(self.apart(train, train.measured()?)?, valid);
                Box::new(if settings.similarity_loss == "cosent" { task.by_order() } else { task })
            }
            "retrieval" => {
                let part = |rows: &Labelled| self.apart(rows, vec![(); rows.rows.len()]);
                Box::new(Retrieval::new(part(train)?, part(valid)?.showing(shown)))
            }
            "choice" => {
                let part = |rows: &Labelled| self.part(rows, rows.chosen()?);
                let (names, valid) = (train.columns.choices.clone(), part(valid)?.showing(shown));
                Box::new(Choose::new(names, part(train)?, valid))
            }
            "generate" => {
                let (train, valid) = (self.targets(train)?, self.targets(valid)?.showing(shown));
                let task = Generate::new(train, valid, self.tokenizer, self.generates());
                let (tokens, unknown) = task.unknown();
                if unknown > 0 {
                    let text = format!(
                        "{unknown} of {tokens} tokens of the targets are unknown to the tokenizer: they cannot \
                         be generated"
                    );
                    observer.event(Event::Warning(&text));
                }
                Box::new(task)
            }
            _ => {
                // All labels of the rows there are, also of those that a fold keeps.
                let labels = match settings.valid {
                    Some(_) => train.label_set()?,
                    None => train.label_set_with(valid)?,
                };
                let labels = like_known(labels)?;
                let part = |rows: &Labelled| self.part(rows, rows.numbers(&labels)?);
                let (train, valid) = (part(train)?, part(valid)?.showing(shown));
                let task = Classify::new(labels, train, valid).smoothed(settings.label_smoothing);
                Box::new(if settings.class_weights == "balanced" { task.balanced() } else { task })
            }
        })
    }

    /// Rows of tables to learn from and to validate on, with what was found in them said aloud.
    fn tables(
        &self,
        settings: &FinetuneSettings,
        split: Split,
        observer: &mut dyn Observer,
    ) -> Result<(Labelled, Labelled)> {
        let task = settings.task.as_str();
        let rule = match task {
            "multilabel" => LabelRule::Maybe,
            "retrieval" => LabelRule::Never,
            _ => LabelRule::Always,
        };
        let train = self.table(&settings.train, self.columns, rule)?;
        match task {
            "choice" => enough_choices(&train.columns)?,
            "classify" => fewer_than_rows(&train, observer)?,
            _ => {}
        }
        let (train, valid) = match &settings.valid {
            // The names found in the training file hold for the validation file, guessed or not.
            Some(file) => {
                let valid = self.table(file, &train.columns, rule)?;
                (train, valid)
            }
            None => {
                let alike = task == "classify";
                split.tell(train.rows.len(), "rows", alike.then_some(&train), observer);
                let (train, valid) = split.rows(train, alike)?;
                let which = if alike { "a tenth of each label" } else { "a tenth" };
                tell_split(observer, split, valid.rows.len(), train.rows.len(), "rows", which);
                (train, valid)
            }
        };
        // A text with other choices is another row.
        let pairs = |rows: &Labelled| rows.rows.iter().map(|r| r.choices.join("\n")).collect::<Vec<_>>();
        let (of_train, of_valid) = (pairs(&train), pairs(&valid));
        let mut found = check(seen(&train, &of_train), seen(&valid, &of_valid));
        if task != "classify" {
            found.imbalance = None; // numbers and sets of labels are rare each by itself
        }
        for sentence in found.sentences() {
            observer.event(Event::Warning(sentence.trim_end_matches('.')));
        }
        Ok((train, valid))
    }

    fn tag_task(
        &self,
        settings: &FinetuneSettings,
        like_known: &dyn Fn(Vec<String>) -> Result<Vec<String>>,
        split: Split,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Task>> {
        let train = self.tagged(&settings.train)?;
        let odd = train.oddities();
        for (what, found) in [
            ("begin with `I-` or `E-` where no name stands before", odd.begins_inside),
            ("change their type inside", odd.changes_inside),
        ] {
            if let Some((count, line)) = found {
                let text =
                    format!("{count} name(s) {what}, the first one in line {line}: each counts as a name of its own");
                observer.event(Event::Warning(&text));
            }
        }
        let all: BTreeSet<&String> = train.sentences.iter().flat_map(|s| &s.tags).collect();
        let all: Vec<String> = all.into_iter().cloned().collect();
        if let [label] = all.as_slice() {
            let (column, label) = (self.columns.label.clone().unwrap_or("tag".into()), label.clone());
            return Err(Error::OneClass { file: train.path, column, label });
        }
        let labels = like_known(all)?;
        let (train, valid) = match &settings.valid {
            Some(file) => (train, self.tagged(file)?),
            None => {
                let chosen = split.of(&settings.train, train.sentences.len(), "sentence(s)")?;
                split.tell(train.sentences.len(), "sentences", None, observer);
                let (valid, rest) = parted(train.sentences, &chosen);
                tell_split(observer, split, valid.len(), rest.len(), "sentences", "a tenth");
                let path = train.path;
                (Tagged { path: path.clone(), sentences: rest }, Tagged { path, sentences: valid })
            }
        };
        observer.event(Event::Stage("encode"));
        let (of_train, _) = self.tagged_part(&train, &labels)?;
        let (of_valid, truth) = self.tagged_part(&valid, &labels)?;
        let of_valid = of_valid.showing(shown::sentences(valid));
        Ok(Box::new(tag::Tag::new(labels, of_train, of_valid, truth)))
    }

    fn answer_task(
        &self,
        settings: &FinetuneSettings,
        split: Split,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Task>> {
        let train = Questions::read(&settings.train)?.questions;
        if train.iter().all(|q| q.answers.is_empty()) {
            return Err(Error::NoLabels { file: settings.train.clone(), each: "question", what: "an answer" });
        }
        let (train, valid) = match &settings.valid {
            Some(file) => (train, Questions::read(file)?.questions),
            None => {
                // Questions on one passage know of each other: whole articles are kept, or whole passages.
                let of = |q: &Question| if q.group.is_empty() { q.context.to_string() } else { q.group.clone() };
                let groups: BTreeSet<String> = train.iter().map(of).collect();
                let chosen = split.of(&settings.train, groups.len(), "article(s)")?;
                split.tell(groups.len(), "articles", None, observer);
                let number: BTreeMap<String, usize> = groups.into_iter().zip(0..).collect();
                let kept: BTreeSet<usize> =
                    (0..train.len()).filter(|&i| chosen.contains(&number[&of(&train[i])])).collect();
                let (valid, rest) = parted(train, &kept);
                tell_split(observer, split, valid.len(), rest.len(), "questions", "a tenth of the articles");
                (rest, valid)
            }
        };
        observer.event(Event::Stage("encode"));
        let or_none = train.iter().any(|q| q.answers.is_empty());
        let part = |questions: &[Question]| answer::encode(questions, self.tokenizer, self.longest, self.stride);
        let (of_train, of_valid) = (part(&train)?, part(&valid)?);
        Ok(Box::new(answer::AnswerTask::new(of_train, of_valid, valid, or_none)))
    }
}

/// Rows as they are checked.
fn seen<'a>(rows: &'a Labelled, choices: &'a [String]) -> impl Iterator<Item = LabelledRow<'a>> {
    let row = |(r, choices): (&'a super::data::LabelledRow, &'a String)| {
        let pair = if choices.is_empty() { r.texts.1.as_deref() } else { Some(choices.as_str()) };
        (r.texts.0.as_str(), pair, r.label.as_str())
    };
    rows.rows.iter().zip(choices).map(row)
}

fn tell_split(observer: &mut dyn Observer, split: Split, kept: usize, rest: usize, what: &str, which: &str) {
    if split.which != Which::Tenth {
        return;
    }
    let all = kept + rest;
    let text = format!("no validation file was given: {kept} of {all} {what}, {which}, are kept for validation");
    observer.event(Event::Note(&text));
}

/// Those chosen, and the rest.
fn parted<T>(all: Vec<T>, chosen: &BTreeSet<usize>) -> (Vec<T>, Vec<T>) {
    let (a, b): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(i, _)| chosen.contains(i));
    let without = |part: Vec<(usize, T)>| part.into_iter().map(|(_, x)| x).collect();
    (without(a), without(b))
}

/// Errors where rows have no label at all.
fn some_label(count: usize, rows: &Labelled) -> Result<()> {
    match count {
        0 => Err(Error::NoLabels { file: rows.file.clone(), each: "row", what: "a label" }),
        _ => Ok(()),
    }
}

/// Warns of as many labels as rows; where they are numbers with fractions, these were meant to be learned.
fn fewer_than_rows(train: &Labelled, observer: &mut dyn Observer) -> Result<()> {
    let (labels, rows) = (train.label_set()?, train.rows.len());
    if labels.len() < rows {
        return Ok(());
    }
    let column = train.columns.label.clone().unwrap_or_default();
    let fractions = labels.iter().any(|l| l.parse::<i64>().is_err());
    if fractions && labels.iter().all(|l| l.parse::<f64>().is_ok()) {
        return Err(Error::LabelEachRow { file: train.file.clone(), column, rows });
    }
    observer.event(Event::Warning(&format!("column `{column}` holds {rows} different labels in {rows} rows")));
    Ok(())
}

fn enough_choices(columns: &Columns) -> Result<()> {
    match columns.choices.len() {
        0 | 1 => Err(Error::Setting {
            key: "choices".into(),
            found: format!("{:?}", columns.choices),
            expected: "the names of two columns or more".into(),
        }),
        _ => Ok(()),
    }
}

/// The numbers of the tags of sentences.
fn numbers_of(file: &Path, sentences: &[TaggedSentence], labels: &[String]) -> Result<Vec<Vec<usize>>> {
    let number: BTreeMap<&str, usize> = labels.iter().map(String::as_str).zip(0..).collect();
    let of = |s: &TaggedSentence| {
        let one = |tag: &String| {
            number.get(tag.as_str()).copied().ok_or_else(|| Error::UnseenTag {
                file: file.to_owned(),
                line: s.line,
                tag: tag.clone(),
                known: shortened(labels),
            })
        };
        s.tags.iter().map(one).collect()
    };
    sentences.iter().map(of).collect()
}
