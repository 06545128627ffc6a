//! The page to look at suspects: what is in it, that nothing in the data can break out of it, and the review in a browser.

use crate::common::browser::{browse, data, output};
use crate::common::runs;
use crate::common::runs::HEADS;
use hydranet::Result;
use hydranet::audit::health::{HealthConfig, health};
use hydranet::audit::{AuditConfig, load_config, run};
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::Dataset;
use hydranet::report::audit::{Page, PageConfig};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A name that would run if it were taken for HTML, and one that would end the element that holds the data.
const EVIL: &str = "images/<img src=x onerror=\"document.title='ran'\">.jpg";
const CLOSING: &str = "images/a<!--</script><script>document.title='ran'</script>\"\u{7f}é.jpg";

/// An audit of portraits, most of whose ages are wrong, so that there are suspects.
fn audited(shown: usize) -> (tempfile::TempDir, Dataset, String) {
    let dir = tempfile::tempdir().unwrap();
    let portraits = PortraitConfig {
        people: 24,
        seed: 5,
        size: (48, 48),
    };
    let data = write_portraits(&dir.path().join("faces"), &portraits).unwrap();
    let text = std::fs::read_to_string(&data).unwrap();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for (line, name) in [(1, EVIL), (2, CLOSING)] {
        let cells: Vec<&str> = lines[line].split(',').collect();
        let to = data.with_file_name(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(data.with_file_name(cells[0]), to).unwrap();
        let other = if cells[3] == "male" { "female" } else { "male" };
        let quoted = name.replace('"', "\"\"");
        lines[line] = format!(
            "\"{quoted}\",{},{},{other},{},{}",
            cells[1], cells[2], cells[4], cells[5]
        );
    }
    std::fs::write(&data, lines.join("\n") + "\n").unwrap();
    let settings = [
        "model.input.size=[32,32]",
        "train.epochs=1",
        "train.batch=16",
    ];
    let settings = settings.map(String::from);
    let config = load_config(Path::new(HEADS), None, &settings).unwrap();
    let dataset = Dataset::open(&[data], &config.model_spec().unwrap().heads).unwrap();
    let out = dir.path().join("audit");
    let options = AuditConfig {
        folds: 2,
        ..AuditConfig::default()
    };
    let stop = AtomicBool::new(false);
    let audited = run(
        &config,
        Path::new(HEADS),
        &dataset,
        &options,
        &out,
        &stop,
        &mut |_| (),
    )
    .unwrap()
    .unwrap();
    let page = Page {
        dataset: &audited.dataset,
        taxonomy: &config.model_spec().unwrap().taxonomy().unwrap(),
        audit: Some((&audited.audit, &audited.questions)),
        features: audited.features.as_deref(),
        health: None,
    };
    let shown = PageConfig {
        shown,
        ..PageConfig::default()
    };
    let page = page.render(&shown).unwrap();
    (dir, dataset, page)
}

#[test]
fn the_page_stands_alone_and_is_no_larger_than_asked_for() {
    let (_dir, dataset, page) = audited(5);
    for outside in ["http://", "https://", "src=\"//", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
    let data = data(&page);
    let tabs = data["tabs"].as_array().unwrap();
    let ids: Vec<&str> = tabs.iter().map(|t| t["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["mask", "gender", "age", "class", "persons"]);
    let photos = data["photos"].as_array().unwrap();
    let mut cards = 0;
    for tab in tabs {
        let of = tab["cards"].as_array().unwrap();
        assert!(of.len() <= 5 && of.len() <= tab["of"].as_u64().unwrap() as usize);
        cards += of.len();
        for card in of {
            let photo = &photos[card["photo"].as_u64().unwrap() as usize];
            let indices = |key: &str| -> Vec<usize> {
                let all = card[key].as_array().into_iter().flatten();
                all.map(|i| i.as_u64().unwrap() as usize).collect()
            };
            let person = |i: usize| photos[i]["person"].as_str();
            for own in indices("own") {
                assert_eq!(person(own), photo["person"].as_str());
            }
            let near = indices("near");
            assert!(near.len() <= 4 && (tab["kind"] != "head" || !near.is_empty()));
            for near in near {
                assert_ne!(person(near), photo["person"].as_str());
                if let Some(head) = tab["head"].as_u64() {
                    let given = &photos[near]["given"][head as usize];
                    assert_eq!(given.as_i64(), card["suggested"].as_i64());
                }
            }
            assert_ne!(card["given"], card["suggested"]);
        }
    }
    assert!(cards > 3 && photos.len() <= dataset.samples.len());
    let thumbs: Vec<&str> = photos
        .iter()
        .map(|p| p["thumb"].as_str().unwrap())
        .collect();
    assert!(
        thumbs
            .iter()
            .all(|t| t.starts_with("data:image/jpeg;base64,/9j/"))
    );
    let least = thumbs.iter().map(|t| t.len()).sum::<usize>();
    assert!(page.len() < least + 60_000, "{} of {least}", page.len());
}

#[test]
fn a_name_cannot_break_out_of_the_page() -> Result<()> {
    let (_dir, dataset, _) = audited(1);
    let taxonomy = runs::Bench::config(&[])?.model_spec()?.taxonomy()?;
    // Everything is a finding: every name is on the page.
    let limits = ["information=0", "blurred=0", "dark=0", "bright=0"].map(String::from);
    let report = health(
        &dataset,
        &taxonomy,
        None,
        &HealthConfig::with(&limits)?,
        &mut |_, _| (),
    )?;
    let page = Page {
        dataset: &dataset,
        taxonomy: &taxonomy,
        audit: None,
        features: None,
        health: Some(&report),
    };
    let text = page.render(&PageConfig {
        shown: 1000,
        ..PageConfig::default()
    })?;
    assert_eq!(text.matches("<script").count(), 2, "its own two");
    assert_eq!(text.matches("</script>").count(), 2);
    assert!(!text.contains("<img") && !text.contains("<!--"));
    let data = data(&text);
    let names: Vec<&str> = data["photos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&EVIL) && names.contains(&CLOSING));
    let Some(dom) = browse(&text, "") else {
        return Ok(());
    };
    assert!(!dom.contains("<title>ran</title>"), "a name was run");
    assert!(dom.contains("&lt;img src=x onerror="), "and is shown");
    Ok(())
}

/// Presses keys and shows the file of corrections.
const REVIEW: &str = r##"
const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const go = (id) => open(data.tabs.findIndex((t) => t.id === id));
go("gender");
press("r"); press("k"); press("d");
press("r"); press("u");
const first = state.at;
go("class"); press("r"); press("d");
go("persons"); if (tab().cards.length) press("r");
go("age"); press("ArrowRight"); press("ArrowLeft"); press("3");
const kept = Object.keys(JSON.parse(localStorage.getItem(storage) || "{}")).length;
const pre = document.createElement("pre");
pre.id = "out";
pre.textContent = corrections() + "# " + Object.keys(state.decisions).length + " " + kept + " " + first;
document.body.append(pre);
"##;

#[test]
fn a_review_by_keyboard_gives_corrections_that_fit_the_data() {
    let (_dir, dataset, page) = audited(20);
    let Some(dom) = browse(&page, REVIEW) else {
        return;
    };
    assert!(!dom.contains("<title>ran</title>"), "a name was run");
    let text = output(&dom);
    let mut corrections = Corrections::default();
    corrections
        .add(text.as_bytes(), Path::new("corrections.toml"))
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    let data = data(&page);
    let tab = |id: &str| {
        data["tabs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|t| t["id"] == id)
            .unwrap()
    };
    let card = |i: usize| &tab("gender")["cards"][i];
    let name = |i: usize| {
        data["photos"][card(i)["photo"].as_u64().unwrap() as usize]["name"]
            .as_str()
            .unwrap()
    };
    let suspects = tab("gender")["cards"].as_array().unwrap().len();
    let of_gender: Vec<(String, String)> = corrections
        .entries()
        .filter(|c| c.action.head() == Some("gender") && c.was.is_some())
        .map(|c| (c.subject.to_string(), c.action.name().to_string()))
        .take(suspects.min(3))
        .collect();
    let expected: Vec<(String, String)> = ["relabel", "keep", "drop"]
        .into_iter()
        .enumerate()
        .take(suspects)
        .map(|(i, a)| (format!("photo `{}`", name(i)), a.to_string()))
        .collect();
    assert_eq!(of_gender, expected, "{text}");
    let last: Vec<usize> = text.lines().last().unwrap()[2..]
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(
        last[0] >= 5 && (last[1] == last[0] || last[1] == 0),
        "{text}"
    );
    let report = corrections.apply(&mut dataset.clone()).unwrap();
    assert!(report.relabelled > 0, "{report}");
    let stale = report
        .notes
        .iter()
        .filter(|n| n.message.contains("not in the data"));
    assert_eq!(stale.count(), 0, "{report}");
}
