//! What each path answers.

use super::client::{connect, form, head};
use super::server::read;
use super::{Server, ask, folder, predicted, without_path};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::Write;

#[test]
fn a_photo_is_answered_as_predict_prints_it_and_those_of_a_form_byte_for_byte() {
    let dir = folder();
    let server = Server::start(
        dir.path(),
        &["--model", "a.safetensors", "--model", "other=b.safetensors"],
    );
    let names = ["0.png", "1.png", "2.png"];
    for (query, model) in [("", "a"), ("?model=a", "a"), ("?model=other", "b")] {
        let lines = predicted(dir.path(), &format!("{model}.safetensors"), &names);
        let photo = read(dir.path(), "1.png");
        let answer = server.post(&format!("/predict{query}"), "image/png", &photo);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json().to_string(), answer.text());
        assert_eq!(answer.text(), without_path(&lines[1]));
        let photos = names.map(|n| read(dir.path(), n));
        let files: Vec<_> = names
            .iter()
            .zip(&photos)
            .map(|(n, p)| (*n, p.as_slice()))
            .collect();
        let (kind, body) = form(&files);
        let answer = server.post(&format!("/predict{query}"), &kind, &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), format!("[{}]", lines.join(",")));
    }
}

#[test]
fn heads_are_explained_by_pictures_that_the_command_writes_too() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let photo = read(dir.path(), "0.png");
    let answer = server.post("/explain", "image/png", &photo);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let heads = answer.json()["heads"].as_array().unwrap().clone();
    let prediction = server.post("/predict", "image/png", &photo).json();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hydranet"));
    let args = [
        "explain",
        "--model",
        "a.safetensors",
        "0.png",
        "--out",
        "heat",
    ];
    let out = command.current_dir(dir.path()).args(args).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(heads.len(), prediction["heads"].as_array().unwrap().len());
    for (of, said) in heads.iter().zip(prediction["heads"].as_array().unwrap()) {
        assert_eq!(of["head"], said["head"]);
        let file = format!("heat/0.{}.png", of["head"].as_str().unwrap());
        let written = read(dir.path(), &file);
        let uri = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(written));
        assert_eq!(of["picture"], uri);
    }
    let (kind, body) = form(&[("a", &photo), ("b", &photo)]);
    let refused = server.post("/explain", &kind, &body);
    assert!(refused.error(400).contains("one photo"));
    let refused = server.post("/explain?method=x", "image/png", &photo);
    assert!(refused.error(400).contains("/explain"));
    let refused = server.post("/explain", "image/png", &photo[..60]);
    assert!(refused.error(400).contains("photo 1"));
}

#[test]
fn what_each_view_of_a_photo_says_is_averaged_as_by_predict() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors", "--flip"]);
    let photo = read(dir.path(), "0.png");
    let flipped = server.post("/predict", "image/png", &photo);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hydranet"));
    let args = [
        "predict",
        "--json",
        "--flip",
        "--model",
        "a.safetensors",
        "0.png",
    ];
    let out = command.current_dir(dir.path()).args(args).output().unwrap();
    let line = String::from_utf8(out.stdout).unwrap();
    assert_eq!(flipped.text(), without_path(&line));
}

#[test]
fn what_cannot_be_predicted_is_400_with_the_reason_and_the_connection_goes_on() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let whole = read(dir.path(), "0.png");
    let mut bomb = whole.clone();
    // Height and width of the header, whose checksum is then wrong too.
    bomb[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let bodies: [(&str, &[u8], &str); 6] = [
        ("image/jpeg", b"", "empty"),
        ("image/jpeg", b"hello", "photo 1"),
        ("image/png", &whole[..whole.len() / 2], "photo 1"),
        ("image/png", &bomb, "photo 1"),
        ("multipart/form-data", b"x", "boundary"),
        (
            "multipart/form-data; boundary=border",
            b"--border--\r\n",
            "no photo",
        ),
    ];
    // All on one connection: none of them ends it.
    let mut stream = connect(&server.address);
    for (kind, body, reason) in bodies {
        let length = body.len().to_string();
        let headers = [("Content-Type", kind), ("Content-Length", length.as_str())];
        let request = head("POST", "/predict", &headers);
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let answer = super::client::answer(&stream).unwrap();
        assert!(answer.error(400).contains(reason), "{}", answer.text());
    }
    let broken = server.post(
        "/predict",
        "multipart/form-data; boundary=border",
        b"--border\r\nnothing",
    );
    assert!(broken.error(400).contains("form"));
    let again = server.post("/predict?size=1", "image/png", &whole);
    assert!(again.error(400).contains("`size`"));
}

#[test]
fn a_broken_photo_of_a_form_is_named_and_the_others_are_answered() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let lines = predicted(dir.path(), "a.safetensors", &["0.png"]);
    let (kind, body) = form(&[
        ("broken.png", b"none"),
        ("0.png", &read(dir.path(), "0.png")),
    ]);
    let answer = server.post("/predict", &kind, &body);
    assert_eq!(answer.status, 400);
    let list = answer.json();
    assert_eq!(list[0]["path"], "broken.png");
    assert!(list[0]["error"].as_str().unwrap().contains("broken.png"));
    assert_eq!(list[1].to_string(), lines[0]);
}

