//! Files of events, read back record by record and field by field. What TensorBoard's own reader says of them:
//! `golden/check_tensorboard.py`.

use crate::common::runs::Bench;
use crate::io::events::records;
use std::collections::BTreeMap;

/// The fields of a message: number, and value as bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => varint(&mut bytes).to_le_bytes().to_vec(),
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    2 => varint(&mut bytes) as usize,
                    other => panic!("kind {other}"),
                };
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value.to_vec()
            }
        };
        all.push((key >> 3, value));
    }
    all
}

fn field(message: &[u8], number: u64) -> Option<Vec<u8>> {
    let mut all = fields(message).into_iter();
    all.find(|f| f.0 == number).map(|f| f.1)
}

/// Steps and values by tag.
fn values(bytes: &[u8]) -> BTreeMap<String, Vec<(u64, Vec<u8>)>> {
    let (all, end) = records(bytes);
    assert_eq!(end, bytes.len(), "every record is whole");
    assert_eq!(field(all[0], 3).unwrap(), b"brain.Event:2");
    let mut values: BTreeMap<String, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
    for event in &all[1..] {
        let step = u64::from_le_bytes(field(event, 2).unwrap().try_into().unwrap());
        for (_, value) in fields(&field(event, 5).unwrap()) {
            let tag = String::from_utf8(field(&value, 1).unwrap()).unwrap();
            values.entry(tag).or_default().push((step, value));
        }
    }
    values
}

#[test]
fn a_run_writes_events_that_say_what_its_tables_say() {
    let bench = Bench::new();
    let file = "tensorboard/events.out.tfevents.0.hydranet";
    let settings = ["train.tensorboard=true", "train.report_gradients=1"];
    let config = Bench::config(&settings).unwrap();
    // Stopped within the second epoch, and gone on with.
    bench.train(&config, "run", false, Some(9)).unwrap();
    let outcome = bench.train(&config, "run", true, None).unwrap();
    assert!(!outcome.stopped);
    let found = values(&bench.bytes("run", file));
    let scalar = |tag: &str| -> Vec<(u64, f32)> {
        let of = found
            .get(tag)
            .unwrap_or_else(|| panic!("no {tag} in {:?}", found.keys()));
        let number =
            |value: &[u8]| f32::from_le_bytes(field(value, 2).unwrap().try_into().unwrap());
        of.iter()
            .map(|(step, value)| (*step, number(value)))
            .collect()
    };
    let records = &outcome.progress.records;
    assert_eq!(scalar("loss/train").len(), records.len());
    for (i, record) in records.iter().enumerate() {
        let step = record.epoch as u64;
        assert_eq!(scalar("loss/train")[i], (step, record.train_loss as f32));
        assert_eq!(
            scalar("macro_f1/class")[i],
            (step, record.macro_f1.unwrap() as f32)
        );
        assert_eq!(
            scalar("macro_f1/age")[i],
            (step, record.head_macro_f1[2].unwrap() as f32)
        );
        assert_eq!(
            scalar("learning_rate/heads")[i],
            (step, record.lr_heads.unwrap() as f32)
        );
        let norm = record.gradients.as_ref().unwrap().norms[0].unwrap();
        assert_eq!(scalar("gradient/mask")[i], (step, norm as f32));
    }
    assert_eq!(scalar("cosine/mask_age").len(), records.len());
    let scores = outcome.scores.unwrap();
    assert_eq!(
        scalar("final/macro_f1/class"),
        [(2, scores.class.macro_f1 as f32)]
    );
    // Pictures are PNGs of the sides that are said.
    for (tag, side) in [
        ("photos/0", 32),
        ("confusion/mask", 3 * 16),
        ("confusion/class", 18 * 16),
    ] {
        let picture = field(&found[tag][0].1, 4).unwrap();
        let png = image::load_from_memory(&field(&picture, 4).unwrap()).unwrap();
        let said = |f| u64::from_le_bytes(field(&picture, f).unwrap().try_into().unwrap());
        assert_eq!((said(1), said(2)), (side, side), "{tag}");
        assert_eq!(
            (png.height() as u64, png.width() as u64),
            (side, side),
            "{tag}"
        );
    }
    assert!(found.contains_key("photos/15") && !found.contains_key("photos/16"));
    for part in ["experiment", "session_start_info", "session_end_info"] {
        assert_eq!(found[&format!("_hparams_/{part}")].len(), 1, "once");
    }
    // As TensorBoard's own definitions number the fields: an experiment has settings (4) and metrics (5).
    let content = |part: &str, number: u64| {
        let metadata = field(&found[&format!("_hparams_/{part}")][0].1, 9).unwrap();
        let plugin = field(&metadata, 1).unwrap();
        assert_eq!(field(&plugin, 1).unwrap(), b"hparams");
        field(&field(&plugin, 2).unwrap(), number).unwrap()
    };
    let experiment = content("experiment", 2);
    let metric = field(&field(&experiment, 5).unwrap(), 1).unwrap();
    assert_eq!(field(&metric, 2).unwrap(), b"final/macro_f1/class");
    let of_experiment = fields(&experiment).into_iter().filter(|f| f.0 == 4);
    let session = fields(&content("session_start_info", 3))
        .into_iter()
        .filter(|f| f.0 == 1);
    let name = |f: (u64, Vec<u8>)| String::from_utf8(field(&f.1, 1).unwrap()).unwrap();
    let names: Vec<String> = of_experiment.map(name).collect();
    assert_eq!(names, session.map(name).collect::<Vec<_>>());
    assert!(names.contains(&"train.lr_heads".into()) && names.contains(&"model.backbone".into()));
    assert_eq!(
        field(&content("session_end_info", 4), 1).unwrap()[0],
        1,
        "success"
    );
    // Nothing else of the run is another.
    let plain = Bench::config(&["train.report_gradients=1"]).unwrap();
    bench.train(&plain, "plain", false, None).unwrap();
    for name in ["best.safetensors", "metrics.csv", "scores.json"] {
        assert_eq!(
            bench.bytes("run", name),
            bench.bytes("plain", name),
            "{name}"
        );
    }
    assert!(!bench.out("plain").join("tensorboard").exists());
}
