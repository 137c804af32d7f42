//! The crates use each other only as the table in ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

type Uses = BTreeMap<String, BTreeSet<String>>;

/// The table: crate to the crates it uses, full names.
fn documented(text: &str) -> Uses {
    let rows = text.lines().filter(|line| line.starts_with("| `polyseme"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_matches('`').to_owned();
        let uses = match cells[2] {
            "–" => BTreeSet::new(),
            "all" => ["kernels", "formats", "text", "tensor", "models", "infer", "train", "shrink", "inspect"]
                .map(full)
                .into(),
            list => list.split(", ").map(full).collect(),
        };
        (name, uses)
    })
    .collect()
}

fn full(short: &str) -> String {
    format!("polyseme-{short}")
}

/// What Cargo says: the same, without development dependencies.
fn actual(root: &Path) -> Uses {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let uses = dependencies
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str())
                .filter(|name| name.starts_with("polyseme"))
                .map(str::to_owned)
                .collect();
            (package["name"].as_str().expect("a name").to_owned(), uses)
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (documented, actual) = (documented(&text), actual(&root));
    assert_eq!(documented.keys().collect::<Vec<_>>(), actual.keys().collect::<Vec<_>>(), "the crates there are");
    for (name, uses) in &actual {
        let allowed = &documented[name];
        assert!(uses.is_subset(allowed), "{name} uses {uses:?}, ARCHITECTURE.md allows {allowed:?}");
    }
    // Each row may use only rows above it.
    let order: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("| `polyseme"))
        .map(|line| line.trim_matches('|').split('|').next().expect("a cell").trim().trim_matches('`').to_owned())
        .collect();
    for (at, name) in order.iter().enumerate() {
        let below = &order[at..];
        assert!(documented[name].iter().all(|used| !below.contains(used)), "{name} may use only crates above it");
    }
}
