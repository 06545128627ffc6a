//! A request before it is made, and why one fails.

use crate::error::{Error, HubErrorKind};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use ureq::http::Method;
use ureq::http::header::CONTENT_TYPE;

/// Statuses of a server that may be able to answer a little later.
pub(super) const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// What a request carries.
pub(super) enum Content<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// A part of a file; `tell` hears how many of its bytes were sent.
    Part {
        path: &'a Path,
        start: u64,
        length: u64,
        tell: &'a mut dyn FnMut(u64),
    },
}

/// A request before it is made.
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub content: Content<'a>,
    /// Whether the Hub is to know who asks; no other server ever is.
    pub with_token: bool,
    /// Whether it must not be done twice: it is repeated only if the server says that it is too busy.
    pub once: bool,
}

impl<'a> Call<'a> {
    /// Asks the Hub.
    pub fn get(url: &'a str) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            content: Content::Nothing,
            with_token: true,
            once: false,
        }
    }

    /// Tells the Hub something of a media type.
    pub fn post(url: &'a str, kind: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            method: Method::POST,
            headers: vec![(CONTENT_TYPE.as_str(), kind)],
            content: Content::Bytes(bytes),
            ..Self::get(url)
        }
    }
}

/// A part of a file that is sent.
pub(super) struct Part<'a> {
    file: File,
    left: u64,
    sent: u64,
    tell: &'a mut dyn FnMut(u64),
    /// What went wrong on this side.
    pub failed: Option<io::Error>,
}

impl<'a> Part<'a> {
    pub fn open(
        path: &Path,
        start: u64,
        length: u64,
        tell: &'a mut dyn FnMut(u64),
    ) -> Result<Self, Failure> {
        let (mut file, _) = crate::io::read::open(path).map_err(Failure::Local)?;
        let failed = |e| Failure::Local(Error::io("read", path, e));
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        Ok(Self {
            file,
            left: length,
            sent: 0,
            tell,
            failed: None,
        })
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.tell)(self.sent);
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = match self.file.read(&mut buffer[..most]) {
            // It became shorter, and the other side would wait for the rest.
            Ok(0) if most > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        match read {
            Ok(n) => {
                self.left -= n as u64;
                self.sent += n as u64;
                Ok(n)
            }
            Err(e) => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused it, with this status.
    Refused {
        status: u16,
        problem: String,
        /// When it may be asked again, if it says so.
        after: Option<Duration>,
    },
    /// The server cannot be reached, or went away.
    Unreached(String),
    /// The answer is another than the protocol's.
    Answer(String),
    /// A file here cannot be read.
    Local(Error),
}

impl Failure {
    /// What can be done about it.
    pub fn kind(&self) -> HubErrorKind {
        match self {
            Self::Refused { status, .. } if PASSING.contains(status) => HubErrorKind::TryAgain,
            Self::Refused { status: 409, .. } => HubErrorKind::TryAgain,
            Self::Refused { status: 404, .. } => HubErrorKind::NotFound,
            Self::Refused {
                status: 401 | 403, ..
            } => HubErrorKind::Forbidden,
            Self::Refused { .. } | Self::Local(_) => HubErrorKind::Invalid,
            Self::Unreached(_) => HubErrorKind::TryAgain,
            Self::Answer(_) => HubErrorKind::Corrupt,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { problem, .. } | Self::Answer(problem) => f.write_str(problem),
            Self::Unreached(reason) => write!(f, "the connection failed ({reason})"),
            Self::Local(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error::{ConnectProxyFailed, ConnectionFailed, HostNotFound, Http, Io, Timeout};
        match error {
            Http(e) => Self::Answer(e.to_string()),
            // Such are certificates that are not trusted, and what is no TLS.
            Io(e) if e.kind() == io::ErrorKind::InvalidData => Self::Answer(unusable(e)),
            Io(e) => Self::Unreached(e.to_string()),
            Timeout(_) | HostNotFound | ConnectionFailed | ConnectProxyFailed(_) => {
                Self::Unreached(error.to_string())
            }
            other => Self::Answer(unusable(other)),
        }
    }
}

fn unusable(error: impl fmt::Display) -> String {
    format!("its answer cannot be used ({error})")
}
