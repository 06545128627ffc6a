//! What README and guide say: the main command is run, the others must at least be understood, and tables are what the program
//! knows.

use crate::common::{golden, recorded};

use super::text;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn hydranet(args: &[&str]) -> Output {
    super::hydranet(Path::new(ROOT), args)
}

/// README and every chapter of the guide.
fn pages() -> String {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let chapters = chapters().into_iter();
    chapters.fold(readme, |all, (_, text)| all + "\n" + &text)
}

/// The guide's chapters by their names.
fn chapters() -> BTreeMap<String, String> {
    let folder = std::fs::read_dir(Path::new(ROOT).join("src/guide")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let chapters = files.filter(|f| f.extension().is_some_and(|e| e == "md"));
    let named = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_string();
        (name, std::fs::read_to_string(file).unwrap())
    };
    chapters.map(named).collect()
}

/// The words of every command of ours in the pages' code blocks, without comments; continued lines are joined.
fn commands() -> Vec<Vec<String>> {
    let readme = pages();
    let readme = readme.replace("\\\n", " ");
    let mut inside = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.trim_start().split(" #").next().unwrap();
            let rest = line
                .strip_prefix("cargo run --release -- ")
                .or_else(|| line.strip_prefix("hydranet "));
            // `hydranet = …` is a line of a Cargo.toml.
            if let Some(rest) = rest.filter(|r| !r.starts_with('=')) {
                found.push(rest.split_whitespace().map(String::from).collect());
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_readme_is_one_the_program_knows() {
    let mut commands = commands();
    assert!(commands.len() >= 10, "{commands:?}");
    // It is not in every build; where it is, its own tests send what its chapter says.
    commands.retain(|words| words[0] != "serve");
    let mut wrong = Vec::new();
    for words in &commands {
        let names = if words[0] == "heads" { 2 } else { 1 };
        let mut args: Vec<&str> = words[..names].iter().map(String::as_str).collect();
        args.push("--help");
        let help = text(&hydranet(&args).stdout);
        for word in words.iter().filter(|w| w.starts_with("--")) {
            let name = word.split('=').next().unwrap();
            if !help
                .match_indices(name)
                .any(|(at, _)| help[at + name.len()..].starts_with([' ', '\n', '[']))
            {
                wrong.push(format!("{}: {word}", words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_demo_learns_and_leaves_the_files_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo");
    // In an empty folder: heads and weights travel with the program.
    let result = super::hydranet(dir.path(), ["demo", "--out", "demo"]);
    let said = text(&result.stdout);
    assert!(result.status.success(), "{said}{}", text(&result.stderr));
    let figure = said
        .lines()
        .find_map(|l| l.strip_prefix("macro F1 ")?.split(',').next())
        .unwrap_or_else(|| panic!("no figure in {said}"));
    assert!(figure.parse::<f64>().unwrap() >= 0.85, "{said}");
    for file in ["portraits.csv", "run/best.safetensors", "run/metrics.csv"] {
        assert!(out.join(file).is_file(), "{file}");
    }
}

/// The head of the table of backbones.
const HEADER: &str = "| backbone | parameters | features | input | off from timm: features, gradients \
    | photos a second | usual weights | their licence |\n";

/// The table of backbones, a row an architecture: what the program knows of it, and what its golden values are.
fn backbones() -> String {
    let parity = golden::json("parity.json");
    let throughput = golden::json("throughput.json");
    let mut rows = format!("{HEADER}|---|---|---|---|---|---|---|---|\n");
    for a in hydranet::Architecture::all() {
        let name = a.name();
        let [h, w] = a.input().size;
        let off = |what: &str| parity.get(name).map(|p| p[what].as_f64().unwrap());
        let compared = match (off("features"), off("gradients")) {
            (Some(features), Some(gradients)) => format!("{features:.0e}, {gradients:.0e}"),
            _ => "names, shapes".to_string(),
        };
        let rate = match throughput[name].as_f64() {
            None => "not measured".to_string(),
            Some(rate) if rate < 9.95 => format!("{rate:.1}"),
            Some(rate) => format!("{rate:.0}"),
        };
        let weights = match a.hub_name() {
            None => "none".to_string(),
            Some(hub) => {
                let name = hub.trim_start_matches("timm/");
                let file = Path::new(ROOT).join(format!("weights/{name}.safetensors"));
                match file.is_file() {
                    true => "shipped".to_string(),
                    false => format!("`hf://{hub}`"),
                }
            }
        };
        rows.push_str(&format!(
            "| `{name}` | {:.1} M | {} | {h} × {w} | {compared} | {rate} | {weights} | {} |\n",
            recorded::parameters(&recorded::shapes(a)) as f64 / 1e6,
            a.num_features(),
            a.licence(),
        ));
    }
    rows
}

#[test]
fn the_table_of_backbones_is_what_the_program_knows() {
    let file = Path::new(ROOT).join("src/guide/backbones.md");
    let chapter = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = chapter.split_once(HEADER).unwrap();
    let (old, after) = rest.split_once("\n\n").unwrap();
    let table = backbones();
    if golden::is_writing() {
        std::fs::write(file, format!("{before}{table}\n{after}")).unwrap();
        return;
    }
    assert!(
        format!("{HEADER}{old}\n") == table,
        "the table is old: HYDRANET_WRITE=1 cargo test --test readme table"
    );
}

fn chapter(name: &str) -> String {
    text(&hydranet(&["guide", name]).stdout)
}

#[test]
fn the_front_page_is_short_and_leads_to_every_chapter() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(readme.lines().count() <= 200);
    let list = chapter_names();
    assert_eq!(chapters().len(), list.len());
    for (name, text) in chapters() {
        assert!(readme.contains(&format!("(src/guide/{name}.md)")), "{name}");
        assert!(list.contains(&name), "{name}");
        assert!(name == "commands" || text.lines().count() <= 200, "{name}");
        assert_eq!(
            text.matches("```").count() % 2,
            0,
            "{name}: a block is open"
        );
    }
    let unknown = hydranet(&["guide", "trainning"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("training"));
}

fn chapter_names() -> Vec<String> {
    let list = text(&hydranet(&["guide"]).stdout);
    let names = list.lines().filter_map(|l| l.split_whitespace().next());
    names.map(String::from).collect()
}

#[test]
fn the_chapter_of_commands_is_what_the_program_knows() {
    let made = text(&hydranet(&["guide", "--generate"]).stdout);
    assert!(
        made == chapter("commands"),
        "src/guide/commands.md is old: hydranet guide --generate > src/guide/commands.md"
    );
    for command in [
        "## hydranet train",
        "## hydranet heads graft",
        "`--split-file FILE`",
    ] {
        assert!(made.contains(command), "{command}");
    }
}

#[test]
fn every_setting_is_in_the_guide() {
    let config = hydranet::train::Config::load(&Path::new(ROOT).join("heads"), None, &[]).unwrap();
    let written: toml::Table = config.to_toml().unwrap().parse().unwrap();
    let (training, heads) = (chapter("training"), chapter("heads"));
    let mut missing = Vec::new();
    let mut look = |page: &str, key: String| {
        if !page.contains(&format!("`{key}`")) {
            missing.push(key);
        }
    };
    for (key, value) in written["train"].as_table().unwrap() {
        match value
            .as_table()
            .filter(|_| ["augment", "split"].contains(&key.as_str()))
        {
            Some(table) => table
                .keys()
                .for_each(|inner| look(&training, format!("{key}.{inner}"))),
            None => look(&training, key.clone()),
        }
    }
    for (key, value) in written["model"].as_table().unwrap() {
        match value.as_table().filter(|_| key == "input") {
            Some(table) => table
                .keys()
                .for_each(|inner| look(&heads, format!("{key}.{inner}"))),
            None => look(&heads, key.clone()),
        }
    }
    for head in written["heads"].as_table().unwrap().values() {
        for key in head.as_table().unwrap().keys() {
            look(&heads, key.clone());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
