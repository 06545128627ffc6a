//! Models that change while they are served.

use super::server::read;
use super::{Server, folder, predicted, without_path};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Puts a file in the place of another, whole.
fn replace(folder: &Path, from: &str) {
    std::fs::copy(folder.join(from), folder.join("next")).unwrap();
    std::fs::rename(folder.join("next"), folder.join("served.safetensors")).unwrap();
}

/// Lets clients end, whatever the test comes to.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn reloads(outcome: &str) -> String {
    format!("hydranet_reloads_total{{model=\"served\",outcome=\"{outcome}\"}}")
}

#[test]
fn changed_files_and_hangups_load_models_while_every_request_is_answered() {
    let dir = folder();
    let [a, b] = ["a", "b"].map(|model| {
        let lines = predicted(dir.path(), &format!("{model}.safetensors"), &["0.png"]);
        without_path(&lines[0])
    });
    assert_ne!(a, b);
    replace(dir.path(), "a.safetensors");
    let server = Server::start(dir.path(), &["--model", "served.safetensors"]);
    let photo = read(dir.path(), "0.png");
    let done = AtomicBool::new(false);
    let asked = || server.post("/predict", "image/png", &photo);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = [0, 0];
                    while !done.load(Ordering::Relaxed) {
                        let answer = asked();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        // Never a mixture of both.
                        let which = [&a, &b].iter().position(|line| *line == answer.text());
                        seen[which.unwrap()] += 1;
                    }
                    seen
                })
            })
            .collect();
        let end = Done(&done);
        assert_eq!(asked().text(), a);
        replace(dir.path(), "b.safetensors");
        server.waits_until(&reloads("loaded"), |v| v >= 1.0);
        assert_eq!(asked().text(), b);
        replace(dir.path(), "a.safetensors");
        server.signal("-HUP");
        server.waits_until(&reloads("loaded"), |v| v >= 2.0);
        assert_eq!(asked().text(), a);
        drop(end);
        for client in clients {
            let [of_a, of_b] = client.join().unwrap();
            assert!(of_a > 0 && of_b > 0, "{of_a}, {of_b}");
        }
    });
    server.says("model served: loaded anew from served.safetensors");
}

#[test]
fn a_broken_file_is_refused_said_and_the_old_model_kept() {
    let dir = folder();
    replace(dir.path(), "a.safetensors");
    let server = Server::start(dir.path(), &["--model", "served.safetensors"]);
    let photo = read(dir.path(), "0.png");
    let asked = || {
        let answer = server.post("/predict", "image/png", &photo);
        assert_eq!(answer.status, 200);
        answer.text().to_string()
    };
    let before = asked();
    let whole = read(dir.path(), "b.safetensors");
    let served = dir.path().join("served.safetensors");
    std::fs::write(&served, &whole[..whole.len() / 2]).unwrap();
    server.waits_until(&reloads("refused"), |v| v >= 1.0);
    server.says("model served: the new file is refused and the old model kept");
    assert_eq!(asked(), before);
    std::fs::remove_file(&served).unwrap();
    server.waits_until(&reloads("refused"), |v| v >= 2.0);
    assert_eq!(asked(), before);
    // One that is whole again is taken.
    std::fs::write(&served, &whole).unwrap();
    server.waits_until(&reloads("loaded"), |v| v >= 1.0);
    assert_ne!(asked(), before);
}
