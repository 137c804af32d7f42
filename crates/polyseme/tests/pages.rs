//! Every page of `polyseme inspect` in a real browser: no error, the picture is there, the slider and the pointer do what
//! they should, nothing of a text becomes markup. Without Chromium the tests say so and pass.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use support::{encoder_and_rows, json, ok, write};

/// Names a browser that speaks Chromium's flags may have.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A text that would be markup if anything let it.
const HOSTILE: &str = "the ship </script><script>document.title='broken'</script> <img src=x onerror=\"document.title='broken'\"> &amp; \"quoted\" 'so'";

/// A folder with an encoder, rows, and a classifier, made once for all tests.
static WORLD: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages-world");
    _ = std::fs::remove_dir_all(&dir); // of an earlier run
    std::fs::create_dir_all(&dir).unwrap();
    encoder_and_rows(&dir);
    let tune = [
        "finetune",
        "encoder",
        "--task",
        "classify",
        "--train",
        "train.csv",
        "--valid",
        "valid.csv",
        "--epochs",
        "1",
        "--quiet",
    ];
    ok(&dir, &[&tune[..], &["--out", "classifier"]].concat());
    ok(&dir, &[&tune[..], &["--out", "scratch", "--set", "from_scratch=true"]].concat());
    let rows: String =
        (0..40).map(|i| format!("the {} ship sails near wave {i} .\n", ["old", "small"][i % 2])).collect();
    write(&dir, "ships.txt", &format!("{rows}{HOSTILE}\n"));
    dir
});

/// The browser, or `None` and a line that says so.
fn browser() -> Option<&'static str> {
    let found = BROWSERS
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        println!("skipped: no Chromium; install it to test pages in a browser");
    }
    found
}

/// Opens a page, runs a script in it after its own, and gives what the script gives and the errors that there were.
fn opened(browser: &str, page: &Path, script: &str) -> Value {
    let text = std::fs::read_to_string(page).unwrap();
    let before = "<script>window.wrong=[];addEventListener('error',e=>wrong.push(String(e.message)));\
                  const say=console.error;console.error=(...a)=>{wrong.push(a.join(' '));say(...a)};</script>";
    let after = format!(
        "<script>addEventListener('load',()=>{{let found;try{{found=(()=>{{{script}}})()}}catch(e){{wrong.push(String(e))}}\
         const out=document.createElement('pre');out.id='found';out.textContent=JSON.stringify({{found,wrong,title:document.title}});\
         document.body.replaceChildren(out)}});</script>"
    );
    let text =
        text.replacen("<head>", &format!("<head>{before}"), 1).replacen("</body>", &format!("{after}</body>"), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--window-size=1100,1600", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) = found.unwrap_or_else(|| panic!("{} gives nothing: {dom}", page.display()));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["wrong"], serde_json::json!([]), "{}", page.display());
    assert_ne!(found["title"], "broken", "{}", page.display());
    found["found"].clone()
}

/// Makes a page and checks what holds for each: it asks for nothing from elsewhere, and its drawings have a size.
fn made(words: &[&str], name: &str) -> Option<(PathBuf, &'static str)> {
    let page = WORLD.join(name);
    let drawing = format!("{name}.png");
    let out = ["--out", name, "--out", &drawing, "--quiet"];
    ok(&WORLD, &[&["inspect"], words, &out].concat());
    assert!(std::fs::read(WORLD.join(drawing)).unwrap().starts_with(b"\x89PNG"));
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains("src=\"http") && !text.contains("href=\"http") && !text.contains("@import"), "{name}");
    let browser = browser()?;
    let sizes = "return [...document.querySelectorAll('svg, .said')].filter(s=>!s.closest('[hidden]')).map(s=>s.getBoundingClientRect()).filter(b=>b.width>50&&b.height>20).length";
    let drawn = opened(browser, &page, sizes);
    assert!(drawn.as_u64() >= Some(1), "{name}: {drawn} drawings");
    Some((page, browser))
}

