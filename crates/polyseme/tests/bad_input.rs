//! Malformed inputs through the real binary: each is refused in words that help, with the right exit
//! code, without a panic and without anything half-written.

#[path = "bad_input/check.rs"]
mod check;
#[path = "bad_input/corpora.rs"]
mod corpora;
#[path = "bad_input/distil.rs"]
mod distil;
#[path = "bad_input/fixture.rs"]
mod fixture;
#[path = "bad_input/inspect.rs"]
mod inspect;
#[path = "bad_input/models.rs"]
mod models;
#[path = "bad_input/quantized.rs"]
mod quantized;
#[path = "bad_input/recipe.rs"]
mod recipe;
#[path = "bad_input/sentences.rs"]
mod sentences;
#[path = "bad_input/settings.rs"]
mod settings;
#[path = "bad_input/shrink.rs"]
mod shrink;
#[path = "bad_input/steps.rs"]
mod steps;
#[path = "bad_input/system.rs"]
mod system;
#[path = "bad_input/tables.rs"]
mod tables;
#[path = "bad_input/tasks.rs"]
mod tasks;
#[path = "bad_input/tokenizers.rs"]
mod tokenizers;
#[path = "bad_input/weights.rs"]
mod weights;

#[test]
fn weights() {
    check::refused(weights::CASES);
}

#[test]
fn model_folders() {
    check::refused(models::CASES);
}

#[test]
fn looking() {
    check::refused(inspect::CASES);
}

#[test]
fn tokenizers() {
    check::refused(tokenizers::CASES);
}

#[test]
fn tables() {
    check::refused(tables::CASES);
    check::accepted(tables::ODD_BUT_FINE);
}

#[test]
fn corpora() {
    check::refused(corpora::CASES);
    check::accepted(corpora::ODD_BUT_FINE);
}

#[test]
fn settings() {
    check::refused(settings::CASES);
}

#[test]
fn tasks() {
    check::refused(tasks::CASES);
    check::accepted(tasks::ODD_BUT_FINE);
}

#[test]
fn steps() {
    check::refused(steps::CASES);
    check::accepted(steps::ODD_BUT_FINE);
}

#[test]
fn teachers_and_cuts() {
    check::refused(distil::CASES);
}

#[test]
fn vocabularies_and_shared_layers() {
    check::refused(shrink::CASES);
    check::accepted(shrink::ODD_BUT_FINE);
}

#[test]
fn recipes_of_shrinking() {
    check::refused(recipe::CASES);
}

#[test]
fn few_bits() {
    check::refused(quantized::CASES);
}

#[test]
fn sentences_and_questions() {
    check::refused(sentences::CASES);
}

#[test]
fn the_system() {
    check::refused(system::CASES);
    check::accepted(system::ODD_BUT_FINE);
}

#[test]
fn there_are_forty_and_none_twice() {
    let all = [
        weights::CASES,
        models::CASES,
        tokenizers::CASES,
        tables::CASES,
        corpora::CASES,
        settings::CASES,
        tasks::CASES,
        steps::CASES,
        distil::CASES,
        quantized::CASES,
        shrink::CASES,
        recipe::CASES,
        sentences::CASES,
        system::CASES,
    ];
    let names: Vec<_> = all.iter().flat_map(|cases| cases.iter().map(|c| c.name)).collect();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert!(names.len() >= 40, "only {} malformed inputs", names.len());
    assert_eq!(different.len(), names.len(), "two cases have the same name");
}
