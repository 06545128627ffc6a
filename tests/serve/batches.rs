//! Requests that are predicted together.

use super::server::read;
use super::{Server, folder, predicted, without_path};

#[test]
fn requests_at_once_are_predicted_in_batches_and_answered_as_if_each_were_alone() {
    let dir = folder();
    let names: Vec<String> = (0..6).map(|i| format!("{i}.png")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lines = predicted(dir.path(), "a.safetensors", &names);
    let args = [
        "--max-batch-size",
        "4",
        "--max-queue-delay-microseconds",
        "2000000",
    ];
    let server = Server::start(
        dir.path(),
        &[&["--model", "a.safetensors"], &args[..]].concat(),
    );
    let _idle = server.idle();
    std::thread::scope(|scope| {
        for turn in 0..8 {
            let (server, lines, dir) = (&server, &lines, &dir);
            scope.spawn(move || {
                for round in 0..3 {
                    let i = (turn + round) % 6;
                    let photo = read(dir.path(), &format!("{i}.png"));
                    let answer = server.post("/predict", "image/png", &photo);
                    assert_eq!(answer.text(), without_path(&lines[i]));
                }
            });
        }
    });
    assert_eq!(server.metric("hydranet_batch_size_sum{model=\"a\"}"), 24.0);
    let batches = server.metric("hydranet_batch_size_count{model=\"a\"}");
    assert!((6.0..=12.0).contains(&batches), "{batches}");
    assert_eq!(
        server.metric("hydranet_batch_size_bucket{model=\"a\",le=\"4\"}"),
        batches
    );
}

#[test]
fn a_broken_photo_in_a_batch_harms_no_other() {
    let dir = folder();
    let line = without_path(&predicted(dir.path(), "a.safetensors", &["0.png"])[0]);
    let args = [
        "--max-batch-size",
        "4",
        "--max-queue-delay-microseconds",
        "10000000",
    ];
    let server = Server::start(
        dir.path(),
        &[&["--model", "a.safetensors"], &args[..]].concat(),
    );
    let photo = read(dir.path(), "0.png");
    let _idle = server.idle();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (server, photo, line) = (&server, &photo, &line);
            scope.spawn(move || match i {
                0 | 1 => {
                    let broken = &photo[..photo.len() - 60 - i];
                    let answer = server.post("/predict", "image/png", broken);
                    assert!(answer.error(400).contains("photo 1"));
                }
                _ => assert_eq!(server.post("/predict", "image/png", photo).text(), line),
            });
        }
    });
    assert_eq!(server.metric("hydranet_batch_size_count{model=\"a\"}"), 1.0);
}
