//! What a pickle would cost, told before it is paid: candle's reader copies a value each time it is remembered or recalled, so a
//! few bytes can name more values than memory holds, or values nested deeper than the stack.

use crate::error::without_backtrace;
use candle_core::pickle::{Object, Stack};

/// Values a pickle may make, copies included; a large training state has a hundred thousand.
const VALUES: u64 = 4_000_000;

/// How deep values may lie in each other.
const DEPTH: u32 = 200;

/// Bytes of text that count as one value.
const TEXT: u64 = 64;

/// Number of values in a value, and their depth.
#[derive(Clone, Copy, Default)]
struct Cost {
    values: u64,
    depth: u32,
}

impl Cost {
    const ONE: Self = Self {
        values: 1,
        depth: 1,
    };

    fn beside(self, other: Self) -> Self {
        Self {
            values: self.values.saturating_add(other.values),
            depth: self.depth.max(other.depth),
        }
    }

    fn within(self) -> Self {
        Self {
            values: self.values.saturating_add(1),
            depth: self.depth.saturating_add(1),
        }
    }
}

/// The costs of what lies on the stack of candle's reader; `None` is a mark.
#[derive(Default)]
struct Guard {
    stack: Vec<Option<Cost>>,
    memo: std::collections::HashMap<u32, Cost>,
    made: u64,
}

impl Guard {
    fn push(&mut self, cost: Cost, new: u64) {
        self.made = self.made.saturating_add(new);
        self.stack.push(Some(cost));
    }

    fn pop(&mut self) -> Cost {
        self.stack.pop().flatten().unwrap_or(Cost::ONE)
    }

    /// A new value of the topmost `n`.
    fn wrap(&mut self, n: usize) {
        let inner = (0..n).fold(Cost::default(), |sum, _| sum.beside(self.pop()));
        self.push(inner.within(), 1);
    }

    fn above_mark(&mut self) -> Cost {
        let mut sum = Cost::default();
        while let Some(Some(cost)) = self.stack.pop() {
            sum = sum.beside(cost);
        }
        sum
    }

    /// The topmost `inner` goes into the value below it.
    fn put_in(&mut self, inner: Cost) {
        if let Some(Some(outer)) = self.stack.last_mut() {
            outer.values = outer.values.saturating_add(inner.values);
            outer.depth = outer.depth.max(inner.depth.saturating_add(1));
        }
    }

    /// Accounts for the operation that `bytes` begin with, before it is done.
    fn see(&mut self, bytes: &[u8]) -> Result<(), String> {
        let byte = u32::from(bytes.get(1).copied().unwrap_or_default());
        let word = bytes.get(1..).and_then(|b| b.first_chunk::<4>());
        let word = word.map_or(0, |b| u32::from_le_bytes(*b));
        match bytes.first().copied().unwrap_or_default() {
            b'(' => {
                self.made += 1;
                self.stack.push(None);
            }
            b'X' => {
                if bytes.len().saturating_sub(5) < word as usize {
                    return Err(format!(
                        "its pickle has text of {word} bytes where {} are left; is it cut off?",
                        bytes.len().saturating_sub(5)
                    ));
                }
                let values = 1 + u64::from(word) / TEXT;
                self.push(Cost { values, depth: 1 }, values);
            }
            b'c' => {
                let mut lines = bytes[1..].split(|b| *b == b'\n');
                let length: usize = lines.by_ref().take(2).map(<[u8]>::len).sum();
                let values = 1 + length as u64 / TEXT;
                self.push(Cost { values, depth: 1 }, values);
            }
            b'J' | b'K' | b'M' | b'N' | b'G' | 0x88 | 0x89 | 0x8a | b')' | b']' | b'}' | b'd' => {
                self.push(Cost::ONE, 1);
            }
            0x85 | b'Q' => self.wrap(1),
            0x86 | b'R' | b'b' | 0x81 => self.wrap(2),
            0x87 => self.wrap(3),
            b't' => {
                let inner = self.above_mark();
                self.push(inner.within(), 1);
            }
            b'a' => {
                let inner = self.pop();
                self.put_in(inner);
            }
            b's' => {
                let inner = self.pop().beside(self.pop());
                self.put_in(inner);
            }
            b'e' | b'u' => {
                let inner = self.above_mark();
                self.put_in(inner);
            }
            op @ (b'q' | b'r') => {
                let id = if op == b'q' { byte } else { word };
                if let Some(Some(cost)) = self.stack.last().copied() {
                    self.made = self.made.saturating_add(cost.values);
                    self.memo.insert(id, cost);
                }
            }
            op @ (b'h' | b'j') => {
                let id = if op == b'h' { byte } else { word };
                let cost = self.memo.get(&id).copied().unwrap_or(Cost::ONE);
                self.push(cost, cost.values);
            }
            _ => {}
        }
        if self.made > VALUES {
            return Err(format!(
                "its pickle makes more than {VALUES} values, copies of earlier ones included; expected the weights of a network; save only its state_dict"
            ));
        }
        let depth = self.stack.last().copied().flatten().map_or(0, |c| c.depth);
        if depth > DEPTH {
            Err(format!(
                "its pickle nests values more than {DEPTH} deep; expected the weights of a network; save only its state_dict"
            ))
        } else {
            Ok(())
        }
    }
}

/// The value of a pickle at the start of `bytes`, which then begin behind it.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn unpickle(bytes: &mut &[u8]) -> Result<Object, String> {
    let broken = |e: candle_core::Error| {
        // The message may hold a whole value.
        let e: String = without_backtrace(e).to_string().chars().take(200).collect();
        format!("its pickle cannot be read: {e}; is it cut off?")
    };
    let (mut stack, mut guard) = (Stack::empty(), Guard::default());
    loop {
        guard.see(bytes)?;
        // Whole numbers of more than eight bytes are no sizes of tensors; candle's reader has no room for them.
        if let [0x8a, length, rest @ ..] = *bytes
            && *length > 8
        {
            *bytes = rest.get(usize::from(*length)..).unwrap_or_default();
            stack.read(&mut &b"N"[..]).map_err(broken)?;
        } else if stack.read(bytes).map_err(broken)? {
            return stack.finalize().map_err(broken);
        }
    }
}
