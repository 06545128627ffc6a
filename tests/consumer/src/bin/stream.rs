//! Frames that are made only when they are asked for, as of a camera: `stream MODEL COUNT`.

use hydranet::{Photo, Predictor};
use std::cell::Cell;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let (predictor, count) = (Predictor::from_file(of(1))?, of(2).parse::<usize>()?);
    let taken = Cell::new(0);
    let frames = (0..count).map(|i| {
        taken.set(i + 1);
        // The fourth frame is cut off.
        let rgb = vec![i as u8; if i == 3 { 10 } else { 48 * 64 * 3 }];
        let (height, width) = (48, 64);
        Photo { height, width, rgb }
    });
    let (mut right, mut held) = (0, 0);
    for (answered, answer) in predictor.predict_iter(frames).enumerate() {
        held = held.max(taken.get() - answered);
        match answer {
            Ok(_) => right += 1,
            Err(error) => eprintln!("{error:#}"),
        }
    }
    println!("{right} of {count} frames, at most {held} held");
    Ok(())
}
