//! What is too large, too slow or too much.

use super::client::{answer, connect, form, head};
use super::server::read;
use super::{Server, folder};
use std::io::{Read, Write};

const MODEL: [&str; 2] = ["--model", "a.safetensors"];

fn start(folder: &std::path::Path, args: &[&str]) -> Server {
    Server::start(folder, &[&MODEL, args].concat())
}

#[test]
fn a_full_queue_answers_429_at_once_and_what_waits_is_still_answered() {
    let dir = folder();
    // Two photos wait for a batch that never fills, until the server is asked to end.
    let wait = [
        "--max-queue-size",
        "2",
        "--max-queue-delay-microseconds",
        "10000000",
    ];
    let mut server = start(dir.path(), &wait);
    let idle = server.idle();
    let photo = read(dir.path(), "0.png");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| server.post("/predict", "image/png", &photo)))
            .collect();
        server.waits_for("hydranet_queue_depth{model=\"a\"}", 2.0);
        let refused = server.post("/predict", "image/png", &photo);
        assert!(refused.error(429).contains("2 photos wait"));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(
            server.metric("hydranet_errors_total{kind=\"queue_full\"}"),
            1.0
        );
        // It was not their time that was up.
        assert_eq!(server.metric("hydranet_queue_depth{model=\"a\"}"), 2.0);
        let files = [("a", &photo[..]), ("b", &photo), ("c", &photo)];
        let (kind, body) = form(&files);
        let refused = server.post("/predict", &kind, &body);
        assert!(refused.error(413).contains("3 photos"));
        server.signal("-TERM");
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap().status, 200);
        }
    });
    drop(idle);
    assert!(server.ended().success());
}

#[test]
fn a_body_that_is_too_large_is_413_however_it_is_sent() {
    let dir = folder();
    let server = start(dir.path(), &["--max-body-bytes", "20000"]);
    let large = vec![7; 5_000_000];
    for path in ["/predict", "/v2/models/a/infer", "/nowhere"] {
        let refused = server.post(path, "image/png", &large);
        assert!(refused.error(413).contains("20000 bytes"));
    }
    // In pieces, without saying how many come.
    let mut stream = connect(&server.address);
    let request = head("POST", "/predict", &[("Transfer-Encoding", "chunked")]);
    stream.write_all(request.as_bytes()).unwrap();
    for _ in 0..50 {
        stream.write_all(b"3e8\r\n").unwrap();
        stream.write_all(&[7; 1000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert!(answer(&stream).unwrap().error(413).contains("20000 bytes"));
    // Who asks before sending is told at once.
    let mut stream = connect(&server.address);
    let headers = [("Content-Length", "5000000"), ("Expect", "100-continue")];
    stream
        .write_all(head("POST", "/predict", &headers).as_bytes())
        .unwrap();
    assert!(answer(&stream).unwrap().error(413).contains("20000 bytes"));
    // What is not is answered, the same way.
    let photo = read(dir.path(), "0.png");
    let mut stream = connect(&server.address);
    let length = photo.len().to_string();
    let headers = [
        ("Content-Length", length.as_str()),
        ("Expect", "100-continue"),
    ];
    stream
        .write_all(head("POST", "/predict", &headers).as_bytes())
        .unwrap();
    stream.write_all(&photo).unwrap();
    assert_eq!(answer(&stream).unwrap().status, 200);
}

#[test]
fn a_photo_of_too_many_pixels_is_refused_by_its_header() {
    let dir = folder();
    let server = start(dir.path(), &["--max-pixels", "1500"]);
    // 40 × 36 and 42 × 36 pixels.
    assert_eq!(
        server
            .post("/predict", "image/png", &read(dir.path(), "0.png"))
            .status,
        200
    );
    let refused = server.post("/predict", "image/png", &read(dir.path(), "2.png"));
    assert!(
        refused
            .error(400)
            .contains("36×42 pixels (height × width); at most 1500")
    );
    let pixels = format!("{:?}", vec![7; 3 * 40 * 40]);
    let request = format!(
        r#"{{"inputs": [{{"name": "x", "datatype": "UINT8", "shape": [1, 40, 40, 3], "data": {pixels}}}]}}"#
    );
    let refused = server.post("/v2/models/a/infer", "application/json", request.as_bytes());
    assert!(refused.error(400).contains("at most 1500"));
}

#[test]
fn who_sends_slowly_is_cut_off_and_holds_nobody_up() {
    let dir = folder();
    let server = start(
        dir.path(),
        &["--read-timeout-seconds", "2", "--max-connections", "40"],
    );
    let photo = read(dir.path(), "0.png");
    // More than there are connections: nothing, half a head, half a body each.
    let length = photo.len().to_string();
    let whole = head("POST", "/predict", &[("Content-Length", &length)]);
    let started = ["", &whole[..20], &whole];
    let slow: Vec<_> = (0..60)
        .map(|i| {
            let mut stream = connect(&server.address);
            stream.write_all(started[i % 3].as_bytes()).unwrap();
            stream
        })
        .collect();
    // Answered as soon as a slow one is cut off.
    assert_eq!(server.post("/predict", "image/png", &photo).status, 200);
    for (i, mut stream) in slow.into_iter().enumerate() {
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        match i % 3 {
            2 => assert!(said.starts_with("HTTP/1.1 408"), "{i}: {said}"),
            _ => assert!(!said.contains("200"), "{i}: {said}"),
        }
    }
    server.waits_for("hydranet_errors_total{kind=\"timeout\"}", 20.0);
    server.waits_for("hydranet_connections", 1.0);
}

#[test]
fn who_takes_no_answer_is_cut_off() {
    let dir = folder();
    let server = start(dir.path(), &["--read-timeout-seconds", "2"]);
    let mut stream = connect(&server.address);
    // Long enough that it is still full when the server has waited.
    stream
        .set_write_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    let request = head("GET", "/openapi.json", &[]);
    // Until neither requests nor answers fit into what the system holds for somebody who reads none of them.
    let sent = (0..100_000_000).try_for_each(|_| stream.write_all(request.as_bytes()));
    assert!(sent.is_err(), "all was taken");
    server.waits_for("hydranet_connections", 1.0);
}

#[test]
fn what_is_no_http_or_breaks_off_harms_no_other() {
    let dir = folder();
    let server = start(dir.path(), &[]);
    let photo = read(dir.path(), "0.png");
    for i in 0..60 {
        let mut stream = connect(&server.address);
        let sent: &[u8] = match i % 4 {
            0 => b"\x16\x03\x01\x02\x00\x01\x00",
            1 => b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            2 => b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
            _ => b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        };
        let _ = stream.write_all(sent);
    }
    for _ in 0..3 {
        assert_eq!(server.post("/predict", "image/png", &photo).status, 200);
    }
    server.waits_for("hydranet_connections", 1.0);
}
