//! The real program on a small world of text: its whole life, its exit codes, its JSON, its help.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use support::{Dice, command, corpus, fails, json, labelled, lines, ok, run, sentence, stderr, write};

/// A folder with a pre-trained `encoder` and a fine-tuned `classifier`, made once for all tests.
static WORLD: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-world");
    _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    write(&dir, "corpus.txt", &corpus(600));
    write(&dir, "train.csv", &labelled(90, 1));
    write(&dir, "valid.csv", &labelled(45, 2));
    write(&dir, "test.csv", &labelled(60, 3));
    let pretrain = json(&dir, PRETRAIN);
    write(&dir, "pretrain.json", &pretrain.to_string());
    let finetune = json(&dir, FINETUNE);
    write(&dir, "finetune.json", &finetune.to_string());
    dir
});

const PRETRAIN: &[&str] = &[
    "pretrain",
    "corpus.txt",
    "--out",
    "encoder",
    "--recipe",
    "tiny",
    "--steps",
    "150",
    "--vocab-size",
    "200",
    "--seq-len",
    "48",
    "--set",
    "model.config.hidden_size=64",
    "--set",
    "model.config.intermediate_size=128",
    "--learning-rate",
    "4e-3",
    "--threads",
    "2",
];
const FINETUNE: &[&str] = &[
    "finetune",
    "encoder",
    "--task",
    "classify",
    "--train",
    "train.csv",
    "--valid",
    "valid.csv",
    "--out",
    "classifier",
    "--epochs",
    "15",
    "--patience",
    "0",
    "--batch-size",
    "8",
    "--learning-rate",
    "1e-3",
    "--threads",
    "2",
];

fn saved(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(WORLD.join(name)).unwrap()).unwrap()
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn pretraining_learns_more_than_word_frequencies() {
    let outcome = saved("pretrain.json");
    let (loss, unigram) = (outcome["valid_loss"].as_f64().unwrap(), outcome["unigram_entropy"].as_f64().unwrap());
    assert!(loss < unigram - 0.3, "loss {loss} beside {unigram} from word frequencies alone");
    assert_eq!(outcome["steps"], 150);
    assert_eq!(outcome["interrupted"], false);
    let files = files_in(&WORLD.join("encoder"));
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "run"] {
        assert!(files.iter().any(|f| f == name), "no {name} among {files:?}");
    }
}

#[test]
fn a_pretrained_folder_is_measured_on_unseen_texts_also_in_few_bits() {
    let unseen = corpus(700).split_off(corpus(600).len());
    write(&WORLD, "unseen.txt", &unseen);
    let found = json(&WORLD, &["eval", "encoder", "--data", "unseen.txt", "--seed", "5"]);
    let measure = |found: &serde_json::Value, name: &str| found[name].as_f64().unwrap();
    let loss = measure(&found, "loss");
    assert!(loss < measure(&found, "unigram_entropy") - 0.3, "{found}");
    assert!((measure(&found, "perplexity") - loss.exp()).abs() < 1e-9 && found["task"] == "mlm");
    let share = measure(&found, "hidden") / measure(&found, "tokens");
    assert!((share - 0.15).abs() < 0.01, "{share} hidden");
    let again = |extra: &[&str]| json(&WORLD, &[&["eval", "encoder", "--data", "unseen.txt"][..], extra].concat());
    assert_eq!(again(&["--seed", "5"]), found);
    assert_ne!(again(&["--seed", "6"])["hidden"], found["hidden"]);
    let shown = ok(&WORLD, &["eval", "encoder", "--data", "unseen.txt", "--seed", "5"]);
    assert!(shown.contains("hidden tokens") && shown.contains(&format!("{loss:.4}")), "{shown}");

    ok(&WORLD, &["shrink", "quantize", "encoder", "--out", "encoder-int8", "--no-timing"]);
    let rounded = json(&WORLD, &["eval", "encoder-int8", "--data", "unseen.txt", "--seed", "5"]);
    assert!((measure(&rounded, "loss") - loss).abs() < 0.05, "{rounded} beside {found}");
    assert_eq!(rounded["hidden"], found["hidden"]);
}

