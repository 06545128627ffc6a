//! Several models as one, each photo mirrored too: `ensemble PHOTO MODEL…`.

use hydranet::{Average, Ensemble, Predictor, Views};

fn main() -> hydranet::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((photo, models)) = arguments.split_first() else {
        eprintln!("usage: ensemble PHOTO MODEL…");
        return Ok(());
    };
    let members = models.iter().map(Predictor::from_file);
    let views = Views {
        flip: true,
        ..Views::default()
    };
    let members = members.collect::<hydranet::Result<_>>()?;
    let ensemble = Ensemble::new(members, Average::Probability, views)?;
    let prediction = ensemble.predict_file(photo)?;
    println!("{} {:.3}", prediction.name, prediction.prob);
    Ok(())
}
