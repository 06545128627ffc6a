//! Why something could not be had from a store or server, in words: what was tried, and whether it helps to try again.

use super::engine::RETRIES;
use super::place::Kind;
use crate::error::Error;
use crate::escape::one_line;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// What is said of a server's answer that names its status.
const STATUS: &str = "Server returned non-2xx status code: ";
/// What is said of a server that knows no ranges.
const WHOLE_ONLY: &str = "the server gives whole files only, while this one is read at any place (by requests with `Range`); \
     download it first";
/// Characters of a cause that are shown.
const SHOWN: usize = 200;

/// Why something could not be had.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// Whether what came broke off, so that it may be asked for again at once.
    pub(super) broke_off: bool,
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            broke_off: false,
        }
    }

    /// Of what was asked for in a wrong way.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Of what ended before it was whole.
    pub(super) fn broke_off(have: u64, of: u64, cause: &str) -> Self {
        Self {
            broke_off: true,
            ..Self::new(
                ErrorKind::UnexpectedEof,
                format!("it broke off after {have} of {of} bytes ({cause})"),
            )
        }
    }

    /// The same, after it was asked for so many times.
    pub(super) fn in_vain(self, times: usize) -> Self {
        let each = match times {
            0 | 1 => String::new(),
            times => format!(", each of {times} times"),
        };
        let message = format!("{}{each}; it may help to try again later", self.message);
        Self::new(self.kind, message)
    }

    /// Of what is not answered within this time.
    pub(super) fn late(within: Duration) -> Self {
        let message = format!(
            "the server does not answer within {} s; it may help to try again later",
            within.as_secs()
        );
        Self::new(ErrorKind::TimedOut, message)
    }

    /// Of what is no longer what it was.
    pub(super) fn changed() -> Self {
        Self::new(
            ErrorKind::InvalidData,
            "it was changed while it was read; start again with what is there now",
        )
    }

    /// Of what a store says.
    pub(super) fn of(error: &object_store::Error, store: Kind) -> Self {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } => Self::new(
                ErrorKind::NotFound,
                match store {
                    Kind::Http => "the server has no such file (404)",
                    _ => {
                        "the bucket has nothing of this name; a folder in it is written with `/` at its end"
                    }
                },
            ),
            E::Precondition { .. } => Self::changed(),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                let answer = status(error).unwrap_or_else(|| "401 or 403".into());
                Self::new(
                    ErrorKind::PermissionDenied,
                    format!("the server refuses it ({answer}); {}", credentials(store)),
                )
            }
            E::NotSupported { .. } => Self::new(ErrorKind::Unsupported, WHOLE_ONLY),
            _ => Self::of_request(error, store),
        }
    }

    fn of_request(error: &object_store::Error, store: Kind) -> Self {
        let later = format!(
            "asked {} times or for a minute; it may help to try again later",
            RETRIES + 1
        );
        if let Some(answer) = status(error) {
            let message = if ["5", "408", "429"]
                .iter()
                .any(|status| answer.starts_with(status))
            {
                format!("the server fails ({answer}), {later}")
            } else {
                format!("the server refuses it ({answer})")
            };
            return Self::new(ErrorKind::Other, message);
        }
        let cause = last_cause(error);
        if cause.contains("Content-Length Header missing") {
            let reason =
                "the server does not say how large it is (no Content-Length); download it first";
            return Self::new(ErrorKind::Unsupported, reason);
        }
        if cause.contains("non-partial") {
            return Self::new(ErrorKind::Unsupported, WHOLE_ONLY);
        }
        if cause.contains("certificate") {
            return Self::new(
                ErrorKind::PermissionDenied,
                format!(
                    "the server is not trusted ({cause}); SSL_CERT_FILE names the file of certificates that are"
                ),
            );
        }
        let http = chain(error).find_map(|e| e.downcast_ref::<HttpError>());
        match http.map(HttpError::kind) {
            Some(HttpErrorKind::Connect) => Self::new(
                ErrorKind::NotConnected,
                format!("the server cannot be reached ({cause}), {later}"),
            ),
            Some(HttpErrorKind::Timeout) => Self::new(
                ErrorKind::TimedOut,
                format!("the server does not answer in time ({cause}), {later}"),
            ),
            // Its status is lost with it.
            Some(HttpErrorKind::Decode) => Self::new(
                ErrorKind::Other,
                format!("the server refuses it with an answer that is no text ({cause})"),
            ),
            Some(HttpErrorKind::Unknown) => Self::new(
                ErrorKind::Other,
                format!(
                    "the server does not answer ({cause}); it may help to try again later{}",
                    https(store)
                ),
            ),
            Some(_) => Self::new(
                ErrorKind::Other,
                format!(
                    "the server does not answer ({cause}), {later}{}",
                    https(store)
                ),
            ),
            None => Self::new(
                ErrorKind::Other,
                format!("{cause}; {}{}", credentials(store), https(store)),
            ),
        }
    }

    /// As an error of reading what lies at `path`.
    pub(super) fn about(self, path: &Path) -> Error {
        Error::io("read", path, self.into())
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.message)
    }
}

/// What opens a store.
fn credentials(store: Kind) -> &'static str {
    match store {
        Kind::S3 => {
            "the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL open it, \
             AWS_SKIP_SIGNATURE=true a public bucket"
        }
        Kind::Google => {
            "the variable GOOGLE_SERVICE_ACCOUNT opens it, GOOGLE_SKIP_SIGNATURE=true a public bucket"
        }
        Kind::Http => "a URL is needed that opens without a password",
    }
}

/// A hint where a store is asked without encryption and that was not allowed.
fn https(store: Kind) -> &'static str {
    let plain = |name: &str| std::env::var(name).is_ok_and(|url| url.starts_with("http://"));
    let endpoints = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"];
    match store {
        Kind::S3 if endpoints.into_iter().any(plain) => {
            "; a server at http:// is asked with AWS_ALLOW_HTTP=true only"
        }
        _ => "",
    }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The server's answer, as `503 Service Unavailable, SlowDown`, if it gave one.
fn status(error: &object_store::Error) -> Option<String> {
    let text = chain(error).map(ToString::to_string);
    let answer = text
        .filter_map(|text| Some(text.strip_prefix(STATUS)?.to_string()))
        .next()?;
    let (status, body) = answer.split_once(':').unwrap_or((&answer, ""));
    // Of what it says besides only the word for the error: a whole answer may repeat what was asked, with its signature.
    let code = body
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code
        .map(|(code, _)| format!(", {code}"))
        .unwrap_or_default();
    Some(shortened(&format!("{}{code}", status.trim())))
}

/// The last of the causes, which names no URL with its query.
pub(super) fn last_cause(error: &(dyn StdError + 'static)) -> String {
    let last = chain(error).last().map(ToString::to_string);
    shortened(&last.unwrap_or_default())
}

fn shortened(text: &str) -> String {
    let text: String = text.chars().take(SHOWN).collect();
    one_line(&text).into_owned()
}
