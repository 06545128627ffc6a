//! `POST /explain`: where in a photo each head looked.

use super::State;
use super::answer::json;
use super::app::Shared;
use super::failure::{Failure, Kind};
use super::model::too_large;
use super::predict::{held, model, photos};
use crate::input::PhotoFile;
use crate::io::png::png;
use crate::predict::{Ensemble, ExplainMethod};
use crate::report::heat;
use axum::body::Bytes;
use axum::extract::Request;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Extract};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Answers with a picture a head. One photo at a time is explained, for it takes as long as several predictions; who comes
/// meanwhile is told so at once.
pub(super) async fn explain(
    Extract(state): Shared,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let ensemble = model(&state, query, "/explain")?.current();
    let held = held(&request);
    let (mut photos, _) = photos(request).await?;
    let (Some((_, bytes)), true) = (photos.pop(), photos.is_empty()) else {
        return Err(Failure::request("one photo at a time is explained"));
    };
    let Ok(turn) = Arc::clone(&state.explaining).try_acquire_owned() else {
        let words = "another photo is being explained; try again later";
        return Err(Failure::new(Kind::Full, words));
    };
    let done = tokio::task::spawn_blocking(move || {
        let answer = answer(&state, &ensemble, &bytes);
        drop((turn, held));
        answer
    });
    match done.await {
        Ok(answer) => answer.map(|value| json(value.to_string())),
        Err(_) => Err(Failure::new(Kind::Model, "explaining panicked")),
    }
}

fn answer(state: &State, ensemble: &Ensemble, bytes: &Bytes) -> Result<Value, Failure> {
    let [predictor] = ensemble.members() else {
        let words = "several models together have no one map to look at; serve one of them";
        return Err(Failure::request(words));
    };
    let name = Path::new("1");
    if let Some(failure) = too_large(bytes, name, state.settings.max_pixels) {
        return Err(failure);
    }
    let input = predictor.input();
    let explained = || {
        let photo = PhotoFile::given(name, bytes)?;
        let photo = photo.photo(input.channels, std::slice::from_ref(input))?;
        let labels = BTreeMap::new();
        heat::explain(predictor, &photo, ExplainMethod::GradCam, &labels)
    };
    let (pixels, _, explained) = explained().map_err(|e| Failure::of(&e))?;
    let of_head = |e: crate::predict::Explanation| {
        let picture = png(&heat::overlay(&pixels, input.channels, &e.heat), e.size);
        let uri = format!("data:image/png;base64,{}", BASE64.encode(picture));
        json!({"head": e.head, "label": e.label, "prob": e.prob, "picture": uri})
    };
    let heads: Vec<Value> = explained.into_iter().map(of_head).collect();
    Ok(json!({"heads": heads}))
}