#[test]
fn finetuning_beats_chance_by_far_and_eval_agrees() {
    let valid = saved("finetune.json");
    assert!(valid["median"].as_f64().unwrap() > 0.9, "{valid}");
    let test = json(&WORLD, &["eval", "classifier", "--data", "test.csv"]);
    assert_eq!(test["task"], "classify");
    assert!(test["accuracy"].as_f64().unwrap() > 0.9, "{test}"); // chance is 0.33
    assert!(test["macro_f1"].as_f64().unwrap() > 0.9, "{test}");
    assert!(test["loss"].as_f64().unwrap() < 0.5, "{test}");
    assert_eq!(test["labels"], serde_json::json!(["farm", "music", "sea"]));
    let counted: u64 = test["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted, 60);
    let shown = ok(&WORLD, &["eval", "classifier", "--data", "test.csv"]);
    assert!(shown.contains("accuracy") && shown.contains("true \\ predicted"), "{shown}");
}

#[test]
fn reports_show_what_is_wrong() {
    let page = std::fs::read_to_string(WORLD.join("classifier/run/report.html")).unwrap();
    for part in ["Calibration", "Precision and recall", "The worst errors", "Brier score"] {
        assert!(page.contains(part), "{part}");
    }
    let analysis = saved("classifier/run/analysis.json");
    assert_eq!(analysis["rows"], 45);
    // Labels that are none of the texts': everything that is said is wrong.
    let wrong = labelled(30, 5).replace(",sea\n", ",SEA\n").replace(",farm\n", ",sea\n").replace(",SEA\n", ",farm\n");
    write(&WORLD, "wrong.csv", &wrong);
    ok(&WORLD, &["eval", "classifier", "--data", "wrong.csv", "--report", "wrong.html"]);
    let page = std::fs::read_to_string(WORLD.join("wrong.html")).unwrap();
    for part in ["measured on wrong.csv", "The worst errors", "row 1 ·", "near the", "polyseme eval classifier"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn the_learning_rate_of_finetuning_goes_by_the_size_of_the_model() {
    let tune = |out: &str, more: &[&str]| {
        let words = ["finetune", "encoder", "--task", "classify", "--train", "train.csv", "--valid", "valid.csv"];
        let output = run(&WORLD, &[&words[..], &["--out", out, "--epochs", "1", "--json"], more].concat());
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let settings = std::fs::read_to_string(WORLD.join(out).join("run/settings.toml")).unwrap();
        let peak = settings.lines().find(|l| l.starts_with("learning_rate = ")).unwrap().to_owned();
        (outcome["learning_rate"].as_f64().unwrap(), peak, stderr(&output))
    };
    // 5e-5 · 768/64 · √(12/2)
    let (rate, kept, said) = tune("by-size", &[]);
    assert_eq!((rate, kept.as_str()), (1.5e-3, "learning_rate = 0.0015"));
    assert!(said.contains("learning rate 1.5e-3, by the model's size (2 layers × 64)"), "{said}");
    let (rate, kept, said) = tune("as-told", &["--learning-rate", "2e-4"]);
    assert_eq!((rate, kept.as_str()), (2e-4, "learning_rate = 0.0002"));
    assert!(!said.contains("by the model's size"), "{said}");
    let help = ok(&WORLD, &["finetune", "--help"]);
    assert!(
        help.split_whitespace().collect::<Vec<_>>().join(" ").contains("[default: by the model's size, 5e-5"),
        "{help}"
    );
}

#[test]
fn numbers_are_learned_evaluated_and_predicted() {
    let numbers = |from: &str, to: &str| {
        let text = std::fs::read_to_string(WORLD.join(from)).unwrap();
        let line = |line: &str| {
            let (text, label) = line.rsplit_once(',').unwrap();
            let number = match label {
                "farm" => "1.5",
                "music" => "2.5",
                "sea" => "-4",
                header => header,
            };
            format!("{text},{number}\n")
        };
        std::fs::write(WORLD.join(to), text.lines().map(line).collect::<String>()).unwrap();
    };
    numbers("train.csv", "numbers-train.csv");
    numbers("test.csv", "numbers-test.csv");
    let words = ["finetune", "encoder", "--task", "regress", "--train", "numbers-train.csv", "--out", "numbers"];
    let how = ["--epochs", "15", "--batch-size", "8", "--learning-rate", "1e-3", "--threads", "2"];
    let valid = json(&WORLD, &[&words[..], &how].concat());
    assert!(valid["results"][0]["valid"]["spearman"].as_f64().unwrap() > 0.8, "{valid}");
    let test = json(&WORLD, &["eval", "numbers", "--data", "numbers-test.csv"]);
    assert_eq!(test["task"], "regress");
    assert!(test["pearson"].as_f64().unwrap() > 0.9, "{test}");
    let shown = ok(&WORLD, &["eval", "numbers", "--data", "numbers-test.csv"]);
    assert!(shown.contains("spearman") && shown.contains("always giving the mean"), "{shown}");
    let lines = ok(&WORLD, &["predict", "numbers", "numbers-test.csv", "--quiet"]);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(first["value"].is_number() && first.get("label").is_none(), "{first}");
    let error = fails(&WORLD, 1, &["eval", "numbers", "--data", "test.csv"]);
    assert!(error.contains("row 1") && error.contains("expected a number"), "{error}");
    let report = std::fs::read_to_string(WORLD.join("numbers/run/report.html"));
    assert!(report.is_ok_and(|page| page.contains("A number for each text")));
}

#[test]
fn eval_scores_are_those_of_predict() {
    let rows = std::fs::read_to_string(WORLD.join("test.csv")).unwrap();
    let truth: Vec<&str> = rows.lines().skip(1).map(|l| l.rsplit(',').next().unwrap()).collect();
    let predictions = lines(&ok(&WORLD, &["predict", "classifier", "test.csv"]));
    assert_eq!(predictions.len(), truth.len());
    let right = predictions.iter().zip(&truth).filter(|(p, t)| p["label"] == **t).count();
    let eval = json(&WORLD, &["eval", "classifier", "--data", "test.csv"]);
    assert_eq!(eval["accuracy"].as_f64().unwrap(), right as f64 / truth.len() as f64);
    for (line, row) in predictions.iter().zip(rows.lines().skip(1)) {
        assert_eq!(line["text"], row.rsplit_once(',').unwrap().0, "order is not kept");
        let scores = line["scores"].as_object().unwrap();
        let sum: f64 = scores.values().map(|s| s.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(scores[line["label"].as_str().unwrap()], line["score"]);
    }
}

#[test]
fn bench_measures_training_inference_latency_and_kernels() {
    let tiny = ["bench", "--train", "tiny", "--batch", "2", "--seq-len", "16", "--vocab-size", "300", "--steps", "3"];
    let train = json(&WORLD, &tiny);
    let infer = json(&WORLD, &["bench", "encoder", "--batch", "2", "--seq-len", "16", "--steps", "3"]);
    for speed in [&train, &infer] {
        let number = |key: &str| speed[key].as_f64().unwrap_or_else(|| panic!("no {key} in {speed}"));
        assert!(number("tokens_per_second") > 0.0 && number("peak_memory_bytes") > 1e6, "{speed}");
        assert!((0.0..=1.1).contains(&number("share_of_peak")), "{speed}");
    }
    assert_eq!(train["step_seconds"].as_array().unwrap().len(), 3);
    let latency = json(&WORLD, &["bench", "encoder", "--latency", "--steps", "1"]);
    assert!(latency["p50_seconds"].as_f64() <= latency["p95_seconds"].as_f64(), "{latency}");
    let kernels = json(&WORLD, &["bench", "--steps", "1"]);
    for layer in kernels["layers"].as_array().unwrap() {
        assert!(layer["largest_difference"].as_f64().unwrap() < 1e-5, "{layer}");
    }
    let error = fails(&WORLD, 1, &["bench", "encoder", "--seq-len", "5000"]);
    assert!(error.contains("5000"), "{error}");
    fails(&WORLD, 1, &["bench", "encoder", "--batch", "0"]);
    fails(&WORLD, 1, &["bench", "encoder", "--train", "tiny"]);
}

#[test]
fn predict_reads_standard_input() {
    let mut child =
        command(&WORLD, &["predict", "classifier"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"the old ship sinks near the quiet harbour .\nthe small choir sings near the bright piano .\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let answers = lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(answers.iter().map(|a| a["label"].as_str().unwrap()).collect::<Vec<_>>(), ["sea", "music"]);
}

/// Floats of an `.npy` file with its shape.
fn read_npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0);
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'descr': '<f4', 'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (shape, values)
}

fn floats(value: &serde_json::Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

#[test]
fn embed_gives_the_same_vectors_in_every_form_and_in_order() {
    let mut dice = Dice(11);
    let texts: Vec<String> = (0..70).map(|i| sentence(i % 3, &mut dice).repeat(1 + i % 3)).collect();
    write(&WORLD, "some.txt", &(texts.join("\n") + "\n"));
    let stdout = lines(&ok(&WORLD, &["embed", "encoder", "some.txt"]));
    assert_eq!(stdout.len(), texts.len());
    for (line, text) in stdout.iter().zip(&texts) {
        assert_eq!(line["text"], **text);
        assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), ["text", "embedding"]);
    }
    let all: Vec<f32> = stdout.iter().flat_map(|l| floats(&l["embedding"])).collect();

    let said = json(&WORLD, &["embed", "encoder", "some.txt", "--out", "v.npy"]);
    assert_eq!((said["texts"].as_u64(), said["dimensions"].as_u64()), (Some(70), Some(64)));
    let (shape, values) = read_npy(&WORLD.join("v.npy"));
    assert_eq!(shape, [70, 64]);
    assert_eq!(values, all, "what is read back is not what was printed");

    ok(&WORLD, &["embed", "encoder", "some.txt", "--out", "v.jsonl"]);
    assert_eq!(lines(&std::fs::read_to_string(WORLD.join("v.jsonl")).unwrap()), stdout);

    ok(&WORLD, &["embed", "encoder", "some.txt", "--out", "v.parquet"]);
    let (names, vectors) = read_parquet(&WORLD.join("v.parquet"));
    assert_eq!(names, texts);
    assert_eq!(vectors.concat(), all);
}

fn read_parquet(path: &Path) -> (Vec<String>, Vec<Vec<f32>>) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{ListAccessor, RowAccessor};
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let (mut texts, mut vectors) = (Vec::new(), Vec::new());
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        texts.push(row.get_string(0).unwrap().clone());
        let list = row.get_list(1).unwrap();
        vectors.push((0..list.len()).map(|i| list.get_float(i).unwrap()).collect());
    }
    (texts, vectors)
}

#[test]
fn embed_pools_layers_and_words_as_it_is_told() {
    write(&WORLD, "two.txt", "the old ship sinks\nthe small cow grazes near the barn .\n");
    let embed = |more: &[&str]| lines(&ok(&WORLD, &[&["embed", "encoder", "two.txt"], more].concat()));
    let mean = floats(&embed(&[])[1]["embedding"]);
    let [cls, max] = ["cls", "max"].map(|p| floats(&embed(&["--pooling", p])[1]["embedding"]));
    assert!(mean != cls && cls != max);
    assert!(max.iter().zip(&cls).all(|(m, c)| m >= c), "a maximum below one of its values");
    let first = floats(&embed(&["--layer", "1"])[1]["embedding"]);
    assert_ne!(first, mean);
    assert_eq!(floats(&embed(&["--layer", "2"])[1]["embedding"]), mean);
    let unit = floats(&embed(&["--normalize"])[1]["embedding"]);
    assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);

    let words = embed(&["--tokens"]);
    assert_eq!(words[0]["words"], serde_json::json!(["the", "old", "ship", "sinks"]));
    assert_eq!(words[0]["ranges"][3], serde_json::json!([13, 18]));
    assert_eq!(words[0]["embeddings"].as_array().unwrap().len(), 4);
    ok(&WORLD, &["embed", "encoder", "two.txt", "--tokens", "--out", "words.parquet"]);
    let error = fails(&WORLD, 1, &["embed", "encoder", "two.txt", "--tokens", "--out", "words.npy"]);
    assert!(error.contains(".jsonl or .parquet"), "{error}");
    assert!(!WORLD.join("words.npy").exists());
}

