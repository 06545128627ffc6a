//! Each photo of a folder with its three most likely final classes: `folder MODEL FOLDER`.

use hydranet::Predictor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let predictor = Predictor::from_file(of(1))?;
    let entries = std::fs::read_dir(of(2))?.map(|entry| Ok(entry?.path()));
    let mut photos = entries.collect::<std::io::Result<Vec<_>>>()?;
    photos.sort();
    for (photo, answer) in photos.iter().zip(predictor.predict_iter(photos.clone())) {
        match answer {
            Ok(prediction) => {
                println!("{}", photo.display());
                for (class, prob) in prediction.top_k(3) {
                    println!("  {prob:.3} {}", predictor.taxonomy().class_name(class)?);
                }
            }
            Err(error) => eprintln!("{error:#}"),
        }
    }
    Ok(())
}
