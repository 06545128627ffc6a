//! Another program that uses a trained model: `consumer [--bytes] MODEL PHOTO…`.

use hydranet::{Prediction, Predictor};
use std::error::Error;
use std::process::ExitCode;

fn predict(model: &str, photos: &[String], as_bytes: bool) -> Result<(), Box<dyn Error>> {
    let predictor = if as_bytes {
        // As with `include_bytes!`.
        let bytes = std::fs::read(model)?;
        Predictor::from_bytes(&bytes)?
    } else {
        Predictor::from_file(model)?
    };
    for photo in photos {
        let prediction = predictor.predict_file(photo)?;
        println!("{photo}: {}", line(&prediction));
    }
    Ok(())
}

/// `15 (not_worn / female / young), probability 0.731: mask not_worn, gender female, age young`.
fn line(p: &Prediction) -> String {
    let label =
        |h: &hydranet::HeadPrediction| format!("{} {}", h.head, h.label.as_deref().unwrap_or("-"));
    let labels: Vec<String> = p.heads.iter().map(label).collect();
    let labels = labels.join(", ");
    format!(
        "{} ({}), probability {:.3}: {labels}",
        p.class, p.name, p.prob
    )
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let as_bytes = arguments.first().is_some_and(|a| a == "--bytes");
    if as_bytes {
        arguments.remove(0);
    }
    let [model, photos @ ..] = arguments.as_slice() else {
        eprintln!("usage: consumer [--bytes] MODEL PHOTO…");
        return ExitCode::from(2);
    };
    match predict(model, photos, as_bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
