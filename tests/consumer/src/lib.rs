//! What the programs of this package learn from: pictures drawn in memory, dark or bright, reddish or bluish.
#![cfg(feature = "train")]

use hydranet::data::{Dataset, Sample, Split, Value};
use hydranet::{HeadSpec, Photo, Result};

/// Whether a picture is bright: every second one is.
pub fn shade() -> HeadSpec {
    HeadSpec::new("shade", ["dark", "bright"])
}

/// Its colour: of every four two are red, two blue.
pub fn tint() -> HeadSpec {
    HeadSpec::new("tint", ["red", "blue"])
}

/// The `i`-th picture.
pub fn photo(i: usize) -> Photo {
    let base = if i % 2 == 1 { 170 } else { 40 };
    let channel = if i % 4 < 2 { 0 } else { 2 };
    let value = |at: usize| {
        let noise = ((at * 7919 + i * 104_729) % 41) as u8;
        base + noise + if at % 3 == channel { 40 } else { 0 }
    };
    Photo {
        height: 40,
        width: 32,
        rgb: (0..3 * 40 * 32).map(value).collect(),
    }
}

/// Its label of a head of these two.
pub fn label(head: &HeadSpec, i: usize) -> Option<Value> {
    let label = if head.name == "shade" {
        i % 2
    } else {
        i % 4 / 2
    };
    Some(Value::Label(label))
}

/// 48 pictures to learn from and 16 to choose the best epoch by.
pub fn dataset(heads: Vec<HeadSpec>) -> Result<Dataset> {
    let sample = |i: usize| Sample {
        split: Some(if i < 48 { Split::Train } else { Split::Valid }),
        ..Sample::new(
            format!("picture {i}"),
            photo(i),
            heads.iter().map(|head| label(head, i)).collect(),
        )
    };
    let samples = (0..64).map(sample).collect();
    Dataset::new(heads, samples)
}
