//! Huffman tables: as they are written (T.81, B.2.4.2) and as they are looked up (C.2, F.2.2.3).

use crate::Error;
use crate::bits::{Bits, extend};
use crate::error::Fault;

/// Bits that are looked up at once; most codes, with their values, are not longer.
const LOOK: u32 = 10;

/// A table as the file gives it.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// How many codes there are of 1 to 16 bits.
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Spec {
    /// Reads a table and gives what follows it.
    pub(crate) fn read(data: &[u8]) -> Result<(Self, &[u8]), Error> {
        let short = || Error::Damaged("a Huffman table that ends within its segment".to_owned());
        let (counts, rest) = data.split_first_chunk::<16>().ok_or_else(short)?;
        let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
        // A code of n bits takes the 2^(16 - n) places of the numbers of 16 bits that begin with it.
        let places: u32 = counts
            .iter()
            .enumerate()
            .map(|(i, &n)| u32::from(n) << (15 - i))
            .sum();
        if total > 256 || places > 1 << 16 {
            return Err(Error::Damaged(
                "a Huffman table of more codes than there can be".to_owned(),
            ));
        }
        let (symbols, rest) = rest.split_at_checked(total).ok_or_else(short)?;
        Ok((
            Self {
                counts: *counts,
                symbols: symbols.to_vec(),
            },
            rest,
        ))
    }

    /// The symbol of the code of zeros only, which comes first.
    pub(crate) fn first(&self) -> Option<u8> {
        self.symbols.first().copied()
    }

    /// Makes it ready for decoding.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table {
            look: [0; 1 << LOOK],
            ends: [0; 17],
            symbols: [0; 256],
            firsts: [0; 17],
        };
        table.symbols[..self.symbols.len()].copy_from_slice(&self.symbols);
        // Codes as numbers of 16 bits, filled up with zeros at the low end.
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16u32 {
            table.firsts[length as usize] = index as i32 - (code >> (16 - length)) as i32;
            for _ in 0..self.counts[length as usize - 1] {
                let symbol = self.symbols[index];
                if length <= LOOK {
                    let from = (code >> (16 - LOOK)) as usize;
                    for (i, slot) in table.look[from..from + (1 << (LOOK - length))]
                        .iter_mut()
                        .enumerate()
                    {
                        *slot = entry(symbol, length, i as i32);
                    }
                }
                code += 1 << (16 - length);
                index += 1;
            }
            table.ends[length as usize] = code;
        }
        table
    }
}

/// What a look-up gives: the symbol in bits 0 to 7, the code's length in 8 to 12, and, where the value's bits were looked up with
/// it, the length of both in 13 to 17 and the value in 18 to 31.
fn entry(symbol: u8, length: u32, rest: i32) -> i32 {
    let size = u32::from(symbol & 15);
    let plain = i32::from(symbol) | (length as i32) << 8;
    if size == 0 || length + size > LOOK {
        return plain;
    }
    let value = extend(rest >> (LOOK - length - size), size);
    plain | ((length + size) as i32) << 13 | value << 18
}

/// A table that is ready for decoding.
pub(crate) struct Table {
    look: [i32; 1 << LOOK],
    /// Where the codes of a length end, as a number of 16 bits.
    ends: [u32; 17],
    /// The index of the first symbol of a length, less its code.
    firsts: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// The next symbol. 32 bits must be ready; 16 at least are left of them.
    #[inline(always)]
    pub(crate) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let entry = self.look[bits.peek(LOOK)];
        if entry == 0 {
            return self.long(bits);
        }
        bits.skip((entry >> 8) as u32 & 31);
        Ok(entry as u8)
    }

    /// The next symbol and the value of its low four bits' size (0 where that is 0). 32 bits must be ready.
    #[inline(always)]
    pub(crate) fn pair(&self, bits: &mut Bits<'_>) -> Result<(u8, i32), Fault> {
        let entry = self.look[bits.peek(LOOK)];
        let both = (entry >> 13) as u32 & 31;
        if both != 0 {
            bits.skip(both);
            return Ok((entry as u8, entry >> 18));
        }
        let symbol = self.symbol(bits)?;
        let size = u32::from(symbol & 15);
        Ok((symbol, if size == 0 { 0 } else { bits.value(size) }))
    }

    #[cold]
    #[inline(never)]
    fn long(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let next = bits.peek(16);
        for length in LOOK as usize + 1..=16 {
            if next < self.ends[length] as usize {
                bits.skip(length as u32);
                let index = self.firsts[length] + (next >> (16 - length)) as i32;
                return self.symbols.get(index as usize).copied().ok_or(Fault::Code);
            }
        }
        Err(Fault::Code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_every_length_gives_its_symbol() -> Result<(), Error> {
        // One code of each length: 0, 10, 110, ... and 16 ones less the last.
        let mut data = vec![1u8; 16];
        data.extend((0..16).map(|i| i << 4));
        let (spec, rest) = Spec::read(&data)?;
        assert!(rest.is_empty());
        let table = spec.table();
        for i in 0..16u32 {
            let code = ((1u32 << i) - 1) << (16 - i);
            let bytes = [(code >> 8) as u8, code as u8, 0, 0];
            let mut bits = Bits::new(&bytes);
            bits.fill();
            assert_eq!(table.symbol(&mut bits), Ok((i as u8) << 4));
            assert_eq!(bits.left(), u64::from(32 - i - 1) / 8);
        }
        let mut bits = Bits::new(&[255, 255, 0, 0]);
        bits.fill();
        assert_eq!(table.symbol(&mut bits), Err(Fault::Code));
        Ok(())
    }

    #[test]
    fn a_table_of_too_many_codes_is_refused() {
        let mut data = [0u8; 16];
        data[0] = 3;
        assert!(Spec::read(&data).is_err());
    }
}
