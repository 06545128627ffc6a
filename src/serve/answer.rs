//! Answers in JSON.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// A JSON text as an answer.
pub(super) fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
