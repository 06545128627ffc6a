//! What the Open Inference Protocol (KServe's V2, "Predict Protocol - Version 2", HTTP/REST) asks of server and models.

use super::answer::json;
use super::app::Shared;
use super::failure::Failure;
use crate::eval::predictions::label_cell;
use crate::predict::{Ensemble, Prediction};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// The version of each model: there is one at a time.
pub(super) const VERSION: &str = "1";

/// `GET /v2`, and beside what the protocol asks the names of the models, the first of which answers where none is named.
pub(super) async fn server(axum::extract::State(state): Shared) -> Response {
    let models: Vec<&String> = state.settings.models.iter().map(|(name, _)| name).collect();
    let answer = json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
        "models": models,
    });
    json(answer.to_string())
}

/// `GET /v2/health/live`.
pub(super) async fn live() -> Response {
    json(json!({"live": true}).to_string())
}

/// `GET /v2/health/ready`: models are loaded before anything is answered, and none is taken up once it ends.
pub(super) async fn ready(axum::extract::State(state): Shared) -> Response {
    let ready = !state.ending.load(Ordering::Relaxed);
    let mut response = json(json!({"ready": ready}).to_string());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// The name in a path.
pub(super) fn named(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    path.map(|Path(name)| name)
        .map_err(|e| Failure::request(e.body_text()))
}

/// `GET /v2/models/{name}/ready`.
pub(super) async fn model_ready(
    axum::extract::State(state): Shared,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let name = named(path)?;
    state.model(&name)?;
    Ok(json(json!({"name": name, "ready": true}).to_string()))
}

/// `GET /v2/models/{name}`: what goes in and comes out, and beside what the protocol asks the labels of each head.
pub(super) async fn model(
    axum::extract::State(state): Shared,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let name = named(path)?;
    let ensemble = state.model(&name)?.current();
    let taxonomy = ensemble.taxonomy();
    let heads = 0..taxonomy.heads().len();
    let labels: Vec<_> = heads.map(|head| taxonomy.labels(head)).collect();
    let described = |(name, datatype, width): (String, &str, Option<usize>)| {
        let mut shape = vec![-1];
        shape.extend(width.map(|w| w as i64));
        json!({"name": name, "datatype": datatype, "shape": shape})
    };
    let outputs: Vec<Value> = outputs(&ensemble).into_iter().map(described).collect();
    let answer = json!({
        "name": name,
        "versions": [VERSION],
        "platform": "hydranet",
        "inputs": [
            {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
            {"name": "photos", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": outputs,
        "parameters": {"heads": taxonomy.heads(), "labels": labels},
    });
    Ok(json(answer.to_string()))
}

/// Names of the outputs, their types, and the values a photo of those that have several.
fn outputs(ensemble: &Ensemble) -> Vec<(String, &'static str, Option<usize>)> {
    let taxonomy = ensemble.taxonomy();
    let mut all = vec![
        ("class".into(), "INT64", None),
        ("name".into(), "BYTES", None),
        ("prob".into(), "FP64", None),
        ("class_probs".into(), "FP64", Some(taxonomy.num_classes())),
    ];
    for (i, head) in taxonomy.heads().iter().enumerate() {
        let labels = taxonomy.labels(i).len();
        all.push((format!("{head}.probs"), "FP64", Some(labels)));
        all.push((format!("{head}.label"), "BYTES", None));
    }
    all.push(("json".into(), "BYTES", None));
    all
}

/// The outputs of photos, in the order in which [`model`] names them; all are of one model.
pub(super) fn tensors(predictions: &[Prediction]) -> Vec<Value> {
    let Some(first) = predictions.first() else {
        return Vec::new();
    };
    let n = predictions.len();
    let tensor = |name: &str, datatype: &str, shape: &[usize], data: Vec<Value>| {
        let mut tensor = json!({"name": name, "datatype": datatype, "shape": shape});
        tensor["data"] = data.into();
        tensor
    };
    let one = |name: &str, datatype: &str, of: &dyn Fn(&Prediction) -> Value| {
        tensor(name, datatype, &[n], predictions.iter().map(of).collect())
    };
    let several = |name: &str, width: usize, of: &dyn Fn(&Prediction) -> Vec<f64>| {
        let data = predictions.iter().flat_map(of).map(Value::from);
        tensor(name, "FP64", &[n, width], data.collect())
    };
    let classes = first.class_probs.len();
    let mut all = vec![
        one("class", "INT64", &|p| p.class.into()),
        one("name", "BYTES", &|p| p.name.as_str().into()),
        one("prob", "FP64", &|p| p.prob.into()),
        several("class_probs", classes, &|p| p.class_probs.clone()),
    ];
    for (i, head) in first.heads.iter().enumerate() {
        let (probs, label) = (
            format!("{}.probs", head.head),
            format!("{}.label", head.head),
        );
        let labels = head.probs.len();
        all.push(several(&probs, labels, &|p| p.heads[i].probs.clone()));
        let cell = |p: &Prediction| Value::from(label_cell(&p.heads[i]));
        all.push(one(&label, "BYTES", &cell));
    }
    all.push(one("json", "BYTES", &|p| p.to_json(None).into()));
    all
}
