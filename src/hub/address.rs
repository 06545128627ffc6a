//! Addresses over HTTP: their parts, and where one leads from another.

use ureq::http::Uri;

/// A part of a path as it stands in an address.
pub(super) fn encode(part: &str) -> String {
    escape(part, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let byte = |b: u8| {
        if plain(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

/// Scheme, host and port of an address over HTTP.
pub(super) fn origin(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_lowercase();
    let port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let port = url.port_u16().unwrap_or(port);
    Some((scheme, url.host()?.to_lowercase(), port))
}

/// The address that another one is redirected to.
pub(super) fn join(from: &str, to: &str) -> String {
    let to = to.split('#').next().unwrap_or_default();
    // What no address may hold, though servers send it.
    let to = escape(to, |b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b));
    let (scheme, rest) = from.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if origin(&to).is_some() {
        to
    } else if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{host}{to}")
    } else {
        let path = rest.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        format!("{scheme}://{folder}/{to}")
    }
}
