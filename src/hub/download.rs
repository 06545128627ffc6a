//! A file fetched in parts, so that an interrupted download goes on where it stopped.

use crate::tensors::hash::hexadecimal;
use hf_hub::HFRepositorySync;
use hf_hub::repository::RepoTypeModel;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How often a part of a file is asked for before it is given up.
const ATTEMPTS: usize = 3;

/// One file of a repository that is fetched in parts.
pub(super) struct Download<'a> {
    pub repo: &'a HFRepositorySync<RepoTypeModel>,
    pub file: &'a str,
    pub commit: &'a str,
    pub size: u64,
    pub part: u64,
}

impl Download<'_> {
    /// Fetches what is not there yet, into the folder `blobs`, under `oid` or the hash of the content; `tell` hears
    /// how many bytes are there.
    pub fn run(
        &self,
        blobs: &Path,
        oid: Option<&str>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), String> {
        let plain = |name: &str| name.replace(['/', '\\'], "--");
        let name = format!("{}.{}.incomplete", plain(self.commit), plain(self.file));
        let partial = blobs.join(name);
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
        let name = match oid {
            Some(oid) => oid.to_string(),
            None => sha256(&mut file).map_err(failed)?,
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("the Hub names a file by `{name}`; expected a hash"));
        }
        std::fs::rename(&partial, blobs.join(name)).map_err(failed)
    }

    /// The part from `start` on.
    fn fetch(&self, start: u64) -> Result<Vec<u8>, String> {
        let end = self.size.min(start + self.part);
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let part = self
                .repo
                .download_file_to_bytes()
                .filename(self.file)
                .revision(self.commit)
                .range(start..end);
            match part.send() {
                Ok(part) if part.len() as u64 == end - start => return Ok(part.to_vec()),
                // A server that knows no ranges sends all of it.
                Ok(whole) if whole.len() as u64 == self.size => {
                    return Ok(whole[start as usize..].to_vec());
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

fn sha256(file: &mut File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}
