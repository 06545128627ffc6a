//! Where a progressive scan of the other coefficients than the first stands: first and later scans share it.

use crate::error::Fault;
use crate::huffman::Table;
use crate::stored::Block;

pub(crate) struct Band<'s> {
    pub(crate) table: Table,
    pub(crate) across: usize,
    pub(crate) blocks: &'s mut [Block],
    /// First and last coefficient.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// The lowest bit that is sent.
    pub(crate) low: u8,
    /// Blocks yet to come in which nothing new is sent.
    pub(crate) run: u32,
}

impl Band<'_> {
    /// Ends a restart interval.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.run == 0 {
            Ok(())
        } else {
            Err(Fault::Run)
        }
    }
}