#[test]
fn fill_knows_what_stands_behind_a_mask() {
    let result = json(&WORLD, &["fill", "encoder", "the old [MASK] sinks near the small [MASK] .", "--top", "3"]);
    let masks = result["masks"].as_array().unwrap();
    assert_eq!(masks.iter().map(|m| m["position"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 8]);
    for mask in masks {
        let candidates = mask["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 3);
        assert!(candidates[0]["token"].is_string());
        assert!(candidates[0]["score"].as_f64() >= candidates[1]["score"].as_f64());
    }
    assert_eq!(json(&WORLD, &["fill", "encoder", "near [MASK] ."])["masks"][0]["candidates"][0]["token"], "the");
    let error = fails(&WORLD, 1, &["fill", "encoder", "no gap here"]);
    assert!(error.contains("[MASK]") && error.contains("hint:"), "{error}");
    fails(&WORLD, 1, &["fill", "classifier", "the [MASK]"]);
    fails(&WORLD, 1, &["predict", "encoder", "two.txt"]);
}

#[test]
fn a_run_is_not_begun_over_another_and_resumes_with_its_own_settings() {
    LazyLock::force(&WORLD);
    let error = fails(&WORLD, 1, PRETRAIN);
    assert!(error.contains("--resume"), "{error}");
    let again = json(&WORLD, &["pretrain", "--out", "encoder", "--resume"]);
    assert_eq!(again["steps"], 150, "a finished run has nothing to go on with");
    let error = fails(&WORLD, 1, &["pretrain", "--out", "encoder", "--resume", "--seq-len", "32"]);
    assert!(error.contains("--seq-len is 32") && error.contains("begun with 48"), "{error}");
    let error = fails(&WORLD, 1, &["pretrain", "--out", "nowhere", "--resume"]);
    assert!(error.contains("nothing to go on with"), "{error}");
}

#[test]
fn wrong_words_are_the_users_fault_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for words in [
        &["pretrian"][..],
        &["pretrain", "--budget", "5"],
        &["pretrain", "a.txt", "--out", "o", "--steps", "3", "--epochs", "2"],
        &["pretrain", "a.txt", "--out", "o", "--recipe", "smal"],
        &["pretrain", "a.txt", "--out", "o", "--set", "optimizer.learning_rat=1"],
        &["pretrain", "a.txt", "--out", "o", "--threads", "0"],
        &["pretrain", "nowhere.txt", "--out", "o"],
        &["finetune", "m", "--task", "qa", "--train", "t.csv", "--out", "o"],
        &["embed", "nowhere", "x.txt"],
        &["eval", "nowhere", "--data", "x.csv"],
        &["fill", "nowhere", "[MASK]", "--device", "cuda:7"],
    ] {
        let error = fails(dir, 1, words);
        assert!(error.lines().any(|l| l.starts_with("error: ")), "{words:?}: {error}");
    }
    let error = fails(dir, 1, &["pretrain", "a.txt", "--out", "o", "--set", "optimizer.learning_rat=1"]);
    assert!(error.contains("hint: did you mean `optimizer.learning_rate`?"), "{error}");
    assert_eq!(files_in(dir), Vec::<String>::new(), "something was left behind");
}

#[test]
fn dry_run_prints_a_recipe_that_can_be_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let printed = ok(dir.path(), &["pretrain", "texts", "--recipe", "small", "--seq-len", "64", "--dry-run"]);
    write(dir.path(), "mine.toml", &printed);
    let again = ok(dir.path(), &["pretrain", "--recipe", "mine.toml", "--dry-run"]);
    assert_eq!(printed, again);
    assert!(printed.contains("seq_len = 64") && printed.contains("max_position_embeddings = 64"), "{printed}");
}