const SLIDE: &str = "const slider=document.querySelector('input[type=range]');\
    const shown=()=>[...document.querySelectorAll('[data-step-of]')].filter(s=>!s.hidden).map(s=>+s.dataset.step);\
    const name=()=>document.querySelector('output').textContent;\
    const steps=[];for(let v=+slider.min;v<=+slider.max;v++){slider.value=v;slider.dispatchEvent(new Event('input'));steps.push([v,shown(),name()])}\
    return steps";

const POINT: &str = "const tip=document.getElementById('tip');\
    const point=(e)=>{const b=e.getBoundingClientRect();e.dispatchEvent(new PointerEvent('pointermove',{bubbles:true,clientX:b.left+b.width/2,clientY:b.top+b.height/2}));return tip.hidden?null:tip.textContent};";

#[test]
fn senses_of_a_word() {
    let words = ["senses", "encoder", "ship", "ships.txt"];
    let Some((page, browser)) = made(&words, "senses.html") else { return };
    let steps = opened(browser, &page, SLIDE);
    let names: Vec<&str> = steps.as_array().unwrap().iter().map(|s| s[2].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["words alone", "embeddings", "layer 1"]);
    for step in steps.as_array().unwrap() {
        assert_eq!(step[1], serde_json::json!([step[0]]), "one step is shown at a time");
    }
    let script = format!(
        "{POINT}const circles=[...document.querySelectorAll('[data-step-of]:not([hidden]) circle.mark')];\
         const said=circles.map(point);\
         const lit=document.querySelectorAll('.sentences li.lit').length;\
         const heat=point(document.querySelector('[data-step-of]:not([hidden]) [data-heat]'));\
         return {{count:circles.length,said,lit,heat,images:document.querySelectorAll('img').length}}"
    );
    let found = opened(browser, &page, &script);
    assert_eq!(
        (&found["count"], &found["lit"], &found["images"]),
        (&serde_json::json!(41), &serde_json::json!(1), &serde_json::json!(0))
    );
    assert_eq!(found["said"][40], HOSTILE, "the text as it stands in the file");
    let heat = found["heat"].as_str().unwrap();
    assert!(heat.lines().count() == 3 && heat.lines().next().unwrap().parse::<f64>().is_ok(), "{heat}");
}

#[test]
fn attention_of_a_pair() {
    let words = ["attention", "encoder", "<i>ship</i>", "--pair", "the old cow"];
    let Some((page, browser)) = made(&words, "attention.html") else { return };
    let steps = opened(browser, &page, SLIDE);
    assert_eq!(steps[0][2], "layer 1");
    let script = "const view=document.querySelector('[data-step-of]:not([hidden]) [data-tokens]');\
        const token=view.querySelector('[data-token=\"1\"]');\
        const dim=()=>[...view.querySelectorAll('g[data-from]')].filter(g=>g.classList.contains('dim')).length;\
        const all=view.querySelectorAll('g[data-from]').length;\
        const before=dim();token.dispatchEvent(new PointerEvent('pointerenter'));const over=dim();\
        token.dispatchEvent(new PointerEvent('pointerleave'));const after=dim();\
        const box=document.querySelector('input[data-head=\"0\"]');box.checked=false;box.dispatchEvent(new Event('change'));\
        const strands=[...document.querySelectorAll('.strand[data-head=\"0\"]')];\
        return {all,before,over,after,strands:strands.length,shown:strands.filter(s=>s.style.display!=='none').length}";
    let found = opened(browser, &page, script);
    let all = found["all"].as_u64().unwrap();
    assert_eq!(
        (&found["before"], &found["over"], &found["after"]),
        (&serde_json::json!(0), &serde_json::json!(all - 1), &serde_json::json!(0))
    );
    assert!(found["strands"].as_u64() > Some(0) && found["shown"] == 0, "{found}");
}

