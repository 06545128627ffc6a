//! A file fetched from where it stopped, so that an interrupted download goes on.

use super::call::{Call, Failure};
use super::client::Client;
use crate::error::{Error, HubErrorKind};
use crate::io::partial::is_at;
use crate::tensors::hash::{copy, hexadecimal};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

/// How often a file is asked for of which nothing more comes.
const ATTEMPTS: usize = 3;

/// One file of a repository that is fetched.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub url: String,
    pub file: &'a str,
    /// What the content is called in the cache.
    pub blob: &'a str,
    /// The hash of the content, where the Hub says it.
    pub sha256: Option<&'a str>,
    pub size: u64,
}

/// Why a download stopped.
pub(super) enum Stopped {
    /// A file here cannot be written.
    Here(Error),
    There(HubErrorKind, String),
}

/// Whether a content is there, and whole.
pub(super) fn is_there(path: &Path, size: u64) -> bool {
    path.metadata().is_ok_and(|file| file.len() == size)
}

impl Download<'_> {
    /// Fetches what is not there yet, into the folder `blobs`; `tell` hears how many bytes are there.
    pub fn run(&self, blobs: &Path, tell: &mut dyn FnMut(u64)) -> Result<(), Stopped> {
        let whole = blobs.join(self.blob);
        let partial = blobs.join(format!("{}.hydranet.incomplete", self.blob));
        let failed = |e: io::Error| Stopped::Here(Error::io("write", &partial, e));
        std::fs::create_dir_all(blobs).map_err(failed)?;
        let mut options = File::options();
        options.read(true).append(true).create(true);
        let mut file = loop {
            let file = options.open(&partial).map_err(failed)?;
            // Another process may be at it, and then it is there, unless that one threw it away.
            file.lock().map_err(failed)?;
            let is_mine = is_at(&file, &partial);
            if is_there(&whole, self.size) {
                if is_mine {
                    std::fs::remove_file(&partial).map_err(failed)?;
                }
                return Ok(());
            }
            if is_mine {
                break file;
            }
        };
        let mut there = file.metadata().map_err(failed)?.len();
        if there > self.size {
            file.set_len(0).map_err(failed)?;
            there = 0;
        }
        let mut buffer = vec![0; 1 << 16];
        let mut attempts = ATTEMPTS;
        let broke_off = |there: u64, kind: HubErrorKind, problem: &dyn std::fmt::Display| {
            let problem = format!(
                "its file {} broke off after {there} of {} bytes: {problem}; they are kept, and the next attempt goes on from there",
                self.file, self.size
            );
            Stopped::There(kind, problem)
        };
        while there < self.size {
            let start = there;
            let (mut body, mut before) = self
                .ask(start)
                .map_err(|e| broke_off(start, e.kind(), &e))?;
            let problem = loop {
                match body.read(&mut buffer) {
                    Ok(0) => {
                        let (came, missing) = (there - start, self.size - start);
                        break format!("{came} bytes came instead of {missing}");
                    }
                    Ok(n) => {
                        let passed = before.min(n as u64);
                        before -= passed;
                        let new = &buffer[passed as usize..n];
                        file.write_all(new).map_err(failed)?;
                        there += new.len() as u64;
                        tell(there);
                    }
                    Err(e) => break Failure::from(ureq::Error::from(e)).to_string(),
                }
            };
            attempts = if there > start {
                ATTEMPTS
            } else {
                attempts - 1
            };
            if attempts == 0 {
                return Err(broke_off(there, HubErrorKind::TryAgain, &problem));
            }
        }
        file.sync_all().map_err(failed)?;
        if let Some(expected) = self.sha256 {
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            let found = hexadecimal(copy(&mut file, &mut io::sink()).map_err(failed)?);
            if found != expected {
                std::fs::remove_file(&partial).map_err(failed)?;
                let problem = format!(
                    "the content of {} is not what the Hub says it is: expected SHA-256 {expected}, found {found}; it is thrown away",
                    self.file
                );
                return Err(Stopped::There(HubErrorKind::Corrupt, problem));
            }
        }
        std::fs::rename(&partial, whole).map_err(failed)
    }

    /// Asks for what is from `start` on, and says how many bytes come before that. An answer that says it holds anything else, as
    /// a page of a server between does, is refused before a byte of it is taken.
    fn ask(&self, start: u64) -> Result<(impl Read, u64), Failure> {
        let range = format!("bytes={start}-");
        let mut call = Call::get(&self.url);
        call.headers = vec![(RANGE.as_str(), &range)];
        let answer = self.client.send(&mut call)?;
        // A server that knows no ranges sends all of it.
        let is_part = answer.status() == StatusCode::PARTIAL_CONTENT;
        let before = if is_part { 0 } else { start };
        let name = if is_part {
            CONTENT_RANGE
        } else {
            CONTENT_LENGTH
        };
        let said = answer
            .headers()
            .get(name)
            .map(|v| String::from_utf8_lossy(v.as_bytes()));
        let fits = match &said {
            Some(said) if is_part => said.starts_with(&format!("bytes {start}-")),
            Some(said) => **said == self.size.to_string(),
            // A length need not be said.
            None => !is_part,
        };
        if !fits {
            let said = said.unwrap_or_default();
            return Err(Failure::Answer(format!(
                "its answer is another file or another part of it (`{said}`)"
            )));
        }
        let body = answer.into_body().into_reader();
        Ok((body.take(self.size - start + before), before))
    }
}
