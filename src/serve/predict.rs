//! `POST /predict`: a photo, or several in a form, and what `hydranet predict --json` says of them.

use super::State;
use super::answer::json;
use super::app::Shared;
use super::body::Held;
use super::failure::{Failure, Kind};
use super::model::{Model, Outcome};
use crate::escape::printable_json;
use crate::input::PhotoSource;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest as _, Multipart, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A photo by its name, if it has one.
type Named = (Option<String>, Bytes);

/// Answers with an object for a photo alone, and with a list for those of a form.
pub(super) async fn predict(
    axum::extract::State(state): Shared,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let model = model(&state, query, "/predict")?;
    let held = held(&request);
    let (photos, is_form) = photos(request).await?;
    let (names, photos): (Vec<_>, Vec<_>) = photos
        .into_iter()
        .zip(1..)
        .map(|((name, bytes), place)| {
            let shown = name.clone().unwrap_or_else(|| place.to_string());
            let source = PhotoSource::Encoded(bytes.as_ref().into());
            (name, (source, PathBuf::from(shown)))
        })
        .unzip();
    let outcomes = model.predict(photos, held).await?;
    let mut answered = outcomes.into_iter().zip(names);
    if is_form {
        return Ok(list(answered));
    }
    match answered.next() {
        Some((Ok(prediction), name)) => Ok(json(prediction.to_json(name.as_deref()))),
        Some((Err(failure), _)) => Err(failure),
        None => Err(Failure::new(Kind::Model, "the model gave no answer")),
    }
}

/// The model that a request names, or the first one.
pub(super) fn model<'a>(
    state: &'a State,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    path: &str,
) -> Result<&'a Arc<Model>, Failure> {
    let Query(query) = query.map_err(|e| Failure::request(e.body_text()))?;
    if let Some(other) = query.keys().find(|k| *k != "model") {
        let words = format!("`{other}` is no setting of {path}; there is model");
        return Err(Failure::request(words));
    }
    let first = &state.settings.models[0].0;
    state.model(query.get("model").unwrap_or(first))
}

/// The memory of a request's body.
pub(super) fn held(request: &Request) -> Arc<Held> {
    let held = request.extensions().get::<Arc<Held>>();
    held.map_or_else(|| Arc::new(Held::none()), Arc::clone)
}

/// A list with an entry a photo; with the status of the worst of them.
fn list(answered: impl Iterator<Item = (Outcome, Option<String>)>) -> Response {
    let mut worst: Option<Failure> = None;
    let entries = answered.map(|(outcome, name)| match outcome {
        Ok(prediction) => prediction.to_json(name.as_deref()),
        Err(failure) => {
            let entry = json!({"error": failure.message, "path": name}).to_string();
            if worst.as_ref().is_none_or(|w| failure.status > w.status) {
                worst = Some(failure);
            }
            printable_json(&entry).into_owned()
        }
    });
    let entries: Vec<String> = entries.collect();
    let mut response = json(format!("[{}]", entries.join(",")));
    if let Some(worst) = worst {
        *response.status_mut() = worst.status;
        response.extensions_mut().insert(worst.kind);
    }
    response
}

/// The photos of a request, and whether they came in a form.
pub(super) async fn photos(request: Request) -> Result<(Vec<Named>, bool), Failure> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
    let start = kind.get(.."multipart/".len()).unwrap_or_default();
    if !start.eq_ignore_ascii_case("multipart/") {
        let bytes = Bytes::from_request(request, &()).await;
        let bytes = bytes.map_err(|e| Failure::request(e.body_text()))?;
        if bytes.is_empty() {
            let words = "the body is empty; it is to be a photo, or a form with several";
            return Err(Failure::new(Kind::Photo, words));
        }
        return Ok((vec![(None, bytes)], false));
    }
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|e| Failure::request(e.body_text()))?;
    let broken = |e: axum::extract::multipart::MultipartError| {
        Failure::request(format!("the form cannot be read: {}", e.body_text()))
    };
    let mut photos = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.file_name().or(field.name());
        let name = name.map_or_else(|| (photos.len() + 1).to_string(), String::from);
        photos.push((Some(name), field.bytes().await.map_err(broken)?));
    }
    if photos.is_empty() {
        let words = "there is no photo in the form";
        return Err(Failure::new(Kind::Photo, words));
    }
    Ok((photos, true))
}
