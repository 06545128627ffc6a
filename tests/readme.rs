//! The README's commands: the main one is run, the others must at least be understood.

use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn hydranet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hydranet"))
        .current_dir(ROOT)
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words of every command of ours in the README's code blocks, without comments; continued lines are joined.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let readme = readme.replace("\\\n", " ");
    let mut inside = false;
    let mut found = Vec::new();
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.split(" #").next().unwrap();
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
    let commands = commands();
    assert!(commands.len() >= 10, "{commands:?}");
    let mut wrong = Vec::new();
    for words in &commands {
        let names = if words[0] == "heads" { 2 } else { 1 };
        let mut args: Vec<&str> = words[..names].iter().map(String::as_str).collect();
        args.push("--help");
        let help = text(&hydranet(&args).stdout);
        for word in words.iter().filter(|w| w.starts_with("--")) {
            if !help.contains(&format!("{word} ")) && !help.contains(&format!("{word}\n")) {
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
    let result = hydranet(&["demo", "--out", out.to_str().unwrap()]);
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

/// The table of backbones, a row an architecture: what the program knows of it, and what its golden values are.
fn backbones() -> String {
    let golden = |file: &str| -> serde_json::Value {
        let path = Path::new(ROOT).join("tests/golden").join(file);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let (known, parity) = (golden("architectures.json"), golden("parity.json"));
    let throughput = golden("throughput.json");
    let mut rows = String::from(
        "| backbone | parameters | features | input | off from timm: features, gradients | photos a second | usual weights |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for a in hydranet::Architecture::all() {
        let name = a.name();
        let [h, w] = a.input().size;
        let off = |what: &str| parity.get(name).map(|p| p[what].as_f64().unwrap());
        let compared = match (off("features"), off("gradients")) {
            (Some(features), Some(gradients)) => format!("{features:.0e}, {gradients:.0e}"),
            _ => "names, shapes".to_string(),
        };
        let rate = throughput[name].as_f64().unwrap();
        let rate = match rate < 9.95 {
            true => format!("{rate:.1}"),
            false => format!("{rate:.0}"),
        };
        let file = format!("weights/{name}.{}.safetensors", a.tag());
        let weights = match (Path::new(ROOT).join(&file).is_file(), a.hub_name()) {
            (true, _) => "shipped".to_string(),
            (false, Some(hub)) => format!("`hf://{hub}`"),
            (false, None) => "none".to_string(),
        };
        rows.push_str(&format!(
            "| `{name}` | {:.1} M | {} | {h} × {w} | {compared} | {rate} | {weights} |\n",
            known[name]["parameters"].as_f64().unwrap() / 1e6,
            a.num_features(),
        ));
    }
    rows
}

#[test]
fn the_table_of_backbones_is_what_the_program_knows() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let table = backbones();
    assert!(readme.contains(&table), "the README should hold\n{table}");
}