#[test]
fn what_it_would_have_said() {
    let words = ["fill", "encoder", "the old ship [MASK] near <b> ."];
    let Some((page, browser)) = made(&words, "fill.html") else { return };
    let found = opened(
        browser,
        &page,
        &format!("{POINT}return [...document.querySelectorAll('.said span')].map(s=>[s.textContent,point(s)])"),
    );
    let tokens = found.as_array().unwrap();
    let masks: Vec<&Value> = tokens.iter().filter(|t| t[1].as_str().unwrap().starts_with("a mask\n")).collect();
    assert_eq!(masks.len(), 1);
    assert_eq!(masks[0][0], "[MASK]");
    assert!(tokens[0][1].as_str().unwrap().contains(" %, place "), "{found}");
}

#[test]
fn a_probe_a_landscape_and_a_folder() {
    let words = ["probe", "encoder", "train.csv"];
    if let Some((page, browser)) = made(&words, "probe.html") {
        let markers = "return document.querySelectorAll('svg circle, svg rect, svg path').length";
        assert!(opened(browser, &page, markers).as_u64() >= Some(4));
    }
    let more = ["--scratch", "scratch", "--data", "valid.csv", "--points", "5", "--grid", "3"];
    let words = [&["landscape", "encoder", "classifier"][..], &more].concat();
    if let Some((page, browser)) = made(&words, "landscape.html") {
        assert_eq!(
            opened(browser, &page, "return document.querySelectorAll('svg image').length"),
            serde_json::json!(1)
        );
    }
    let words = ["model", "classifier", "--diff", "encoder"];
    if let Some((page, browser)) = made(&words, "model.html") {
        assert!(opened(browser, &page, "return document.querySelectorAll('svg rect.s0').length").as_u64() >= Some(6));
    }
}

