//! The OpenAPI document (version 3.1) of what is answered.

use serde_json::{Map, Value, json};

/// The document of `/openapi.json` where these models are served.
pub(super) fn document<'a>(models: impl Iterator<Item = &'a String>) -> Value {
    let model = json!({"type": "string", "enum": models.collect::<Vec<_>>()});
    let asked_for = json!({"name": "model", "in": "query", "schema": model,
        "description": "The model's name; the first one if none is given"});
    let named = json!({"name": "name", "in": "path", "required": true, "schema": model});
    let (asked_for, named) = (&[asked_for], &[named]);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hydranet serve",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Final classes of photos, and each head's probabilities. /v2 is the Open Inference Protocol.",
        },
        "paths": {
            "/": {"get": operation("The page that shows a photo's prediction", &[], json!({
                "200": {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}},
            }))},
            "/predict": {"post": posted(operation(
                "Predict a photo, or several in a form",
                asked_for,
                with_refusals(json!({
                    "200": said("The prediction, or a list of them for a form", json!({
                        "oneOf": [reference("Prediction"), {"type": "array", "items": reference("Prediction")}],
                    })),
                    "400": said("A photo or the request cannot be used; for a form a list with the reasons", json!({
                        "oneOf": [reference("Error"), {"type": "array", "items": {
                            "anyOf": [reference("Prediction"), reference("Error")]}}],
                    })),
                }), &["404"]),
            ), json!({
                "image/jpeg": {}, "image/png": {}, "application/octet-stream": {},
                "multipart/form-data": {"schema": {"type": "object", "required": ["photo"], "properties": {
                    "photo": {"type": "array", "minItems": 1, "items": {
                        "type": "string", "contentMediaType": "application/octet-stream",
                    }},
                }}},
            }))},
            "/explain": {"post": posted(operation(
                "Show where in a photo each head looked for its likeliest label",
                asked_for,
                with_refusals(json!({
                    "200": said("The photo as the model sees it with the heat over it, for each head", object(json!({
                        "heads": list(object(json!({
                            "head": text(), "label": text(), "prob": {"type": "number"},
                            "picture": {"type": "string", "description": "A PNG as a data URI"},
                        }))),
                    }))),
                }), &["400", "404"]),
            ), json!({"image/jpeg": {}, "image/png": {}, "application/octet-stream": {}}))},
            "/v2": {"get": operation("What the server is, and its models", &[], json!({
                "200": said("Name, version, extensions and models", object(json!({
                    "name": text(), "version": text(), "extensions": list(text()), "models": list(text()),
                }))),
            }))},
            "/v2/health/live": {"get": operation("Whether the server runs", &[], json!({
                "200": said("It does", object(json!({"live": {"type": "boolean"}}))),
            }))},
            "/v2/health/ready": {"get": operation("Whether requests are taken", &[], json!({
                "200": said("They are", object(json!({"ready": {"type": "boolean"}}))),
                "503": said("The server is ending", object(json!({"ready": {"type": "boolean"}}))),
            }))},
            "/v2/models/{name}": {"get": operation("What a model takes and gives", named, with_refusals(json!({
                "200": said("Its inputs and outputs", object(json!({
                    "name": text(), "versions": list(text()), "platform": text(),
                    "inputs": list(reference("Described")), "outputs": list(reference("Described")),
                    "parameters": {"type": "object"},
                }))),
            }), &["400", "404"]))},
            "/v2/models/{name}/ready": {"get": operation("Whether a model answers", named, with_refusals(json!({
                "200": said("It does", object(json!({"name": text(), "ready": {"type": "boolean"}}))),
            }), &["400", "404"]))},
            "/v2/models/{name}/infer": {"post": posted(
                operation("Predict the photos of a tensor", named, with_refusals(json!({
                    "200": said("A tensor an output", object(json!({
                        "model_name": text(), "model_version": text(), "outputs": list(reference("Tensor")),
                    }))),
                }), &["400", "404"])),
                json!({"application/json": {"schema": asked()}}),
            )},
            "/metrics": {"get": operation("Counts for Prometheus", &[], json!({
                "200": {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
            }))},
            "/openapi.json": {"get": operation("This document", &[], json!({
                "200": said("OpenAPI 3.1", json!({"type": "object"})),
            }))},
        },
        "components": {"schemas": schemas()},
    })
}

fn schemas() -> Value {
    let number = || json!({"type": "number"});
    let head = json!({
        "type": "object",
        "required": ["head", "index", "label", "best", "best_label", "probs"],
        "properties": {
            "head": text(), "index": {"type": ["integer", "null"]}, "label": {"type": ["string", "null"]},
            "best": {"type": "integer"}, "best_label": text(), "probs": list(number()), "labels": list(text()),
            "number": object(json!({"mean": number(), "low": number(), "high": number()})),
        },
    });
    json!({
        "Error": object(json!({"error": text()})),
        "Prediction": {
            "type": "object",
            "required": ["class", "name", "prob", "heads"],
            "properties": {
                "class": {"type": "integer"}, "name": text(), "prob": number(), "heads": list(head),
                "abstains": {"type": "boolean"}, "novelty": number(), "path": text(),
            },
        },
        "Described": object(json!({"name": text(), "datatype": text(), "shape": list(json!({"type": "integer"}))})),
        "Tensor": object(json!({
            "name": text(), "datatype": text(), "shape": list(json!({"type": "integer"})), "data": {"type": "array"},
        })),
    })
}

/// What `infer` takes.
fn asked() -> Value {
    let input = json!({
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": text(),
            "shape": list(json!({"type": "integer", "minimum": 0})),
            "datatype": {"enum": ["UINT8", "BYTES"]},
            "data": {"type": "array", "description": "Pixels (n, height, width, 3), or photos in base64"},
            "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
        },
    });
    json!({
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": text(),
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": input},
            "outputs": list(json!({"type": "object", "required": ["name"], "properties": {"name": text()}})),
        },
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object that always has these.
fn object(properties: Value) -> Value {
    let names: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// An answer in JSON.
fn said(what: &str, schema: Value) -> Value {
    json!({"description": what, "content": {"application/json": {"schema": schema}}})
}

fn operation(summary: &str, parameters: &[Value], responses: Value) -> Value {
    json!({"summary": summary, "parameters": parameters, "responses": responses})
}

fn posted(mut operation: Value, content: Value) -> Value {
    operation["requestBody"] = json!({"required": true, "content": content});
    let responses = operation["responses"].take();
    operation["responses"] = with_refusals(responses, &["408", "413", "429", "500", "503"]);
    operation
}

/// The responses with refusals of these statuses.
fn with_refusals(mut responses: Value, statuses: &[&str]) -> Value {
    for status in statuses {
        let what = match *status {
            "400" => "The request cannot be used, for this reason",
            "404" => "There is no such model",
            "408" => "The body did not arrive in time",
            "413" => "The body is too large, or has too many photos",
            "429" => "Too many photos wait already",
            "503" => "The server is ending",
            _ => "The model failed",
        };
        responses[*status] = said(what, reference("Error"));
    }
    responses
}
