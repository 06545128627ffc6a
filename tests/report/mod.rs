//! Pages: how large they become, and what they do with much.

use super::run::{ReportConfig, Source, render};
use crate::common::browser::data;
use crate::data::dataset::{Dataset, Sample, Value};
use crate::eval::read_predictions::parse_predictions;
use crate::{HeadSpec, Photo};
use std::collections::HashMap;
use std::path::Path;

/// Noise, which no compression makes small.
fn noise(side: usize, seed: usize) -> Photo {
    let mut state = seed as u64 * 0x9E37_79B9 + 1;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    let rgb = (0..3 * side * side).map(|_| byte()).collect();
    Photo {
        height: side,
        width: side,
        rgb,
    }
}

/// A page of so many photos with eight heads, of which every fifth is wrong.
fn page(photos: usize) -> String {
    let heads: Vec<HeadSpec> = (0..8)
        .map(|i| {
            HeadSpec::new(
                format!("head_{i}"),
                ["first_label", "second_label", "third_label"],
            )
        })
        .collect();
    let labels = heads
        .iter()
        .map(|h| (h.name.clone(), h.labels.names.clone()));
    let taxonomy = crate::Taxonomy::new(labels.collect::<Vec<_>>()).unwrap();
    let mut text = String::from("path,class,name,prob");
    for head in &heads {
        text += &format!(",{0},{0}_truth", head.name);
        head.labels
            .names
            .iter()
            .for_each(|l| text += &format!(",{}_{l}", head.name));
    }
    text.push('\n');
    let name = |i: usize| format!("a/folder/with/a/long/name/photo-{i:05}.jpg");
    for i in 0..photos {
        text += &format!("{},0,x,0.{:03}", name(i), 999 - i % 900);
        for head in 0..8 {
            let truth = if i % 5 == 0 && head == 0 {
                "second_label"
            } else {
                "first_label"
            };
            text += &format!(",first_label,{truth},0.8,0.15,0.05");
        }
        text.push('\n');
    }
    let sample = |i: usize| Sample::new(name(i), noise(96, i), vec![Some(Value::Label(0)); 8]);
    let dataset = Dataset::new(heads.clone(), (0..photos).map(sample).collect()).unwrap();
    let source = Source {
        name: "run".into(),
        facts: Vec::new(),
        notes: Vec::new(),
        settings: String::new(),
        heads,
        epochs: Default::default(),
        side: "valid".into(),
        rows: parse_predictions(text.as_bytes(), Path::new("predictions"), &taxonomy).unwrap(),
        scores: None,
        persons: HashMap::new(),
        dataset: Some(&dataset),
        heat: Default::default(),
        taxonomy,
    };
    render(&[source], None, ReportConfig::default()).unwrap()
}

#[test]
fn a_page_of_1500_photos_stays_below_8_mib_whatever_they_are() {
    let page = page(1500);
    assert!(page.len() < 8 << 20, "{}", page.len());
    let told = data(&page);
    let run = &told["runs"][0];
    let photos = run["photos"].as_array().unwrap();
    assert_eq!(photos.len(), 1500);
    // Those that are looked at have their pictures.
    let pictures = told["pictures"].as_array().unwrap();
    let wrong = photos.iter().filter(|p| p["t"] != p["c"]);
    let shown = wrong
        .clone()
        .filter(|p| pictures[p["i"].as_u64().unwrap() as usize].is_string());
    assert_eq!((shown.count(), wrong.count()), (300, 300));
    let sum: usize = pictures
        .iter()
        .filter_map(|p| p.as_str())
        .map(str::len)
        .sum();
    assert!(sum <= 6 << 20, "{sum}");
}

#[test]
fn of_more_photos_than_a_page_lists_the_wrong_ones_come_first_and_the_rest_is_counted() {
    let told = data(&page(4100));
    let run = &told["runs"][0];
    let photos = run["photos"].as_array().unwrap();
    assert_eq!((photos.len(), run["of"].as_u64()), (4000, Some(4100)));
    assert!(photos[..820].iter().all(|p| p["t"] != p["c"]));
    assert!(photos[820..].iter().all(|p| p["t"] == p["c"]));
    let surest = |p: &serde_json::Value| p["q"].as_f64().unwrap();
    assert!(
        surest(&photos[0]) >= surest(&photos[819]),
        "the surest wrong ones first"
    );
    assert!(
        surest(&photos[820]) <= surest(&photos[3999]),
        "the least sure right ones first"
    );
    assert!(run["notes"].to_string().contains("4000 of 4100 photos"));
}
