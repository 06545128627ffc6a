//! One model behind a server's threads, without a lock: each takes uploads and answers with a name: `threads MODEL PHOTO`. In an
//! async server the call stands in `spawn_blocking`.

use hydranet::Predictor;
use std::thread;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let predictor = Predictor::from_file(of(1))?;
    let upload = std::fs::read(of(2))?;
    let mut all = Vec::new();
    thread::scope(|scope| {
        let answer = || (0..8).map(|_| predictor.predict_bytes(&upload)).collect();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(answer)).collect();
        let answers = threads.into_iter().map(|t| t.join().expect("no panic"));
        answers.for_each(|of_thread: Vec<_>| all.extend(of_thread));
    });
    let all = all.into_iter().collect::<hydranet::Result<Vec<_>>>()?;
    let same = all.iter().all(|p| *p == all[0]);
    println!("{} predictions, all the same: {same}", all.len());
    Ok(())
}
