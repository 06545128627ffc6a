//! What a request is refused with: a status, a word for it in the metrics, and the reason as JSON.

use crate::error::Error;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub status: StatusCode,
    pub kind: Kind,
    pub message: String,
}

/// What is counted of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Request,
    Photo,
    Unknown,
    Method,
    Slow,
    Large,
    Full,
    Ending,
    Model,
}

impl Kind {
    /// Its word in the metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Photo => "photo",
            Self::Unknown => "not_found",
            Self::Method => "method",
            Self::Slow => "timeout",
            Self::Large => "too_large",
            Self::Full => "queue_full",
            Self::Ending => "ending",
            Self::Model => "model",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Request | Self::Photo => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Large => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Model => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            kind,
            message: message.into(),
        }
    }

    /// A request that is not understood.
    pub(super) fn request(message: impl Into<String>) -> Self {
        Self::new(Kind::Request, message)
    }

    pub(super) fn unknown_model<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let error = Error::UnknownName {
            what: "model",
            found: name.into(),
            known: known.cloned().collect(),
        };
        Self::new(Kind::Unknown, error.to_string())
    }

    pub(super) fn unknown_path(path: &Uri) -> Self {
        Self::new(
            Kind::Unknown,
            format!(
                "there is nothing at {}; /openapi.json lists what there is",
                path.path()
            ),
        )
    }

    /// A photo that cannot be used is the asker's, all else the model's.
    pub(super) fn of(error: &Error) -> Self {
        let kind = match error {
            Error::Io { .. } | Error::Image { source: None, .. } => Kind::Photo,
            _ => Kind::Model,
        };
        Self::new(kind, format!("{error:#}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"error": self.message}).to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self.kind, Kind::Full | Kind::Ending) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}
