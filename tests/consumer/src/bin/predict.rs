//! The shortest program there is: `predict MODEL PHOTO`.

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let predictor = hydranet::Predictor::from_file(of(1))?;
    let prediction = predictor.predict_file(of(2))?;
    println!("{} {:.3}", prediction.name, prediction.prob);
    Ok(())
}
