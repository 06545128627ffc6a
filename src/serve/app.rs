//! Where requests go, and what is done to each of them.

use super::failure::{Failure, Kind};
use super::{State, answer, body, explain, infer, metrics, openapi, predict, v2};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{self, DefaultBodyLimit, MatchedPath, Request};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

/// What handlers are given.
pub(super) type Shared = extract::State<Arc<State>>;

/// The page that shows a photo's prediction. It loads nothing.
const PAGE: &str = include_str!("page.html");
const ALONE: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// All routes.
pub(super) fn router(state: &Arc<State>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/predict", post(predict::predict))
        .route("/explain", post(explain::explain))
        .route("/v2", get(v2::server))
        .route("/v2/health/live", get(v2::live))
        .route("/v2/health/ready", get(v2::ready))
        .route("/v2/models/{name}", get(v2::model))
        .route("/v2/models/{name}/ready", get(v2::model_ready))
        .route("/v2/models/{name}/infer", post(infer::infer))
        .route("/metrics", get(numbers))
        .route("/openapi.json", get(document))
        .fallback(|request: Request| async move { Failure::unknown_path(request.uri()) })
        .method_not_allowed_fallback(|request: Request| async move {
            let words = format!("{} is not answered at this path", request.method());
            Failure::new(Kind::Method, words)
        })
        .layer(from_fn_with_state(Arc::clone(state), whole))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            Failure::new(Kind::Model, "the server panicked").into_response()
        }))
        .layer(from_fn_with_state(Arc::clone(state), counted))
        // Bodies are read before, within limits of our own.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(state))
}

/// Counts a request and how long its answer took.
async fn counted(extract::State(state): Shared, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or_else(|| "other".into(), |p| p.as_str().to_string());
    let response = next.run(request).await;
    let kind = response.extensions().get::<Kind>().copied();
    let code = response.status().as_u16();
    state.metrics.request(&path, code, start.elapsed(), kind);
    response
}

/// Reads a request's body whole before anything is done with it.
async fn whole(extract::State(state): Shared, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    match body::read(&state, &head.headers, body).await {
        Ok((bytes, held)) => {
            head.extensions.insert(Arc::new(held));
            let body = Body::from(Bytes::from(bytes));
            next.run(Request::from_parts(head, body)).await
        }
        Err(failure) => failure.into_response(),
    }
}

async fn page() -> Response {
    ([(CONTENT_SECURITY_POLICY, ALONE)], Html(PAGE)).into_response()
}

async fn numbers(extract::State(state): Shared) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics::text(&state)).into_response()
}

async fn document(extract::State(state): Shared) -> Response {
    answer::json(openapi::document(state.models.keys()).to_string())
}