#[test]
fn a_reader_that_goes_away_is_fine() {
    let text = "the old ship sinks\n".repeat(5000);
    write(&WORLD, "many.txt", &text);
    let mut child = command(&WORLD, &["embed", "encoder", "many.txt"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, stderr(&output));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

#[test]
fn help_offers_exactly_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let help = ok(dir.path(), &["--help"]);
    let commands = [
        "tour",
        "pretrain",
        "finetune",
        "sweep",
        "eval",
        "predict",
        "embed",
        "search",
        "fill",
        "merge",
        "inspect",
        "shrink",
        "export",
        "bench",
        "completions",
        "man",
    ];
    for name in commands {
        assert!(help.contains(&format!("\n  {name}")), "{name} is missing:\n{help}");
        let own = ok(dir.path(), &[name, "--help"]);
        assert!(own.contains("--quiet") && own.contains("Usage: polyseme"), "{own}");
        assert!(own.lines().all(|l| l.chars().count() <= 100), "a line of {name} --help is too long:\n{own}");
    }
    for what in ["senses", "attention", "fill", "neighbours", "probe", "landscape", "model"] {
        let own = ok(dir.path(), &["inspect", what, "--help"]);
        assert!(own.contains("--out") && own.contains(&format!("Usage: polyseme inspect {what}")), "{own}");
        assert!(own.lines().all(|l| l.chars().count() <= 100), "a line of inspect {what} --help is too long:\n{own}");
    }
    assert!(!help.contains("\n  serve"), "serve is offered but not there");
    fails(dir.path(), 1, &["serve"]);
    let flags = ok(dir.path(), &["pretrain", "--help"]);
    for flag in [
        "--out",
        "--from",
        "--recipe",
        "--budget",
        "--steps",
        "--epochs",
        "--objective",
        "--vocab-size",
        "--seq-len",
        "--seed",
        "--device",
        "--threads",
        "--resume",
        "--json",
    ] {
        assert!(flags.contains(flag), "{flag} is missing");
    }
    assert_eq!(ok(dir.path(), &["--version"]).trim(), concat!("polyseme ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_pages_come_from_the_same_words() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ok(dir.path(), &["completions", shell]);
        assert!(script.contains("finetune") && script.contains("vocab-size"), "{shell}");
    }
    ok(dir.path(), &["man", "--out", "man/man1"]);
    let pages = files_in(&dir.path().join("man/man1"));
    assert!(pages.contains(&"polyseme.1".into()) && pages.contains(&"polyseme-pretrain.1".into()), "{pages:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn embedding_many_lines_takes_no_more_memory_than_few() {
    // Wide vectors of texts cut very short: much to hold, little to do.
    let wide = ["hidden_size=512", "num_hidden_layers=1", "intermediate_size=64"].map(|s| format!("model.config.{s}"));
    let mut words = vec!["pretrain", "corpus.txt", "--out", "wide", "--recipe", "tiny", "--steps", "1", "--quiet"];
    words.extend(wide.iter().flat_map(|set| ["--set", set]));
    ok(&WORLD, &words);
    let mut dice = Dice(5);
    let rows: Vec<String> = (0..100_000).map(|i| sentence(i % 3, &mut dice)).collect();
    write(&WORLD, "few-lines.txt", &(rows[..10_000].join("\n") + "\n"));
    write(&WORLD, "many-lines.txt", &(rows.join("\n") + "\n"));
    let peak = |name: &str| {
        let mut child = command(
            &WORLD,
            &["embed", "wide", name, "--max-length", "3", "--out", "many.npy", "--quiet", "--threads", "2"],
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0_u64;
        loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
            peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                return peak;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    let (few, many) = (peak("few-lines.txt"), peak("many-lines.txt"));
    assert_eq!(read_npy(&WORLD.join("many.npy")).0, [100_000, 512]);
    // Held in memory, the other 90,000 vectors would be 184,320 kB. How much the allocator keeps back
    // depends on how the threads meet: up to 45,000 kB were seen.
    assert!(many < few + 90_000, "{few} kB for 10,000 lines, {many} kB for 100,000");
}

#[test]
fn quiet_says_nothing_and_json_is_one_object() {
    let output = run(&WORLD, &["eval", "classifier", "--data", "test.csv", "--json", "--quiet"]);
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result.is_object());
}
