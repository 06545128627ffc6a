//! `POST /v2/models/{name}/infer`.

use super::answer::json;
use super::app::Shared;
use super::failure::{Failure, Kind};
use super::predict::held;
use super::tensor::Tensor;
use super::v2::{VERSION, named, tensors};
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest as _, Path, Request};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where the JSON ends and bytes begin, by the extension "binary tensor data".
const JSON_LENGTH: &str = "inference-header-content-length";

/// What is asked.
#[derive(Deserialize)]
struct Asked {
    id: Option<String>,
    inputs: Vec<Tensor>,
    outputs: Option<Vec<Wanted>>,
}

/// An output that is asked for.
#[derive(Deserialize)]
struct Wanted {
    name: String,
}

/// Predicts the photos of a tensor; one that cannot be predicted refuses them all.
pub(super) async fn infer(
    axum::extract::State(state): Shared,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let name = named(path)?;
    let model = state.model(&name)?;
    let held = held(&request);
    let length = json_length(request.headers())?;
    let bytes = Bytes::from_request(request, &()).await;
    let bytes = bytes.map_err(|e| Failure::request(e.body_text()))?;
    let Some((text, mut binary)) = bytes.split_at_checked(length.unwrap_or(bytes.len())) else {
        let words = format!(
            "{JSON_LENGTH} is larger than the body of {} bytes",
            bytes.len()
        );
        return Err(Failure::request(words));
    };
    let asked: Asked = serde_json::from_slice(text)
        .map_err(|e| Failure::request(format!("the request is not understood: {e}")))?;
    let count = asked.inputs.len();
    let Ok([input]) = <[Tensor; 1]>::try_from(asked.inputs) else {
        let words = format!("{count} inputs; one is needed, with the photos");
        return Err(Failure::request(words));
    };
    let photos = input.photos(&mut binary, state.settings.max_pixels)?;
    if !binary.is_empty() {
        let words = format!("{} bytes after the last input", binary.len());
        return Err(Failure::request(words));
    }
    if photos.is_empty() {
        return Err(Failure::new(Kind::Photo, "there is no photo in the input"));
    }
    let named = photos.into_iter().zip(1..);
    let named = named.map(|(photo, place)| (photo, PathBuf::from(place.to_string())));
    let outcomes = model.predict(named.collect(), held).await?;
    let predictions: Vec<_> = outcomes.into_iter().collect::<Result<_, _>>()?;
    let outputs = wanted(tensors(&predictions), asked.outputs)?;
    let mut answer = json!({"model_name": name, "model_version": VERSION, "outputs": outputs});
    if let Some(id) = asked.id {
        answer["id"] = id.into();
    }
    Ok(json(answer.to_string()))
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|v| v.parse().ok());
    let wrong = || Failure::request(format!("{JSON_LENGTH} is no number of bytes"));
    Ok(Some(length.ok_or_else(wrong)?))
}

/// Those outputs that are asked for, or all.
fn wanted(all: Vec<Value>, names: Option<Vec<Wanted>>) -> Result<Vec<Value>, Failure> {
    let Some(names) = names.filter(|n| !n.is_empty()) else {
        return Ok(all);
    };
    let of = |Wanted { name }: Wanted| {
        let found = all.iter().find(|o| o["name"] == name.as_str());
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = all.iter().filter_map(|o| o["name"].as_str()).collect();
            let words = format!("there is no output `{name}`; there is {}", known.join(", "));
            Failure::request(words)
        })
    };
    let mut once = std::collections::HashSet::new();
    if let Some(twice) = names.iter().find(|w| !once.insert(&w.name)) {
        let words = format!("output `{}` is asked for twice", twice.name);
        return Err(Failure::request(words));
    }
    names.into_iter().map(of).collect()
}
