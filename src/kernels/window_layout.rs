//! Which positions of a map make up a window, and which bias belongs to two of them.

use crate::error::{Result, bail};
use crate::real::Real;

/// A map cut into windows.
pub struct WindowLayout {
    pub batch: usize,
    pub heads: usize,
    pub dim: usize,
    pub side: usize,
    shift: usize,
    h: usize,
    w: usize,
    /// Of each window of an image, row by row, its positions in the image; `None` beyond the map's border.
    places: Vec<Option<usize>>,
}

/// What is added to the score of positions that see each other only because the map is rolled.
const UNSEEN: f64 = -100.0;

impl WindowLayout {
    /// A map (batch, H, W, 3 · heads · dim) in windows of `side` × `side`, after it has been rolled up and left by `shift`.
    ///
    /// # Errors
    /// If it cannot be cut so.
    pub fn new(
        [batch, h, w, c]: [usize; 4],
        heads: usize,
        side: usize,
        shift: usize,
    ) -> Result<Self> {
        if heads == 0 || c % (3 * heads) != 0 {
            bail!(
                "window attention: {h} × {w} positions of {c} channels are not queries, keys and values of {heads} heads"
            )
        }
        if side == 0 || shift >= side {
            bail!("window attention: windows of {side} cannot be shifted by {shift}")
        }
        let (rows, cols) = (h.div_ceil(side), w.div_ceil(side));
        let mut places = Vec::with_capacity(rows * cols * side * side);
        for window in 0..rows * cols {
            for token in 0..side * side {
                let row = window / cols * side + token / side;
                let col = window % cols * side + token % side;
                let inside = row < h && col < w;
                places.push(inside.then(|| (row + shift) % h * w + (col + shift) % w));
            }
        }
        Ok(Self {
            batch,
            heads,
            dim: c / 3 / heads,
            side,
            shift,
            h,
            w,
            places,
        })
    }

    /// Rows of the table of biases: distances of two positions of a window.
    pub fn num_distances(&self) -> usize {
        (2 * self.side - 1) * (2 * self.side - 1)
    }

    /// Positions of a window.
    pub fn tokens(&self) -> usize {
        self.side * self.side
    }

    /// Windows of one image.
    pub fn windows(&self) -> usize {
        self.places.len() / self.tokens()
    }

    /// Whether there are windows that the map does not fill.
    pub fn is_filled(&self) -> bool {
        !self.h.is_multiple_of(self.side) || !self.w.is_multiple_of(self.side)
    }

    /// The positions of a window, windows and positions being counted through all images.
    pub fn places(&self, window: usize) -> impl Iterator<Item = Option<usize>> {
        let first = window / self.windows() * self.h * self.w;
        let of_image = &self.places[window % self.windows() * self.tokens()..][..self.tokens()];
        of_image.iter().map(move |p| p.map(|p| first + p))
    }

    /// Kinds of windows by what in them does not see each other: none, those in the last column, those in the last row, the last.
    fn kinds(&self) -> usize {
        if self.shift == 0 { 1 } else { 4 }
    }

    /// Of each position of each window of an image, its place among the image's positions; behind the last one beyond the border.
    pub fn taken(&self) -> Vec<u32> {
        let beyond = self.h * self.w;
        let place = |p: &Option<usize>| p.unwrap_or(beyond) as u32;
        self.places.iter().map(place).collect()
    }

    /// Of each position of an image, its place among the positions of all windows.
    pub fn returned(&self) -> Vec<u32> {
        let mut returned = vec![0; self.h * self.w];
        for (i, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                returned[*place] = i as u32;
            }
        }
        returned
    }

    /// Of each pair of positions of a window, its row in the table of biases.
    pub fn distances(&self) -> Vec<u32> {
        let n = self.tokens();
        (0..n * n)
            .map(|i| self.distance(i / n, i % n) as u32)
            .collect()
    }

    /// What is added to the scores of each window of an image, `(windows, queries, keys)`, if it is not the same for all.
    pub fn unseen(&self) -> Option<Vec<f64>> {
        let n = self.tokens();
        let of_window = |window| {
            let kind = self.kind(window);
            (0..n * n).map(move |i| {
                if self.sees(kind, i / n, i % n) {
                    0.0
                } else {
                    UNSEEN
                }
            })
        };
        (self.shift > 0).then(|| (0..self.windows()).flat_map(of_window).collect())
    }

    /// The kind of a window of an image, see [`kinds`](Self::kinds).
    fn kind(&self, window: usize) -> usize {
        let cols = self.w.div_ceil(self.side);
        let last_row = window / cols + 1 == self.windows() / cols;
        let last_col = window % cols + 1 == cols;
        match self.shift {
            0 => 0,
            _ => 2 * usize::from(last_row) + usize::from(last_col),
        }
    }

    /// Whether two positions of a window of some kind see each other.
    fn sees(&self, kind: usize, query: usize, key: usize) -> bool {
        let border = self.side - self.shift;
        let region = |token: usize| {
            let (row, col) = (token / self.side >= border, token % self.side >= border);
            (kind >= 2 && row, kind % 2 == 1 && col)
        };
        region(query) == region(key)
    }

    /// Where two positions of a window lie in the table of biases.
    fn distance(&self, query: usize, key: usize) -> usize {
        let apart = |q: usize, k: usize| q + self.side - 1 - k;
        apart(query / self.side, key / self.side) * (2 * self.side - 1)
            + apart(query % self.side, key % self.side)
    }

    /// `(kinds, heads, queries, keys)` from a table `(distances, heads)`: what is added to each score.
    pub fn expanded<T: Real>(&self, table: &[T]) -> Vec<T> {
        let n = self.tokens();
        let unseen = T::from_f64(UNSEEN);
        let mut out = Vec::with_capacity(self.kinds() * self.heads * n * n);
        for kind in 0..self.kinds() {
            for head in 0..self.heads {
                for query in 0..n {
                    out.extend((0..n).map(|key| {
                        let bias = table[self.distance(query, key) * self.heads + head];
                        if self.sees(kind, query, key) {
                            bias
                        } else {
                            bias + unseen
                        }
                    }));
                }
            }
        }
        out
    }

    /// The part of [`expanded`](Self::expanded) for a window and a head.
    pub fn bias_of<'a, T>(&self, expanded: &'a [T], window: usize, head: usize) -> &'a [T] {
        let n = self.tokens();
        let kind = self.kind(window % self.windows());
        &expanded[(kind * self.heads + head) * n * n..][..n * n]
    }

    /// The gradient of the table from that of `(heads, queries, keys)`.
    pub fn gathered<T: Real>(&self, expanded: &[T]) -> Vec<T> {
        let n = self.tokens();
        let mut table = vec![T::ZERO; self.num_distances() * self.heads];
        for (head, pairs) in expanded.chunks_exact(n * n).enumerate() {
            for (i, d) in pairs.iter().enumerate() {
                table[self.distance(i / n, i % n) * self.heads + head] += *d;
            }
        }
        table
    }
}