#[test]
fn what_is_not_there_is_404_and_another_method_405_that_says_which() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let photo = read(dir.path(), "0.png");
    for (method, path) in [
        ("GET", "/v2/models/b"),
        ("GET", "/v2/models/b/ready"),
        ("POST", "/v2/models/b/infer"),
        ("POST", "/predict?model=b"),
    ] {
        let answer = ask(&server.address, method, path, &[], &photo);
        let reason = answer.error(404);
        assert!(
            reason.contains("`b`") && reason.contains("there is a"),
            "{reason}"
        );
    }
    assert!(
        server
            .get("/favicon.ico")
            .error(404)
            .contains("/openapi.json")
    );
    let answer = ask(&server.address, "GET", "/predict", &[], &[]);
    assert!(answer.error(405).contains("GET"));
    assert_eq!(answer.headers["allow"], "POST");
}

#[test]
fn health_metadata_page_and_numbers_are_answered() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let v2 = server.get("/v2").json();
    assert_eq!(
        (&v2["name"], &v2["models"]),
        (&json!("hydranet"), &json!(["a"]))
    );
    assert_eq!(server.get("/v2/health/live").json(), json!({"live": true}));
    assert_eq!(
        server.get("/v2/health/ready").json(),
        json!({"ready": true})
    );
    assert_eq!(
        server.get("/v2/models/a/ready").json(),
        json!({"name": "a", "ready": true})
    );
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].starts_with("text/html"));
    // It loads nothing from elsewhere.
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
    for outside in ["http://", "https://", "src=\"", "@import", "innerHTML"] {
        assert!(!page.text().contains(outside), "{outside}");
    }
    server.post("/predict", "image/png", &read(dir.path(), "0.png"));
    server.post("/predict", "image/png", b"none");
    server.get("/nowhere");
    for (line, value) in [
        (
            "hydranet_requests_total{path=\"/predict\",code=\"200\"}",
            1.0,
        ),
        (
            "hydranet_requests_total{path=\"/predict\",code=\"400\"}",
            1.0,
        ),
        ("hydranet_requests_total{path=\"other\",code=\"404\"}", 1.0),
        (
            "hydranet_request_duration_seconds_count{path=\"/predict\"}",
            2.0,
        ),
        (
            "hydranet_request_duration_seconds_bucket{path=\"/predict\",le=\"+Inf\"}",
            2.0,
        ),
        ("hydranet_errors_total{kind=\"photo\"}", 1.0),
        ("hydranet_errors_total{kind=\"not_found\"}", 1.0),
        ("hydranet_queue_depth{model=\"a\"}", 0.0),
        ("hydranet_batch_size_count{model=\"a\"}", 2.0),
        ("hydranet_batch_size_sum{model=\"a\"}", 2.0),
    ] {
        assert_eq!(
            server.metric(line),
            value,
            "{line}\n{}",
            server.get("/metrics").text()
        );
    }
}

/// Every path of the document, with a model's name in it.
#[test]
fn the_openapi_document_names_what_is_answered_and_its_schemas_hold() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 11);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let body = match path.as_str() {
                "/predict" | "/explain" => read(dir.path(), "0.png"),
                _ => br#"{"inputs": [{"name": "x", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": "#
                    .iter()
                    .chain(format!("{:?}", vec![7; 192]).as_bytes())
                    .chain(b"}]}")
                    .copied()
                    .collect(),
            };
            let body = if method == "post" { body } else { Vec::new() };
            let path = path.replace("{name}", "a");
            let answer = ask(&server.address, &method.to_uppercase(), &path, &[], &body);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let content = operation["responses"]["200"]["content"]
                .as_object()
                .unwrap();
            let kind = answer.headers["content-type"].split(';').next().unwrap();
            let schema = &content[kind]["schema"];
            if kind == "application/json" {
                assert!(
                    holds(&document, schema, &answer.json()),
                    "{path}: {}",
                    answer.text()
                );
            }
            assert!(method == "get" || operation["responses"].get("429").is_some());
        }
    }
}

/// Whether a value is what a schema says, as far as our document goes.
fn holds(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        return holds(document, document.pointer(&name[1..]).unwrap(), value);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        return any.iter().filter(|s| holds(document, s, value)).count() == 1;
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let required = schema["required"].as_array().into_iter().flatten();
    let properties = schema["properties"].as_object().into_iter().flatten();
    kinds.iter().any(|k| is(k.as_str().unwrap()))
        && required
            .into_iter()
            .all(|name| value.get(name.as_str().unwrap()).is_some())
        && properties
            .into_iter()
            .all(|(name, s)| value.get(name).is_none_or(|v| holds(document, s, v)))
        && value
            .as_array()
            .into_iter()
            .flatten()
            .all(|v| schema.get("items").is_none_or(|s| holds(document, s, v)))
}
