//! The chunks that a PNG is made of.

/// One chunk: its name, what it holds, and whether its checksum is right.
pub(super) struct Chunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) data: &'a [u8],
    checksum: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The first of `bytes`, which it is taken off.
    pub(super) fn next(bytes: &mut &'a [u8]) -> Option<Self> {
        let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let name = bytes.get(4..8)?.try_into().ok()?;
        let end = length.checked_add(8)?;
        let (data, checksum) = (bytes.get(8..end)?, bytes.get(end..end + 4)?);
        *bytes = &bytes[end + 4..];
        Some(Self {
            name,
            data,
            checksum,
        })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.name);
        sum.update(self.data);
        if sum.finalize().to_be_bytes() == *self.checksum {
            Ok(())
        } else {
            Err(format!(
                "the PNG is broken: the checksum of its chunk {} is wrong",
                self.named()
            ))
        }
    }

    pub(super) fn named(&self) -> String {
        self.name.escape_ascii().to_string()
    }
}
