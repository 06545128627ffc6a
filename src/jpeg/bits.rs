//! Bits of coded data, of which the stuffing has been taken out (T.81, F.2.2.5).

/// Reads bits from the front. Behind the end it gives zeros; [`Bits::overrun`] tells that it did.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    pos: usize,
    /// The next bits, the first of them highest. Below the `count` valid ones there may be some of the following.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            pos: 0,
            buffer: 0,
            count: 0,
        }
    }

    /// Makes at least 32 bits ready: enough for a code and its value.
    #[inline(always)]
    pub(crate) fn fill(&mut self) {
        if self.count < 32 {
            self.refill();
        }
    }

    #[inline(always)]
    fn refill(&mut self) {
        if let Some(word) = self
            .data
            .get(self.pos..)
            .and_then(|rest| rest.first_chunk::<8>())
        {
            self.buffer |= u64::from_be_bytes(*word) >> self.count;
            let bytes = (63 - self.count) >> 3;
            self.pos += bytes as usize;
            self.count += 8 * bytes;
        } else {
            self.refill_at_end();
        }
    }

    #[cold]
    fn refill_at_end(&mut self) {
        while self.count <= 56 {
            let byte = self.data.get(self.pos).copied().unwrap_or(0);
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.pos += 1;
            self.count += 8;
        }
    }

    /// The next `n` bits (1 to 16), which stay.
    #[inline(always)]
    pub(crate) fn peek(&self, n: u32) -> usize {
        (self.buffer >> (64 - n)) as usize
    }

    /// Drops `n` bits that have been made ready.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: u32) {
        self.buffer <<= n;
        self.count = self.count.wrapping_sub(n);
    }

    /// One bit. Fills by itself.
    #[inline(always)]
    pub(crate) fn bit(&mut self) -> bool {
        self.fill();
        let bit = self.buffer >> 63 != 0;
        self.skip(1);
        bit
    }

    /// `n` bits (0 to 16) as a number. Fills by itself.
    #[inline(always)]
    pub(crate) fn number(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        self.fill();
        let number = self.peek(n) as u32;
        self.skip(n);
        number
    }

    /// The value of `n` bits (1 to 16) that have been made ready: T.81's EXTEND (F.2.2.1).
    #[inline(always)]
    pub(crate) fn value(&mut self, n: u32) -> i32 {
        let bits = self.peek(n) as i32;
        self.skip(n);
        extend(bits, n)
    }

    fn spent(&self) -> u64 {
        8 * self.pos as u64 - u64::from(self.count)
    }

    /// Whether more bits were taken than there are.
    #[inline(always)]
    pub(crate) fn overrun(&self) -> bool {
        self.pos > self.data.len() && self.spent() > 8 * self.data.len() as u64
    }

    /// How many whole bytes are left.
    pub(crate) fn left(&self) -> u64 {
        (8 * self.data.len() as u64).saturating_sub(self.spent()) / 8
    }

    /// Whether what is left is at most `most` bytes behind a byte that is filled up as encoders fill it: with ones, or with zeros
    /// and nothing but zeros behind it.
    pub(crate) fn is_padding(&self, most: u64) -> bool {
        let fill = self.count % 8;
        let bits = self.peek(8) >> (8 - fill);
        let rest = &self.data[self.spent().div_ceil(8) as usize..];
        let zeros = bits == 0 && rest.iter().all(|&b| b == 0);
        rest.len() as u64 <= most && (bits == (1 << fill) - 1 || zeros)
    }
}

/// The signed number that `n` bits stand for: those that begin with 0 are negative.
#[inline(always)]
pub(crate) fn extend(bits: i32, n: u32) -> i32 {
    if bits < 1 << (n - 1) {
        bits + 1 - (1 << n)
    } else {
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_zeros_behind_the_end() {
        let data: Vec<u8> = (1..=40).collect();
        let mut bits = Bits::new(&data);
        let mut all = Vec::new();
        for _ in 0..40 {
            let high = bits.number(3);
            all.push((high << 5 | bits.number(5)) as u8);
            assert!(!bits.overrun());
        }
        assert_eq!(all, data);
        assert_eq!(bits.left(), 0);
        assert_eq!(bits.number(16), 0);
        assert!(bits.overrun());
    }

    #[test]
    fn values_are_those_of_the_standards_table() {
        let values: Vec<i32> = (0..8).map(|bits| extend(bits, 3)).collect();
        assert_eq!(values, [-7, -6, -5, -4, 4, 5, 6, 7]);
        assert_eq!((extend(0, 1), extend(1, 1)), (-1, 1));
    }
}
