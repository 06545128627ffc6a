//! Requests over HTTP: repeated where that helps, redirected without giving the token away, with bounds on time and answers.

use super::address::{join, origin};
use super::call::{Call, Content, Failure, PASSING, Part};
use crate::error::Error;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LINK, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderName, Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

/// How often a request is made before it is given up.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// Those of one that was too busy to do anything.
const BUSY: [u16; 2] = [429, 503];
/// The longest that a server's own pause may be.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(30);
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(120);
/// The largest answer that is no file, in bytes.
const ANSWER: u64 = 64 << 20;
/// The largest description of a refusal, in bytes.
const REFUSAL: u64 = 64 << 10;

/// Makes requests to one server, and to those it names.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    /// # Errors
    /// What is wrong with the address or the token.
    pub fn new(endpoint: String, token: Option<String>) -> Result<Self, String> {
        if origin(&endpoint).is_none() {
            return Err(format!(
                "`{endpoint}` is no address of a Hub; it begins with https:// or http://"
            ));
        }
        let plain = |token: &String| token.bytes().all(|b| b.is_ascii_graphic());
        if !token.as_ref().is_none_or(plain) {
            return Err("the access token has characters in it that no token has".into());
        }
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|c| Certificate::from_der(c).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(trusted))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("hydranet/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // They are followed here, where it is known whom the token is for.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECTING))
            .timeout_connect(Some(CONNECTING))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .build();
        Ok(Self {
            agent: config.new_agent(),
            endpoint,
            token,
        })
    }

    /// The server's address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The answer, its content not yet read.
    pub fn send(&self, call: &mut Call) -> Result<Response<Body>, Failure> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            let passing: &[u16] = if call.once { &BUSY } else { &PASSING };
            let said = match self.follow(call) {
                Err(Failure::Refused { status, after, .. }) if passing.contains(&status) => after,
                Err(Failure::Unreached(_)) if !call.once => None,
                result => return result,
            };
            std::thread::sleep(pause.max(said.unwrap_or_default().min(PATIENCE)));
            pause *= 2;
        }
        self.follow(call)
    }

    /// The answer as JSON.
    pub fn json<T: DeserializeOwned>(&self, call: &mut Call) -> Result<T, Failure> {
        read(self.send(call)?)
    }

    /// A page of a list as JSON, and the address of the next one.
    pub fn page<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Option<String>), Failure> {
        let answer = self.send(&mut Call::get(url))?;
        let links = answer.headers().get(LINK).and_then(|l| l.to_str().ok());
        let next = links.and_then(|links| {
            let link = links.split(',').find(|l| l.contains("rel=\"next\""))?;
            let (place, _) = link.split_once('<')?.1.split_once('>')?;
            Some(join(url, place))
        });
        Ok((read(answer)?, next))
    }

    /// Makes a request, wherever it is redirected.
    fn follow(&self, call: &mut Call) -> Result<Response<Body>, Failure> {
        let mut url = call.url.to_string();
        for _ in 0..=REDIRECTS {
            let answer = self.exchange(call, &url)?;
            // Others change the method to GET, and then what was sent is lost.
            let followed = match answer.status().as_u16() {
                301..=303 => call.method == Method::GET,
                307 | 308 => true,
                _ => false,
            };
            let place = answer.headers().get(LOCATION).filter(|_| followed);
            if let Some(place) = place {
                url = join(&url, &String::from_utf8_lossy(place.as_bytes()));
                if origin(&url).is_none() {
                    return Err(Failure::Answer(format!("it redirects to `{url}`")));
                }
            } else if answer.status().is_success() {
                return Ok(answer);
            } else {
                return Err(refusal(answer));
            }
        }
        Err(Failure::Answer(format!(
            "it redirects more than {REDIRECTS} times"
        )))
    }

    fn exchange(&self, call: &mut Call, url: &str) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(call.method.clone()).uri(url);
        // What proves who asks is for the first server alone, and the token for the Hub.
        let is_proof = |name: &str| name.eq_ignore_ascii_case(AUTHORIZATION.as_str());
        let there = origin(url);
        let is_first = there == origin(call.url);
        for (name, value) in &call.headers {
            if is_first || !is_proof(name) {
                request = request.header(*name, *value);
            }
        }
        if let Some(token) = &self.token
            && call.with_token
            && there == origin(&self.endpoint)
            && !call.headers.iter().any(|(name, _)| is_proof(name))
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let failed = |e| Failure::from(ureq::Error::Http(e));
        Ok(match &mut call.content {
            Content::Nothing => self.agent.run(request.body(()).map_err(failed)?)?,
            Content::Bytes(bytes) => self.agent.run(request.body(*bytes).map_err(failed)?)?,
            Content::Part {
                path,
                start,
                length,
                tell,
            } => {
                let mut part = Part::open(path, *start, *length, *tell)?;
                let request = request.header(CONTENT_LENGTH, *length);
                let body = SendBody::from_reader(&mut part);
                let answer = self.agent.run(request.body(body).map_err(failed)?);
                if let Some(e) = part.failed {
                    return Err(Failure::Local(Error::io("read", *path, e)));
                }
                answer?
            }
        })
    }
}

/// What an answer holds, if that is at most so many bytes.
pub(super) fn content(answer: Response<Body>, most: u64) -> Result<Vec<u8>, Failure> {
    let body = answer.into_body().into_with_config().limit(most);
    Ok(body.read_to_vec()?)
}

/// What an answer holds, as JSON.
pub(super) fn read<T: DeserializeOwned>(answer: Response<Body>) -> Result<T, Failure> {
    let bytes = content(answer, ANSWER)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Failure::Answer(format!("its answer is not understood ({e})")))
}

/// When a server that refuses may be asked again. The Hub says in every answer when it counts requests anew, which matters only
/// where there were too many.
fn after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let header = |name: HeaderName| headers.get(name)?.to_str().ok();
    let seconds = |text: &str| text.trim().parse().ok();
    let counted_anew = || {
        let limit = header(HeaderName::from_static("ratelimit")).filter(|_| status == 429)?;
        seconds(limit.rsplit_once("t=")?.1.split(';').next()?)
    };
    // It may also be a date.
    let said = header(RETRY_AFTER).and_then(seconds);
    said.or_else(counted_anew).map(Duration::from_secs)
}

/// What a refusal says.
fn refusal(answer: Response<Body>) -> Failure {
    let status = answer.status();
    let after = after(status.as_u16(), answer.headers());
    let header = answer.headers().get("x-error-message");
    let header = header.and_then(|h| h.to_str().ok()).map(String::from);
    let body = || {
        let body = content(answer, REFUSAL).ok()?;
        let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
        body["error"].as_str().map(String::from)
    };
    let said = header.or_else(body).map(|said| format!(": {said}"));
    let said = said.unwrap_or_default();
    Failure::Refused {
        after,
        status: status.as_u16(),
        problem: format!("HTTP error: {status}{said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_it_may_be_asked_again() {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit", "\"api\";r=0;t=55".parse().unwrap());
        assert_eq!(after(429, &headers), Some(Duration::from_secs(55)));
        assert_eq!(after(503, &headers), None);
        headers.insert(
            RETRY_AFTER,
            "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap(),
        );
        assert_eq!(after(429, &headers), Some(Duration::from_secs(55)));
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(after(503, &headers), Some(Duration::from_secs(7)));
    }
}
