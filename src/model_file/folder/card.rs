//! The model card.

use crate::error::Result;
use crate::head::HeadSpec;
use crate::model_file::file::ModelFile;
use crate::weights::source::{CONFIG, HEADS, HUB, MODEL};
use serde_json::Value;
use std::fmt::Write;

/// Final classes listed by name; of more, the first ones.
const SHOWN: usize = 100;

/// The model card of a folder, `README.md`: the Hub's front matter, what the model predicts, its scores, how it was trained, how
/// to use it.
///
/// # Errors
/// If the model's labels have no final classes.
pub fn card(file: &ModelFile, license: Option<&str>) -> Result<String> {
    let d = &file.description;
    let model = &d.model;
    let names: Vec<&str> = model.heads.iter().map(|h| h.name.as_str()).collect();
    let library = match model.backbone.entry() {
        None => "timm",
        Some(_) => "hydranet",
    };
    let mut text = String::from("---\n");
    if let Some(license) = license {
        text += &format!("license: {}\n", quoted(license));
    }
    text += &format!("library_name: {library}\npipeline_tag: image-classification\ntags:\n");
    for tag in ["hydranet", "image-classification", "multi-task"] {
        text += &format!("- {tag}\n");
    }
    if library == "timm" {
        text += "- timm\n";
    }
    text += &format!(
        "---\n# {}\n\nOne image backbone, {}, and {}: what a photo shows is said by each head, and by all together as one of {} final \
         classes. Trained with hydranet.\n",
        title(&names),
        model.backbone,
        match names.len() {
            1 => "a head on it".to_string(),
            n => format!("{n} heads on it"),
        },
        d.classes.len()
    );
    text += "\n## Labels\n\n| head | labels | applies |\n|---|---|---|\n";
    for head in &model.heads {
        text += &format!(
            "| {} | {} | {} |\n",
            cell(&head.name),
            cell(&labels(head)),
            cell(&condition(head))
        );
    }
    for impossible in &model.impossible {
        let parts: Vec<String> = impossible
            .iter()
            .map(|(head, labels)| format!("{head} {}", labels.join(" or ")))
            .collect();
        text += &format!("\nNever together: {}.\n", parts.join(", "));
    }
    text += &format!(
        "\n## Final classes\n\nDecided by the rule `{}`. A class's name is the labels of the heads that apply, joined by ` / `.\n\n",
        d.decision.rule.name()
    );
    for (i, class) in d.classes.iter().take(SHOWN).enumerate() {
        text += &format!("{i}. {class}\n");
    }
    if d.classes.len() > SHOWN {
        text += &format!("\nand {} more, in `{HEADS}`.\n", d.classes.len() - SHOWN);
    }
    text += "\n## Scores\n\n";
    text += &scores(&d.training, &names);
    text += "\n## Training\n\n";
    text += &training(&d.training);
    text += &format!("\n## Input\n\nA photo: {}.\n", model.input.words());
    text += &usage(file);
    Ok(text)
}

fn title(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.join(""),
    }
}

/// A word of YAML, in quotes.
fn quoted(word: &str) -> String {
    Value::from(word).to_string()
}

/// Text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn labels(head: &HeadSpec) -> String {
    let names = head.labels.names.join(", ");
    if head.is_multi_label() {
        return names + " (any of them at once)";
    }
    if !head.labels.groups.is_empty() {
        let groups = head.labels.groups.iter();
        let groups = groups.map(|(name, of)| format!("{name}: {}", of.join(" and ")));
        return format!(
            "{names} (in groups, {})",
            groups.collect::<Vec<_>>().join("; ")
        );
    }
    let borders: Vec<String> = head.labels.thresholds.iter().map(f64::to_string).collect();
    if borders.is_empty() {
        return names;
    }
    let number = match head.labels.number {
        Some(n) => format!("; a number from {} to {}", n.range[0], n.range[1]),
        None => String::new(),
    };
    format!("{names} (borders {}{number})", borders.join(", "))
}

fn condition(head: &HeadSpec) -> String {
    let parts: Vec<String> = head
        .labels
        .when
        .iter()
        .map(|(other, labels)| format!("{other} is {}", labels.join(" or ")))
        .collect();
    if parts.is_empty() {
        "always".into()
    } else {
        format!("if {}", parts.join(" and "))
    }
}

