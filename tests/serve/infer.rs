//! The Open Inference Protocol.

use super::server::{photo, read};
use super::{Answer, Server, ask, folder, predicted, without_path};
use base64::Engine as _;
use serde_json::{Value, json};

fn infer(server: &Server, request: &Value) -> Answer {
    server.post(
        "/v2/models/a/infer",
        "application/json",
        request.to_string().as_bytes(),
    )
}

fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().find(|o| o["name"] == name).unwrap()
}

#[test]
fn pixels_and_encoded_photos_in_json_and_in_bytes_are_answered_alike() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let line = without_path(&predicted(dir.path(), "a.safetensors", &["3.png"])[0]);
    let expected: Value = serde_json::from_str(&line).unwrap();
    let pixels = photo(3);
    let shape = json!([1, pixels.height(), pixels.width(), 3]);
    let raw = pixels.into_raw();
    let encoded = read(dir.path(), "3.png");
    let text = base64::engine::general_purpose::STANDARD.encode(&encoded);
    let asked = |input: Value| json!({"id": "7", "inputs": [input]});
    let mut element = (encoded.len() as u32).to_le_bytes().to_vec();
    element.extend(&encoded);
    let size = |bytes: &[u8]| json!({"binary_data_size": bytes.len()});
    let requests: [(Value, &[u8]); 4] = [
        (
            json!({"name": "images", "datatype": "UINT8", "shape": shape, "data": raw}),
            &[],
        ),
        (
            json!({"name": "images", "datatype": "UINT8", "shape": shape, "parameters": size(&raw)}),
            &raw,
        ),
        (
            json!({"name": "photos", "datatype": "BYTES", "shape": [1], "data": [text]}),
            &[],
        ),
        (
            json!({"name": "photos", "datatype": "BYTES", "shape": [1], "parameters": size(&element)}),
            &element,
        ),
    ];
    for (input, binary) in requests {
        let mut body = asked(input).to_string().into_bytes();
        let length = body.len().to_string();
        body.extend(binary);
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        let answer = ask(
            &server.address,
            "POST",
            "/v2/models/a/infer",
            &headers,
            &body,
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["id"], "7");
        assert_eq!(answer["model_name"], "a");
        assert_eq!(output(&answer, "json")["data"][0], line);
        assert_eq!(output(&answer, "class")["data"][0], expected["class"]);
        assert_eq!(output(&answer, "name")["data"][0], expected["name"]);
        assert_eq!(output(&answer, "prob")["data"][0], expected["prob"]);
        let age = output(&answer, "age.probs");
        assert_eq!(age["shape"], json!([1, 3]));
        assert_eq!(age["data"], expected["heads"][2]["probs"]);
        assert_eq!(
            output(&answer, "age.label")["data"][0],
            expected["heads"][2]["label"]
        );
    }
}

#[test]
fn the_metadata_of_a_model_describes_its_outputs() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let about = server.get("/v2/models/a").json();
    assert_eq!(about["parameters"]["labels"][1], json!(["male", "female"]));
    let input =
        json!({"name": "images", "datatype": "UINT8", "shape": [2, 8, 8, 3], "data": vec![9; 384]});
    let answer = infer(&server, &json!({"inputs": [input]})).json();
    let described = about["outputs"].as_array().unwrap();
    let given = answer["outputs"].as_array().unwrap();
    assert_eq!(described.len(), given.len());
    for (described, given) in described.iter().zip(given) {
        assert_eq!(described["name"], given["name"]);
        assert_eq!(described["datatype"], given["datatype"]);
        let mut shape = described["shape"].clone();
        shape[0] = json!(2);
        assert_eq!(shape, given["shape"]);
        let values: i64 = shape
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s.as_i64().unwrap())
            .product();
        assert_eq!(given["data"].as_array().unwrap().len() as i64, values);
    }
    // Only what is asked for.
    let input =
        json!({"name": "images", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": vec![9; 192]});
    let one = json!({"inputs": [input], "outputs": [{"name": "class"}]});
    let answer = infer(&server, &one).json();
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_is_wrong_is_refused_with_the_reason() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--model", "a.safetensors"]);
    let pixels =
        json!({"name": "x", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": vec![9; 192]});
    let broken = base64::engine::general_purpose::STANDARD.encode(b"none");
    for (request, reason) in [
        (json!({}), "inputs"),
        (json!({"inputs": []}), "0 inputs"),
        (json!({"inputs": [pixels, pixels]}), "2 inputs"),
        (
            json!({"inputs": [pixels], "outputs": [{"name": "clas"}]}),
            "`clas`",
        ),
        (
            json!({"inputs": [{"name": "x", "datatype": "UINT8", "shape": [1, 8, 8, 3]}]}),
            "0 values",
        ),
        (
            json!({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [0], "data": []}]}),
            "no photo",
        ),
        (
            json!({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [broken]}]}),
            "photo 1",
        ),
    ] {
        let answer = infer(&server, &request);
        assert!(answer.error(400).contains(reason), "{}", answer.text());
    }
    for (length, reason) in [("x", "no number"), ("99", "larger than the body")] {
        let headers = [("Inference-Header-Content-Length", length)];
        let answer = ask(
            &server.address,
            "POST",
            "/v2/models/a/infer",
            &headers,
            b"{}",
        );
        assert!(answer.error(400).contains(reason), "{}", answer.text());
    }
    let answer = server.post(
        "/v2/models/a/infer",
        "application/json",
        &b"[".repeat(100_000),
    );
    assert!(answer.error(400).contains("not understood"));
}
