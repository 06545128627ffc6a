//! A file fetched in parts, so that an interrupted download goes on where it stopped.

use super::call::Call;
use super::client::{Client, content};
use super::hash;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use ureq::http::header::RANGE;

/// How often a part of a file is asked for that breaks off.
const ATTEMPTS: usize = 3;

/// One file of a repository that is fetched in parts.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub url: String,
    pub file: &'a str,
    /// What the content is called in the cache.
    pub blob: &'a str,
    /// The hash of the content, where the Hub says it.
    pub sha256: Option<&'a str>,
    pub size: u64,
    pub part: u64,
}

impl Download<'_> {
    /// Fetches what is not there yet, into the folder `blobs`; `tell` hears how many bytes are there.
    pub fn run(&self, blobs: &Path, tell: &mut dyn FnMut(u64)) -> Result<(), String> {
        let partial = blobs.join(format!("{}.hydranet.incomplete", self.blob));
        let failed = |e: std::io::Error| format!("cannot write {}: {e}", partial.display());
        std::fs::create_dir_all(blobs).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(&partial)
            .map_err(failed)?;
        // Another process may be at it, and then it is there.
        file.lock().map_err(failed)?;
        if !partial.exists() {
            return Ok(());
        }
        let mut there = file.metadata().map_err(failed)?.len();
        if there > self.size {
            file.set_len(0).map_err(failed)?;
            there = 0;
        }
        while there < self.size {
            let part = self.fetch(there).map_err(|e| {
                format!(
                    "its file {} broke off after {there} of {} bytes: {e}; they are kept, and the next attempt goes on from there",
                    self.file, self.size
                )
            })?;
            file.write_all(&part).map_err(failed)?;
            there += part.len() as u64;
            tell(there);
        }
        file.sync_all().map_err(failed)?;
        if let Some(expected) = self.sha256 {
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            let found = hash::sha256(&mut file).map_err(failed)?;
            if found != expected {
                std::fs::remove_file(&partial).map_err(failed)?;
                return Err(format!(
                    "the content of {} is not what the Hub says it is: expected SHA-256 {expected}, found {found}; it is thrown away",
                    self.file
                ));
            }
        }
        std::fs::rename(&partial, blobs.join(self.blob)).map_err(failed)
    }

    /// The part from `start` on.
    fn fetch(&self, start: u64) -> Result<Vec<u8>, String> {
        let end = self.size.min(start + self.part);
        let range = format!("bytes={start}-{}", end - 1);
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut call = Call::get(&self.url);
            call.headers = vec![(RANGE.as_str(), &range)];
            let answer = self.client.send(&mut call).map_err(|e| e.to_string())?;
            match content(answer, self.size) {
                Ok(part) if part.len() as u64 == end - start => return Ok(part),
                // A server that knows no ranges sends all of it.
                Ok(mut whole) if whole.len() as u64 == self.size => {
                    return Ok(whole.split_off(start as usize));
                }
                Ok(part) => {
                    last = format!("{} bytes came instead of {}", part.len(), end - start);
                }
                Err(e) => last = e.to_string(),
            }
        }
        Err(last)
    }
}
