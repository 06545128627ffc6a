//! What the rows of features of a model hold, what each head reads of them, and in which order the heads are computed.

use super::ModelSpec;
use crate::backbone::{Architecture, Branch, Reading, ShownMap};
use crate::error::{Error, Result};
use crate::head::{HeadSpec, Inputs, Segment};

/// The rows of features of a model: the backbone's own features first, then what heads read beside them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Values of a row.
    pub width: usize,
    /// What stands behind the features.
    pub readings: Vec<Reading>,
    /// What stands behind that: what heads have stages of their own for.
    pub branches: Vec<Branch>,
    /// The parts of the image whose rows stand behind the row of the whole, each as wide as that.
    pub crops: Vec<[f64; 4]>,
    /// What each head reads.
    pub heads: Vec<Inputs>,
    /// What the joint head reads.
    pub joint: Inputs,
    /// The heads, each behind those it comes after.
    pub order: Vec<usize>,
}

impl Layout {
    /// Of a model whose parts are valid.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the head and the setting: a stage that the backbone does not show, a head it cannot come after.
    pub(crate) fn of(spec: &ModelSpec) -> Result<Self> {
        let features = spec.backbone.num_features();
        let order = order(&spec.heads)?;
        let mut row = Row {
            width: features,
            parts: Vec::new(),
        };
        let mut shown = None;
        let mut segments = Vec::new();
        let mut branches = Vec::new();
        for head in &spec.heads {
            let layers = &head.layers;
            if layers.own_stages > 0 {
                branches.push(branch(spec, head)?);
            }
            if layers.pool.is_average() && layers.from_stage.is_empty() {
                segments.push(Inputs::features(features, 0).segments);
                continue;
            }
            let maps = match &shown {
                Some(maps) => maps,
                None => shown.insert(maps(spec, head)?),
            };
            let wanted = wanted(head, maps, spec.backbone)?;
            let own = wanted.iter().map(|map| match layers.own_stages {
                0 => row.place(map, layers.pool.is_average()),
                // Its own last map is of the same size.
                _ => Segment {
                    start: 0,
                    channels: map.channels,
                    positions: map.positions,
                },
            });
            segments.push(own.collect());
        }
        // A head with stages of its own reads what they make, which no other does.
        for branch in &branches {
            let of_head = spec.heads.iter().zip(&mut segments);
            for (_, segments) in of_head.filter(|(head, _)| head.name == branch.head) {
                let reads: &mut Vec<Segment> = segments;
                for segment in reads {
                    segment.start = row.width;
                    row.width += segment.channels * segment.positions;
                }
            }
        }
        let crops = crops(&spec.heads);
        for (head, segments) in spec.heads.iter().zip(&mut segments) {
            let place = crops.iter().position(|c| Some(*c) == head.layers.crop);
            for segment in segments.iter_mut() {
                segment.start += place.map_or(0, |place| (place + 1) * row.width);
            }
        }
        row.width *= 1 + crops.len();
        let heads = spec
            .heads
            .iter()
            .zip(segments)
            .map(|(head, segments)| Inputs {
                row: row.width,
                segments,
                after: siblings(&spec.heads, head),
            });
        Ok(Self {
            width: row.width,
            heads: heads.collect(),
            joint: Inputs::features(features, row.width),
            order,
            branches,
            crops,
            readings: row.parts.into_iter().map(|(reading, _)| reading).collect(),
        })
    }

    /// Whether rows hold whole maps, which are as long as images of one size make them.
    pub(crate) fn has_maps(&self) -> bool {
        self.readings.iter().any(|r| !r.mean) || self.branches.iter().any(|b| b.map)
    }
}

/// A row being laid out.
struct Row {
    width: usize,
    parts: Vec<(Reading, Segment)>,
}

impl Row {
    /// Where a map, or the mean of it, stands; behind all others if no head before has read it.
    fn place(&mut self, map: &ShownMap, mean: bool) -> Segment {
        let reading = Reading {
            place: map.place,
            last: map.stage.is_none(),
            mean,
        };
        if let Some((_, segment)) = self.parts.iter().find(|(r, _)| *r == reading) {
            return *segment;
        }
        let segment = Segment {
            start: self.width,
            channels: map.channels,
            positions: if mean { 1 } else { map.positions },
        };
        self.width += segment.channels * segment.positions;
        self.parts.push((reading, segment));
        segment
    }
}

