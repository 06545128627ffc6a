//! Later scans of a progressive picture, which send one more bit of coefficients (T.81, G.1.2.3).

use crate::band::Band;
use crate::bits::Bits;
use crate::entropy::Units;
use crate::error::Fault;

pub(crate) struct Refine<'s>(pub(crate) Band<'s>);

/// New coefficients of one sign, with none left out between them, from which a block is taken for overwritten.
///
/// In a picture they are as often of the one sign as of the other, but for a lone dot in a block's corner: that has 27 in a row
/// at most, for the cosines that it is made of differ too much beyond. A stretch of one repeated byte fills whole blocks with
/// them.
const ALIKE: u32 = 32;

/// Takes one more bit of a coefficient that is not 0.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, coefficient: &mut i16, bit: i16) {
    if bits.bit() && *coefficient & bit == 0 {
        *coefficient += if *coefficient < 0 { -bit } else { bit };
    }
}

impl Units for Refine<'_> {
    fn restart(&mut self) {
        self.0.run = 0;
    }

    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault> {
        let band = &mut self.0;
        let block = &mut band.blocks[row * band.across + column][band.first..=band.last];
        let bit = 1i16 << band.low;
        let mut k = 0;
        let (mut alike, mut last) = (0, 0);
        while band.run == 0 && k < block.len() {
            bits.fill();
            let symbol = band.table.symbol(bits)?;
            let mut zeros = symbol >> 4;
            let new = match symbol & 15 {
                0 if zeros < 15 => {
                    band.run = (1 << zeros) + bits.number(u32::from(zeros));
                    break;
                }
                0 => None,
                1 => Some(if bits.bit() { bit } else { -bit }),
                _ => return Err(Fault::Symbol),
            };
            let value = new.filter(|_| zeros == 0).unwrap_or(0);
            alike = if value == last && value != 0 {
                alike + 1
            } else {
                0
            };
            last = value;
            if alike >= ALIKE {
                return Err(Fault::Alike);
            }
            // Over so many coefficients that stay 0; those that are not get their bit on the way.
            loop {
                let coefficient = block.get_mut(k).ok_or(Fault::Index)?;
                k += 1;
                if *coefficient != 0 {
                    correct(bits, coefficient, bit);
                } else if zeros > 0 {
                    zeros -= 1;
                } else {
                    if let Some(new) = new {
                        *coefficient = new;
                    }
                    break;
                }
            }
        }
        if band.run > 0 {
            for coefficient in block[k..].iter_mut().filter(|c| **c != 0) {
                correct(bits, coefficient, bit);
            }
            band.run -= 1;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        self.0.finish()
    }
}