#[test]
fn numbers_are_those_of_other_commands() {
    let dir = &*WORLD;
    // The word's vectors at the last layer, and what `embed` gives.
    write(dir, "three.txt", "the old ship sails\nthe ship sinks near the island\na small quiet ship\n");
    let found = json(dir, &["inspect", "senses", "encoder", "ship", "three.txt"]);
    let last = found["layers"].as_array().unwrap().last().unwrap()["similarities"].clone();
    let lines = support::lines(&ok(dir, &["embed", "encoder", "three.txt", "--tokens", "--quiet"]));
    let vector = |line: &Value| -> Vec<f64> {
        let place = line["words"].as_array().unwrap().iter().position(|w| w == "ship").unwrap();
        line["embeddings"][place].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let vectors: Vec<Vec<f64>> = lines.iter().map(vector).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for (i, a) in vectors.iter().enumerate() {
        for (j, b) in vectors.iter().enumerate() {
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!((cosine - last[i][j].as_f64().unwrap()).abs() < 1e-5, "{i}, {j}: {cosine} {}", last[i][j]);
        }
    }
    // A mask of the text, and a loss at the end of a line.
    let text = "the old [MASK] sails near the island";
    let masks = json(dir, &["fill", "encoder", text]);
    let said = json(dir, &["inspect", "fill", "encoder", text]);
    let mask = said["tokens"].as_array().unwrap().iter().find(|t| t["probability"].is_null()).unwrap();
    assert_eq!(
        (&mask["candidates"], &mask["position"]),
        (&masks["masks"][0]["candidates"], &masks["masks"][0]["position"])
    );
    let line = json(dir, &["inspect", "landscape", "encoder", "classifier", "--data", "valid.csv", "--points", "5"]);
    let loss = json(dir, &["eval", "classifier", "--data", "valid.csv"])["loss"].as_f64().unwrap();
    let end = line["line"][3]["loss"].as_f64().unwrap();
    assert!(line["line"][3]["at"] == 1.0 && (end - loss).abs() < 1e-4 * loss, "{end} {loss}");
    // A model has not moved from itself, and its head is no part of the encoder it came from.
    let same = json(dir, &["inspect", "model", "encoder", "--diff", "encoder"]);
    assert!(same["diff"]["parts"].as_array().unwrap().iter().all(|p| p["relative"] == 0.0));
    let other = json(dir, &["inspect", "model", "classifier", "--diff", "encoder"]);
    let parts = other["diff"]["parts"].as_array().unwrap();
    assert!(parts.iter().any(|p| p["name"] == "layer 1" && p["relative"].as_f64() > Some(0.0)), "{parts:?}");
}

#[test]
fn an_index_is_searched_and_drawn() {
    let dir = &*WORLD;
    ok(dir, &["embed", "encoder", "train.csv", "--out", "index", "--quiet"]);
    let rows = std::fs::read_to_string(dir.join("train.csv")).unwrap();
    let first = rows.lines().nth(5).unwrap().split(',').next().unwrap().to_owned();
    let found = json(dir, &["search", "index", &first, "--top", "3"]);
    let hits = found["hits"].as_array().unwrap();
    assert!(hits.len() == 3 && hits[0]["text"] == *first && hits[0]["score"].as_f64() > Some(0.9999), "{hits:?}");
    ok(dir, &["embed", "encoder", "train.csv", "--out", "graph", "--approximate", "--quiet"]);
    for more in [&[][..], &["--exact"]] {
        assert_eq!(json(dir, &[&["search", "graph", &first, "--top", "3"], more].concat())["hits"], found["hits"]);
    }
    let wrong = support::fails(dir, 1, &["search", "index", "ship", "--model", "classifier"]);
    assert!(wrong.contains("whose weights are not those of classifier") && wrong.contains("--model"), "{wrong}");
    let wrong = support::fails(dir, 1, &["inspect", "neighbours", "index", "--row", "61"]);
    assert!(wrong.contains("rows 1 to 60"), "{wrong}");
    let wrong = support::fails(dir, 1, &["embed", "encoder", "train.csv", "--out", "encoder"]);
    assert!(wrong.contains("no folder for an index"), "{wrong}");
    ok(dir, &["embed", "encoder", "ships.txt", "--tokens", "--out", "words", "--quiet"]);
    let words = ["neighbours", "words", "--row", "3", "--map", "tsne"];
    let Some((page, browser)) = made(&words, "near.html") else { return };
    let script = format!("{POINT}return [...document.querySelectorAll('circle.s0')].map(point)");
    let said = opened(browser, &page, &script);
    assert_eq!(said.as_array().unwrap().len(), 10);
    assert!(said[0].as_str().unwrap().contains(" — "), "{said}");
}

#[test]
fn large_inputs_are_small_pages() {
    let dir = &*WORLD;
    let rows: String = (0..2_000)
        .map(|i| format!("number {i} of many rows with a ship in it, and a wave or two behind the harbour\n"))
        .collect();
    write(dir, "many.txt", &rows);
    ok(dir, &["inspect", "senses", "encoder", "ship", "many.txt", "--out", "many.html", "--quiet"]);
    let size = std::fs::metadata(dir.join("many.html")).unwrap().len();
    assert!(size < 5_000_000, "2,000 sentences: {size} bytes");
    let Some(browser) = browser() else { return };
    let script = "const slider=document.querySelector('input[type=range]');const begun=performance.now();\
        for(let v=+slider.min;v<=+slider.max;v++){slider.value=v;slider.dispatchEvent(new Event('input'));document.body.getBoundingClientRect()}\
        return [document.querySelectorAll('[data-step-of]:not([hidden]) circle.mark').length,performance.now()-begun]";
    let found = opened(browser, &dir.join("many.html"), script);
    assert_eq!(found[0], 2_000);
    assert!(found[1].as_f64().unwrap() < 5_000.0, "the slider takes {} ms", found[1]);
}