/// The parts of the image that heads see for themselves, each once.
fn crops(heads: &[HeadSpec]) -> Vec<[f64; 4]> {
    let mut all = Vec::new();
    for crop in heads.iter().filter_map(|head| head.layers.crop) {
        if !all.contains(&crop) {
            all.push(crop);
        }
    }
    all
}

/// The stages that a head has for itself.
fn branch(spec: &ModelSpec, head: &HeadSpec) -> Result<Branch> {
    let stages = head.layers.own_stages;
    let found = spec.backbone.own_prefixes(stages);
    found.map_err(|error| match error {
        Error::Invalid {
            what,
            expected,
            found,
        } => invalid(head, &what, expected, found),
        other => other,
    })?;
    Ok(Branch {
        head: head.name.clone(),
        stages,
        map: !head.layers.pool.is_average(),
    })
}

fn invalid(head: &HeadSpec, what: &str, expected: String, found: String) -> Error {
    Error::Invalid {
        what: format!("head `{}`, {what}", head.name),
        expected,
        found,
    }
}

/// What of a head's settings asks for maps.
fn asking(head: &HeadSpec) -> &'static str {
    if head.layers.from_stage.is_empty() {
        "pool"
    } else {
        "from_stage"
    }
}

/// The maps of the backbone, which a head asks for.
fn maps(spec: &ModelSpec, head: &HeadSpec) -> Result<Vec<ShownMap>> {
    let maps = spec.backbone.shown_maps(spec.input.size);
    maps.map_err(|error| match error {
        Error::Invalid {
            what,
            expected,
            found,
        } => invalid(
            head,
            &format!("{} with {what}", asking(head)),
            expected,
            found,
        ),
        other => other,
    })
}

/// The maps a head reads.
fn wanted(head: &HeadSpec, maps: &[ShownMap], backbone: Architecture) -> Result<Vec<ShownMap>> {
    let stages = &head.layers.from_stage;
    if stages.is_empty() {
        return Ok(maps.iter().filter(|m| m.stage.is_none()).copied().collect());
    }
    let find = |stage: &usize| {
        let found = maps.iter().find(|m| m.stage == Some(*stage));
        found.copied().ok_or_else(|| {
            let known: Vec<String> = maps
                .iter()
                .filter_map(|m| Some(m.stage?.to_string()))
                .collect();
            let expected = format!("of the stages {} of {backbone}", known.join(", "));
            invalid(head, "from_stage", expected, stage.to_string())
        })
    };
    stages.iter().map(find).collect()
}

/// Places and labels of the heads that a head comes after, which are known.
fn siblings(heads: &[HeadSpec], head: &HeadSpec) -> Vec<(usize, usize)> {
    let place = |name: &String| heads.iter().position(|h| h.name == *name);
    let places = head.layers.after.iter().filter_map(place);
    places.map(|i| (i, heads[i].num_labels())).collect()
}

/// The heads, each behind those it comes after; else in their own order.
fn order(heads: &[HeadSpec]) -> Result<Vec<usize>> {
    for head in heads {
        let unknown = |name: &&String| !heads.iter().any(|h| h.name == **name);
        if let Some(name) = head.layers.after.iter().find(unknown) {
            let others = heads.iter().filter(|h| h.name != head.name);
            let others: Vec<String> = others.map(|h| format!("`{}`", h.name)).collect();
            let expected = match others.len() {
                0 => "no head, for the model has no other".into(),
                _ => format!("other heads of the model, {}", others.join(", ")),
            };
            return Err(invalid(head, "after", expected, format!("`{name}`")));
        }
    }
    let mut order: Vec<usize> = Vec::new();
    while order.len() < heads.len() {
        let ready = |i: &usize| {
            let before = siblings(heads, &heads[*i]);
            !order.contains(i) && before.iter().all(|(place, _)| order.contains(place))
        };
        let Some(next) = (0..heads.len()).find(ready) else {
            let left = (0..heads.len()).filter(|i| !order.contains(i));
            let left: Vec<&HeadSpec> = left.map(|i| &heads[i]).collect();
            let names: Vec<String> = left.iter().map(|h| format!("`{}`", h.name)).collect();
            return Err(invalid(
                left[0],
                "after",
                "an order in which each head comes behind those it is after".into(),
                format!("a circle among {}", names.join(", ")),
            ));
        };
        order.push(next);
    }
    Ok(order)
}
