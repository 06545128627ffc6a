//! Files mapped into memory.

use memmap2::Mmap;
use std::fs::File;
use std::io::Result;

/// A file's bytes as memory: read from disk when they are first looked at, and kept as long as the system has room for them.
///
/// Only for files that nobody writes in place.
///
/// # Errors
/// If the system refuses.
pub fn map_file(file: &File) -> Result<Mmap> {
    // SAFETY: the bytes must not change while they are mapped. hydranet's own files never do: one is written whole under a name
    // of its own and then renamed, so a newer version takes the name and leaves the mapped one as it is, nameless, until it is
    // let go of. What is left is a foreign program that writes into the file or cuts it off while we look at it, which nothing
    // but reading all of it into memory could rule out.
    unsafe { Mmap::map(file) }
}
