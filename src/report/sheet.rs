//! A contact sheet: photos as the network sees them in training, with what they are taught as.

use super::{page, thumbs};
use crate::error::Result;
use crate::head::HeadSpec;
use crate::io::png::png;
use crate::model::ModelSpec;
use crate::train::preview::Preview;
use serde::Serialize;
use std::path::Path;

/// Targets of a head that are written out; of a number the bins are summed up.
const TARGETS: usize = 4;
/// White pixels between the photos of a picture.
const GAP: usize = 4;

#[derive(Serialize)]
struct Data {
    view: &'static str,
    size: [usize; 2],
    photos: Vec<PhotoData>,
}

#[derive(Serialize)]
struct PhotoData {
    name: String,
    picture: String,
    /// Head and target in words.
    targets: Vec<(String, String)>,
}

/// What a photo is taught as, a head and words each.
pub(crate) fn words(spec: &ModelSpec, photo: &Preview) -> Vec<(String, String)> {
    let heads = spec.heads.iter().zip(&photo.targets);
    let of_head = |(head, target): (&HeadSpec, &Option<Vec<(usize, f32)>>)| {
        let text = match target {
            None => "not taught".into(),
            Some(row) => of_row(head, row),
        };
        (head.name.clone(), text)
    };
    heads.map(of_head).collect()
}

fn of_row(head: &HeadSpec, row: &[(usize, f32)]) -> String {
    if let Some(number) = head.labels.number {
        let width = (number.range[1] - number.range[0]) / number.bins as f64;
        let middle = |bin: usize| number.range[0] + (bin as f64 + 0.5) * width;
        let mean: f64 = row
            .iter()
            .map(|(bin, p)| middle(*bin) * f64::from(*p))
            .sum();
        let sum: f64 = row.iter().map(|(_, p)| f64::from(*p)).sum();
        return format!("about {:.1}", mean / sum.max(f64::MIN_POSITIVE));
    }
    let mut row = row.to_vec();
    row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let groups = || head.labels.groups.keys();
    let name = |place: usize| match place.checked_sub(head.num_labels()) {
        Some(group) => groups().nth(group),
        None => head.labels.names.get(place),
    };
    let part = |(label, weight): &(usize, f32)| match name(*label) {
        Some(name) if *weight >= 0.9995 => name.clone(),
        Some(name) => format!("{name} {weight:.2}"),
        None => String::new(),
    };
    let shown: Vec<String> = row.iter().take(TARGETS).map(part).collect();
    match shown.is_empty() {
        true => "none of its labels".into(),
        false if row.len() > TARGETS => shown.join(", ") + ", …",
        false => shown.join(", "),
    }
}

/// Writes the sheet: a picture where the file's name ends in `.png`, else a page.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(crate) fn write(spec: &ModelSpec, photos: &[Preview], path: &Path) -> Result<()> {
    let size = spec.input.size;
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("png"))
    {
        return crate::io::write_atomically(path, &picture(photos, size));
    }
    let data = |photo: &Preview| {
        Ok(PhotoData {
            name: photo.name.clone(),
            picture: thumbs::jpeg(&photo.rgb, size, path)?,
            targets: words(spec, photo),
        })
    };
    let data = Data {
        view: "sheet",
        size,
        photos: photos.iter().map(data).collect::<Result<_>>()?,
    };
    let shell = page::Shell {
        title: "what the network sees",
        body: page::RUN,
        figures: &[],
        live: false,
    };
    crate::io::write_atomically(path, page::html(&shell, &data)?.as_bytes())
}

/// All photos as one picture, about as wide as high.
fn picture(photos: &[Preview], [height, width]: [usize; 2]) -> Vec<u8> {
    let across = ((photos.len() * height) as f64 / width as f64)
        .sqrt()
        .ceil() as usize;
    let across = across.clamp(1, photos.len().max(1));
    let down = photos.len().div_ceil(across).max(1);
    let size = [down * (height + GAP) + GAP, across * (width + GAP) + GAP];
    let mut rgb = vec![255; 3 * size[0] * size[1]];
    for (i, photo) in photos.iter().enumerate() {
        let (top, left) = (
            i / across * (height + GAP) + GAP,
            i % across * (width + GAP) + GAP,
        );
        for (y, row) in photo.rgb.chunks_exact(3 * width).enumerate() {
            let start = 3 * ((top + y) * size[1] + left);
            rgb[start..start + row.len()].copy_from_slice(row);
        }
    }
    png(&rgb, size)
}
