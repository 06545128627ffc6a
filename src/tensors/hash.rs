//! Hashes: in words, and of tensors.

use crate::error::Result;
use crate::model_file::Tensors;
use candle_core::DType;

/// The digits of a hash.
pub(crate) fn hexadecimal(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// A SHA-256 of tensors whose names begin with `prefix`: of each in order of name its name, a zero byte, the number of its dimensions and
/// each of them as eight bytes, and its values as `f32`, all little-endian. One that is kept in a lesser type counts by its rounded values.
pub(crate) fn of_tensors(tensors: &Tensors, prefix: &str) -> Result<String> {
    let mut hash = Sha256::default();
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with(prefix)) {
        hash.update(name.as_bytes());
        hash.update(&[0]);
        for number in [tensor.rank()].iter().chain(tensor.dims()) {
            hash.update(&(*number as u64).to_le_bytes());
        }
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        for values in values.chunks(1 << 14) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
    Ok(hexadecimal(hash.digest()))
}

/// SHA-256 (FIPS 180-4), for a library that must not need a crate of its own for it; what hashes much data uses the crate `sha2`.
struct Sha256 {
    state: [u32; 8],
    block: Vec<u8>,
    bytes: u64,
}

/// The first 32 bits of the fractional parts of √p of the first eight primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Those of ∛p of the first 64 primes.
fn constants() -> [u32; 64] {
    let mut primes = (2u64..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    std::array::from_fn(|_| {
        let prime = u128::from(primes.next().unwrap_or(0));
        // ⌊∛p · 2³²⌋ is the greatest r with r³ ≤ p · 2⁹⁶.
        let (mut low, mut high) = (0u128, 1u128 << 36);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if middle * middle * middle <= prime << 96 {
                low = middle
            } else {
                high = middle
            }
        }
        low as u32
    })
}

impl Default for Sha256 {
    fn default() -> Self {
        Self {
            state: START,
            block: Vec::with_capacity(64),
            bytes: 0,
        }
    }
}

impl Sha256 {
    fn update(&mut self, mut bytes: &[u8]) {
        let k = constants_once();
        self.bytes += bytes.len() as u64;
        if !self.block.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(64 - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == 64 {
                compress(&mut self.state, &self.block, k);
                self.block.clear();
            }
        }
        let blocks = bytes.chunks_exact(64);
        self.block.extend_from_slice(blocks.remainder());
        blocks.for_each(|block| compress(&mut self.state, block, k));
    }

    fn digest(mut self) -> [u8; 32] {
        let bits = (self.bytes * 8).to_be_bytes();
        let zeros = (55 - self.bytes as i64).rem_euclid(64) as usize;
        let mut end = vec![0x80];
        end.resize(1 + zeros, 0);
        end.extend(bits);
        self.update(&end);
        let mut digest = [0; 32];
        for (to, word) in digest.chunks_exact_mut(4).zip(self.state) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

fn constants_once() -> &'static [u32; 64] {
    static CONSTANTS: std::sync::OnceLock<[u32; 64]> = std::sync::OnceLock::new();
    CONSTANTS.get_or_init(constants)
}

fn compress(state: &mut [u32; 8], block: &[u8], k: &[u32; 64]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for i in 16..64 {
        let (x, y) = (w[i - 15], w[i - 2]);
        let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
        let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
        w[i] = w[i - 16]
            .wrapping_add(s0)
            .wrapping_add(w[i - 7])
            .wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for i in 0..64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h
            .wrapping_add(s1)
            .wrapping_add((e & f) ^ (!e & g))
            .wrapping_add(k[i])
            .wrapping_add(w[i]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    for (s, v) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *s = s.wrapping_add(v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard_at_every_length_around_a_block() {
        let of = |bytes: &[u8]| {
            let mut hash = Sha256::default();
            hash.update(bytes);
            hexadecimal(hash.digest())
        };
        // FIPS 180-4, examples.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b""), empty);
        assert_eq!(of(b"abc"), abc);
        assert_eq!(constants()[..2], [0x428a_2f98, 0x7137_4491]);
        assert_eq!(constants()[63], 0xc671_78f2);
    }

    #[cfg(feature = "train")]
    #[test]
    fn digests_are_those_of_sha2_however_the_bytes_come() {
        use sha2::Digest;
        let bytes: Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for length in (0..200).chain([500, 777, 1000]) {
            for piece in [1, 7, 63, 64, 65, 1000] {
                let mut hash = Sha256::default();
                bytes[..length].chunks(piece).for_each(|b| hash.update(b));
                let expected = sha2::Sha256::digest(&bytes[..length]);
                assert_eq!(hash.digest()[..], expected[..], "{length} by {piece}");
            }
        }
    }
}
