//! Recipes: complete settings files that come with the program, and files of the user's own.

use super::layers::{self, read};
use super::{Error, Result};
use polyseme_train::PretrainSettings;
use polyseme_train::pretrain::Recipe;
use std::path::Path;
use toml::{Table, Value};

/// Recipes by name.
pub const RECIPES: [(&str, &str); 6] = [
    ("tiny", include_str!("../../recipes/tiny.toml")),
    ("mini", include_str!("../../recipes/mini.toml")),
    ("small", include_str!("../../recipes/small.toml")),
    ("base", include_str!("../../recipes/base.toml")),
    ("modern", include_str!("../../recipes/modern.toml")),
    ("albert", include_str!("../../recipes/albert.toml")),
];

/// Taken when none is named.
pub const DEFAULT_RECIPE: &str = "mini";

/// What belongs to a run rather than to a recipe; a run's `settings.toml` holds it, too.
const RUN_KEYS: [&str; 5] = ["corpus", "text_column", "out", "from", "distil"];

/// The settings of a recipe by its name. `corpus` and `out` are empty: set them before the run.
///
/// # Errors
/// No recipe of this name.
pub fn recipe(name: &str) -> Result<PretrainSettings> {
    let table = fill(&format!("recipe {name}"), named(name)?)?;
    layers::typed(&format!("recipe {name}"), &table)
}

/// A recipe or file as a table that holds every key. A file may take what it does not say from
/// the recipe named by its key `base`, and may be the `settings.toml` of an earlier run.
pub fn load(name_or_file: &str) -> Result<Table> {
    let path = Path::new(name_or_file);
    let is_recipe = RECIPES.iter().any(|(name, _)| *name == name_or_file);
    if is_recipe || !(path.exists() || name_or_file.contains(['/', '.'])) {
        return fill(&format!("recipe {name_or_file}"), named(name_or_file)?);
    }
    let mut own = read(path)?;
    let place = path.display().to_string();
    let base = own.remove("base");
    layers::check_keys(&place, &own, &known_keys())?;
    match base {
        None => fill(&place, own),
        Some(Value::String(base)) => {
            let mut table = named(&base)?;
            layers::merge(&mut table, own);
            fill(&place, table)
        }
        Some(other) => {
            let (found, expected) = (other.to_string(), "the name of a recipe".to_owned());
            Err(Error::UnknownValue { what: "base", found, expected })
        }
    }
}

/// Every key, with the library's value where the table has none.
fn fill(place: &str, mut table: Table) -> Result<Table> {
    let of_run: Vec<(String, Value)> =
        RUN_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), table.remove(*key)?))).collect();
    follow(&mut table);
    let recipe: Recipe = layers::typed(place, &table)?;
    let mut table = layers::table_of(&recipe.plan(Vec::new(), "".into()));
    table.extend(of_run);
    Ok(table)
}

/// Sets the sizes that follow from others.
pub fn follow(table: &mut Table) {
    let vocab_size = layers::get(table, "tokenizer.vocab_size").cloned();
    let hidden_size = layers::get(table, "model.config.hidden_size").cloned();
    let config = table.get_mut("model").and_then(|m| m.get_mut("config")).and_then(Value::as_table_mut);
    let Some(config) = config else { return };
    if let Some(v) = vocab_size {
        config.insert("vocab_size".into(), v); // the tokenizer decides
    }
    if let Some(h) = hidden_size {
        config.entry("embedding_size").or_insert(h);
    }
}

fn named(name: &str) -> Result<Table> {
    let Some((_, text)) = RECIPES.iter().find(|(n, _)| *n == name) else {
        let names = RECIPES.map(|(n, _)| n);
        let distance = |n: &&str| strsim::damerau_levenshtein(name, n);
        let nearest = names.into_iter().min_by_key(distance).filter(|n| distance(n) <= 2);
        return Err(Error::UnknownRecipe { name: name.into(), nearest: nearest.map(str::to_owned) });
    };
    layers::parse(&format!("recipe {name}"), text)
}

/// Every key that settings may have, as a table.
pub fn known_keys() -> Table {
    let mut settings = recipe("tiny").expect("our own recipe is whole");
    settings.text_column = Some(String::new());
    settings.from = Some(Default::default());
    settings.distil.teacher = Some(Default::default());
    settings.distil.augment_with = Some(Default::default());
    settings.model.config.sharing.num_hidden_groups = 1; // else it is not written
    layers::table_of(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_complete_and_says_every_key() {
        let known = known_keys();
        for (name, text) in RECIPES {
            let settings = recipe(name).unwrap();
            assert_eq!(settings.model.config.vocab_size, settings.tokenizer.vocab_size, "{name}");
            let mut table = layers::parse(name, text).unwrap();
            layers::check_keys(name, &table, &known).unwrap();
            follow(&mut table);
            // Nothing is left to defaults: the file says it all, but for the variant of layers that are BERT's.
            if settings.model.config.variant == Default::default() {
                let bert = layers::table_of(&settings.model.config.variant);
                layers::put(&mut table, "model.config.variant", Value::Table(bert));
            }
            let plan = layers::table_of(&settings);
            for (key, value) in table {
                assert_eq!(plan[&key], value, "{name} leaves something of {key} out");
            }
        }
    }

    #[test]
    fn a_file_on_a_base_names_only_what_it_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "base = \"tiny\"\n[length]\nsteps = 7\n[tokenizer]\nvocab_size = 500\n").unwrap();
        let table = load(file.path().to_str().unwrap()).unwrap();
        let settings: PretrainSettings = layers::typed("x", &table).unwrap();
        assert_eq!(settings.length, polyseme_train::pretrain::Length::Steps(7));
        assert_eq!(settings.model.config.vocab_size, 500);
        assert_eq!(settings.model.config.hidden_size, 128);
    }

    #[test]
    fn a_recipe_nearly_named_is_offered() {
        assert_eq!(recipe("smal").unwrap_err().hint().unwrap(), "did you mean `small`?");
        assert_eq!(
            recipe("enormous").unwrap_err().hint().unwrap(),
            "recipes are tiny, mini, small, base, modern, albert"
        );
    }
}
