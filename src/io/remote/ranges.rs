//! A file that is read at any place: by requests for ranges, which grow while it is read on.

use super::cache::{self, Part, Promise};
use super::engine::{Engine, RETRIES, answer, wait_before};
use super::failure::Failure;
use super::fetch::collect;
use super::place::Place;
use crate::error::{Error, Result};
use crate::io::random_access::ReadAt;
use object_store::{GetOptions, GetRange};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the first request, and of one that jumps.
const FIRST: u64 = 64 << 10;
/// Bytes of a request of a file that is read on, and of a piece of what is larger.
const MOST: u64 = 4 << 20;
/// What may lie between two reads that are taken to follow one another.
const NEAR: u64 = 1 << 20;
/// Places at which a file is read on at once, by several threads.
const STREAMS: usize = 32;

/// A file of a store or server.
struct RemoteFile {
    number: u64,
    engine: Arc<Engine>,
    asked: Asked,
    size: u64,
    /// Where it is read on, the last in front.
    streams: Mutex<VecDeque<Stream>>,
}

/// What is asked for, and what tells it from what may lie there later.
#[derive(Clone)]
struct Asked {
    place: Place,
    tag: Option<String>,
}

/// A place up to which a file was asked for, and how much was asked for at once.
struct Stream {
    end: u64,
    window: u64,
}

/// Opens a file; its size comes with its first bytes.
///
/// # Errors
/// [`Error::Io`] if it cannot be had, or not at any place.
pub(crate) fn open(path: &Path) -> Result<Box<dyn ReadAt>> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    let failed = |e: io::Error| Error::io("read", path, e);
    let engine = Engine::get().map_err(failed)?;
    let place = Place::of(path, &engine).map_err(|e| e.about(path))?;
    let asked = Asked { place, tag: None };
    let first = asked.clone();
    let begun = engine.wait(async move { first.range(0..FIRST).await });
    let (bytes, size, tag) = begun.map_err(failed)?.map_err(|e| e.about(path))?;
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let length = bytes.len() as u64;
    if length > 0 {
        let (_, promise) = cache::add(number, 0, length);
        promise.keep(Ok(bytes));
    }
    Ok(Box::new(RemoteFile {
        number,
        engine,
        asked: Asked { tag, ..asked },
        size,
        streams: Mutex::new(VecDeque::from([Stream {
            end: length,
            window: FIRST,
        }])),
    }))
}

impl Asked {
    /// Some bytes, the size of the whole, and its tag.
    async fn range(&self, range: Range<u64>) -> Result<(Vec<u8>, u64, Option<String>), Failure> {
        let mut again = 0;
        loop {
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                // By a weak tag nothing is asked for.
                if_match: self.tag.clone().filter(|tag| !tag.starts_with("W/")),
                ..GetOptions::default()
            };
            let place = &self.place;
            let asked = place.store.get_opts(&place.key, options);
            let result = match answer(asked, place.kind).await {
                Ok(result) => result,
                Err(failure) => {
                    // Nothing can be a part of nothing.
                    if failure.message.contains("(416") && range.start == 0 {
                        return Ok((Vec::new(), 0, None));
                    }
                    return Err(failure);
                }
            };
            let (size, tag) = (result.meta.size, result.meta.e_tag.clone());
            let length = result.range.end - result.range.start;
            let most = if tag.is_some() { 0 } else { RETRIES };
            if result.range.start != range.start || length > range.end - range.start {
                return Err(Failure::wrong(
                    "the server gives other bytes than were asked for",
                ));
            }
            match collect(result.into_stream(), length).await {
                Ok(bytes) => return Ok((bytes, size, tag)),
                Err(e) if !e.broke_off => return Err(e),
                Err(e) if again == most => return Err(e.in_vain(again + 1)),
                Err(_) => tokio::time::sleep(wait_before(again)).await,
            }
            again += 1;
        }
    }

    /// Exactly these bytes of a file of this size.
    async fn exactly(&self, range: Range<u64>, size: u64) -> Result<Vec<u8>, Failure> {
        let (bytes, now, tag) = self.range(range.clone()).await?;
        if now != size || tag != self.tag || bytes.len() as u64 != range.end - range.start {
            return Err(Failure::changed());
        }
        Ok(bytes)
    }
}

impl RemoteFile {
    /// The part that holds the first of these bytes, which is asked for unless it is there or on its way.
    fn part(&self, range: Range<u64>) -> Arc<Part> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let (part, new) = match cache::find(self.number, range.start) {
            Some(part) => (part, None),
            None => {
                // Small jumps of one that reads here and there are not taken for it.
                let follows = |s: &Stream| {
                    (s.end..=s.end.saturating_add(s.window.min(NEAR))).contains(&range.start)
                };
                let stream = streams.iter().position(follows);
                let stream = stream.and_then(|place| streams.remove(place));
                let window = stream.map_or(FIRST, |s| (2 * s.window).min(MOST));
                let (part, promise) = self.add(range.start, window.max(range.end - range.start));
                let end = part.end();
                streams.push_front(Stream { end, window });
                streams.truncate(STREAMS);
                (part, Some(promise))
            }
        };
        // While the second half of what is read on is used, what is behind it comes.
        let next = part.end();
        let is_late = range.end - part.start > part.length / 2;
        let mut reads_on = streams.iter_mut();
        let stream = reads_on.find(|s| is_late && s.end == next && s.window == MOST);
        let stream =
            stream.filter(|_| next < self.size && cache::find(self.number, next).is_none());
        let ahead = stream.map(|stream| {
            let (part, promise) = self.add(next, MOST);
            stream.end = part.end();
            (part, promise)
        });
        drop(streams);
        if let Some(promise) = new {
            self.bring(&part, promise);
        }
        if let Some((part, promise)) = ahead {
            self.bring(&part, promise);
        }
        part
    }

    /// A part from here on, up to the next one that is there.
    fn add(&self, start: u64, length: u64) -> (Arc<Part>, Promise) {
        let end = cache::next(self.number, start).unwrap_or(self.size);
        cache::add(self.number, start, length.min(end - start))
    }

    fn bring(&self, part: &Part, promise: Promise) {
        let (asked, range, size) = (self.asked.clone(), part.start..part.end(), self.size);
        self.engine.spawn(async move {
            promise.keep(asked.exactly(range, size).await);
        });
    }
}

impl ReadAt for RemoteFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let end = start.checked_add(buffer.len() as u64);
        let end = end.filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if end - start <= MOST {
            let (mut at, mut left) = (start, buffer);
            while !left.is_empty() {
                let part = self.part(at..end);
                let bytes = part.wait()?;
                let inside = &bytes[(at - part.start) as usize..];
                let length = inside.len().min(left.len());
                let (now, later) = std::mem::take(&mut left).split_at_mut(length);
                now.copy_from_slice(&inside[..now.len()]);
                at += now.len() as u64;
                left = later;
            }
            return Ok(());
        }
        // What is large is not kept.
        let mut at = start;
        for piece in buffer.chunks_mut(MOST as usize) {
            let range = at..at + piece.len() as u64;
            let (asked, size) = (self.asked.clone(), self.size);
            let work = async move { asked.exactly(range, size).await };
            piece.copy_from_slice(&self.engine.wait(work)??);
            at += piece.len() as u64;
        }
        Ok(())
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        cache::close(self.number);
    }
}
