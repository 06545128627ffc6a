//! Work that falls apart by itself: a shard is the I-th of N parts of a list, and which these are follows from the list alone, so
//! that any launcher can start the workers and none has to know of another.

mod file;
mod join;

pub(crate) use file::{Work, fingerprint, path_of, write};
pub(crate) use join::{Joined, join};

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The most shards of one work; more would be a number that was meant otherwise.
const MOST: usize = 1_000_000;

/// One of several parts of some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 1 on.
    number: usize,
    /// How many there are.
    of: usize,
}

impl Shard {
    /// Its place among all, from 0 on, and how many there are.
    pub(crate) fn place(self) -> (usize, usize) {
        (self.number - 1, self.of)
    }

    /// Which of so many things are its part: the shards' parts follow one another, and differ by one at most.
    pub(crate) fn range(self, count: usize) -> Range<usize> {
        let border = |number: usize| (count as u128 * number as u128 / self.of as u128) as usize;
        border(self.number - 1)..border(self.number)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        };
        let form = || format!("a shard is I/N, as 2/7 for the second of seven, found `{text}`");
        let (number_text, of_text) = text.split_once('/').ok_or_else(form)?;
        let (number, of): (usize, usize) = (
            number(number_text).ok_or_else(form)?,
            number(of_text).ok_or_else(form)?,
        );
        if of == 0 || of > MOST {
            return Err(format!("from 1 to {MOST} shards are possible, found {of}"));
        }
        if number == 0 || number > of {
            return Err(format!(
                "of {of} shards the first is 1/{of} and the last {of}/{of}, found {number}/{of}"
            ));
        }
        Ok(Self { number, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_in_one_shard_and_the_shards_follow_one_another() {
        for (count, of) in [
            (0, 3),
            (1, 1),
            (10, 3),
            (3, 7),
            (100, 7),
            (usize::MAX, 1000),
        ] {
            let mut end = 0;
            for number in 1..=of {
                let part = Shard { number, of }.range(count);
                assert_eq!(part.start, end);
                assert!(part.len().abs_diff(count / of) <= 1, "{count} {of}");
                end = part.end;
            }
            assert_eq!(end, count);
        }
    }

    #[test]
    fn what_is_no_shard_is_said() {
        assert_eq!("2/7".parse(), Ok(Shard { number: 2, of: 7 }));
        for text in [
            "0/3",
            "4/3",
            "1/0",
            "",
            "/",
            "1",
            "1/",
            "/1",
            "a/b",
            "-1/3",
            "+1/3",
            "1/3/3",
            " 1/3",
            "1.0/3",
            "1/99999999999999999999999",
            "1/1000001",
        ] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.contains("shard"), "{text}: {error}");
        }
    }
}
