//! One model, called by four threads at once, without a lock: `threads MODEL PHOTO`.

use hydranet::Predictor;
use std::sync::Arc;

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let predictor = Arc::new(Predictor::from_file(of(1))?);
    let threads = (0..4).map(|_| {
        let (predictor, photo) = (predictor.clone(), of(2));
        std::thread::spawn(move || {
            (0..8)
                .map(|_| predictor.predict_file(&photo))
                .collect::<hydranet::Result<Vec<_>>>()
        })
    });
    // All are started before the first is waited for.
    let threads: Vec<_> = threads.collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().expect("no thread panics")?);
    }
    let same = all.iter().all(|p| *p == all[0]);
    println!("{} predictions, all the same: {same}", all.len());
    Ok(())
}
