//! How the server begins and ends.

use super::client::{answer, connect, head};
use super::server::read;
use super::{Server, folder};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

#[test]
fn sigterm_and_ctrl_c_finish_what_is_under_way() {
    let dir = folder();
    let photo = read(dir.path(), "0.png");
    for name in ["-TERM", "-INT"] {
        let mut server = Server::start(dir.path(), &["--model", "a.safetensors"]);
        // One has sent half of its photo, one has been answered and keeps its connection.
        let length = photo.len().to_string();
        let request = head("POST", "/predict", &[("Content-Length", &length)]);
        let [mut half, mut idle] = [(); 2].map(|()| connect(&server.address));
        idle.write_all(request.as_bytes()).unwrap();
        idle.write_all(&photo).unwrap();
        assert_eq!(answer(&idle).unwrap().status, 200);
        half.write_all(request.as_bytes()).unwrap();
        half.write_all(&photo[..100]).unwrap();
        // A connection is taken up in the order it came: one that is answered came later.
        assert_eq!(server.get("/v2/health/ready").status, 200);
        server.signal(name);
        server.says("ending");
        half.write_all(&photo[100..]).unwrap();
        assert_eq!(answer(&half).unwrap().status, 200);
        assert!(answer(&idle).is_none());
        assert!(server.ended().success());
        server.says("ended");
        assert!(TcpStream::connect(&server.address).is_err());
    }
}

#[test]
fn asked_twice_it_ends_at_once() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let mut half = connect(&server.address);
    let request = head("POST", "/predict", &[("Content-Length", "1000")]);
    half.write_all(request.as_bytes()).unwrap();
    assert_eq!(server.get("/v2/health/ready").status, 200);
    server.signal("-TERM");
    server.says("ending");
    server.signal_until("-TERM", "ended at once");
    assert!(server.ended().success());
}

#[test]
fn what_cannot_be_served_is_said_before_it_listens() {
    let dir = folder();
    let taken = Server::start(dir.path(), &["--model", "a.safetensors"]);
    for (args, words) in [
        (vec!["--model", "none.safetensors"], "none.safetensors"),
        (vec!["--model", "0.png"], "0.png"),
        (
            vec!["--model", "a.safetensors", "--model", "a=b.safetensors"],
            "`a` twice",
        ),
        (vec!["--model", "a b=a.safetensors"], "NAME=FILE"),
        (
            vec!["--model", "a.safetensors", "--listen", &taken.address],
            "cannot listen on 127.0.0.1",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
        command.current_dir(dir.path()).arg("serve").args(&args);
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