/// The figures of the validation split.
fn scores(training: &Value, names: &[&str]) -> String {
    let valid = &training["valid"];
    // Files of before had zeros where nothing was measured; the loss was absent then too.
    let measured = valid.get("valid_loss") != Some(&Value::Null);
    let (Some(f1), accuracy) = (valid["macro_f1"].as_f64(), valid["accuracy"].as_f64()) else {
        return format!("None were kept for {}.\n", title(names));
    };
    if !measured {
        return format!("None were measured for {}.\n", title(names));
    }
    let mut text = String::from(
        "On the validation split, which chose the epoch: not on photos set apart.\n\n| | macro F1 | accuracy |\n|---|---|---|\n",
    );
    let row = |name: &str, f1: f64, accuracy: f64| {
        format!("| {} | {f1:.4} | {accuracy:.4} |\n", cell(name))
    };
    // Where no photo has every label, the figure is the mean of the heads'.
    text += &match accuracy {
        Some(accuracy) => row("final class", f1, accuracy),
        None => format!("| mean of the heads | {f1:.4} | – |\n"),
    };
    for (i, name) in names.iter().enumerate() {
        let of = |key: &str| valid[key][i].as_f64();
        if let (Some(f1), Some(accuracy)) = (of("head_macro_f1"), of("head_accuracy")) {
            text += &row(name, f1, accuracy);
        }
    }
    if let Some(surgery) = training["surgery"].as_array() {
        text += &format!(
            "\nHeads were changed {} times since, so that these figures are of the model before.\n",
            surgery.len()
        );
    }
    text
}

/// How it was trained: what the file says of it.
fn training(training: &Value) -> String {
    let mut text = String::new();
    // Not where a file lay on somebody's machine.
    let weights = training["weights"].as_str().map(|w| match w {
        hub if hub.starts_with(HUB) => hub,
        path => path.rsplit(['/', '\\']).next().unwrap_or(path),
    });
    let weights = Value::from(weights);
    let mut line = |what: &str, value: &Value| match value {
        Value::Null => {}
        Value::String(s) => drop(writeln!(text, "- {what}: {s}")),
        other => drop(writeln!(text, "- {what}: {other}")),
    };
    line("weights it started from", &weights);
    line("photos", &training["photos"]);
    for unseen in training["without_photos"].as_array().into_iter().flatten() {
        let labels = unseen["labels"].as_array().into_iter().flatten();
        let labels: Vec<&str> = labels.filter_map(Value::as_str).collect();
        let what = format!(
            "labels of {} without a photo in training",
            unseen["head"].as_str().unwrap_or_default()
        );
        line(&what, &Value::from(labels.join(", ")));
    }
    line("epochs until these weights", &training["valid"]["epoch"]);
    line("fingerprint of the data", &training["data"]);
    if !training.is_null() {
        let mut all = training.clone();
        if !weights.is_null() {
            all["weights"] = weights;
        }
        let all = format!("{all:#}");
        let _ = write!(
            text,
            "\n<details><summary>All that the file says of it</summary>\n\n```json\n{all}\n```\n\n</details>\n"
        );
    }
    if text.is_empty() {
        "The file says nothing of it.\n".into()
    } else {
        text
    }
}

fn usage(file: &ModelFile) -> String {
    let mut text = String::from(
        "\n## Use\n\nWith hydranet, which reads the whole folder:\n\n```sh\nhydranet pull hf://ORGANISATION/NAME --out model\n\
         hydranet predict --model model photo.jpg\n```\n\n```rust\nlet predictor = hydranet::Predictor::from_file(\"model\")?;\n\
         let prediction = predictor.predict_file(\"photo.jpg\")?;\n```\n",
    );
    let heads = &file.description.model.heads;
    let plain = heads.iter().all(|h| !h.loss.kind.is_cumulative());
    if file.description.model.backbone.entry().is_some() {
        return text;
    }
    let _ = write!(
        text,
        "\nIn Python, timm loads the backbone (`{MODEL}`, `{CONFIG}`):\n\n```python\nimport timm\n\n\
         backbone = timm.create_model(\"local-dir:model\", pretrained=True)  # or hf-hub:ORGANISATION/NAME\n```\n\nThe heads are linear layers \
         in `{HEADS}`, `heads.NAME.fc.weight` and `.fc.bias`"
    );
    if heads.iter().any(|h| h.layers.hidden > 0) {
        text += ", some behind a hidden layer `heads.NAME.hidden.…` and a ReLU";
    }
    text += "; its metadata `hydranet` has the labels.";
    if !plain {
        text +=
            " Heads of ordered labels (`coral`, `corn`) have one output a border between labels.";
    }
    if heads.iter().any(|h| h.labels.number.is_some()) {
        text += " Heads that predict a number have one output a bin of `range`.";
    }
    if heads.iter().any(|h| !h.layers.reads_features()) {
        text += " Some do not read the features alone (`pool`, `from_stage`, `after`, `own_stages`, `crop` in the metadata).";
    }
    if heads.iter().any(HeadSpec::is_multi_label) {
        text +=
            " Heads of several labels at once (`kind = \"multi_label\"`) have a sigmoid a label.";
    }
    text.push('\n');
    text
}
