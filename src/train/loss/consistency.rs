//! A loss that draws the joint head and the heads beside it towards each other.

use super::{Known, values};
use crate::error::{Error, Result};
use crate::model::Outputs;
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};

/// The mean over photos of Σ over heads of ½ KL(p ‖ m) + ½ KL(m ‖ p), half of Jeffreys' divergence (1946): p the probabilities of
/// the head's labels, m what the joint head's probabilities say of them, Σ over the final classes with the label, divided by Σ
/// over those that the head applies to. It needs no labels, so every photo counts.
pub struct Consistency {
    /// The labels of each final class.
    leaves: Vec<Vec<Option<usize>>>,
    /// The labels of each head.
    labels: Vec<usize>,
}

impl Consistency {
    /// Of the heads and final classes of a taxonomy.
    ///
    /// # Errors
    /// None that a valid taxonomy gives.
    pub fn new(taxonomy: &Taxonomy) -> Result<Self> {
        let heads = 0..taxonomy.heads().len();
        Ok(Self {
            leaves: taxonomy.leaves(),
            labels: heads.map(|h| taxonomy.labels(h).len()).collect(),
        })
    }

    /// The loss of a batch. Value and gradient are computed together, in `f64`, on the CPU.
    ///
    /// # Shapes
    /// - `logits` `(batch, num_labels)` of each head, `(batch, num_classes)` of the joint head
    /// - result a scalar
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not, or there is no joint head.
    pub fn loss(&self, logits: &Outputs) -> Result<Tensor> {
        let logits: Vec<&Tensor> = logits.iter().collect();
        let batch = logits.first().map_or(0, |l| l.dims()[0]);
        let widths: Vec<usize> = self
            .labels
            .iter()
            .copied()
            .chain([self.leaves.len()])
            .collect();
        let fits = |(l, w): (&&Tensor, &usize)| l.dims() == [batch, *w];
        if logits.len() != widths.len() || !logits.iter().zip(&widths).all(fits) {
            let found = logits.iter().flat_map(|l| l.dims().to_vec());
            return Err(Error::Shape {
                what: "the logits of heads and joint head".into(),
                expected: format!("(batch, labels) with {widths:?} labels"),
                found: found.collect(),
            });
        }
        let all = Tensor::cat(&logits, 1)?.to_device(&Device::Cpu)?;
        let width: usize = widths.iter().sum();
        let (mut value, mut gradient) = (0.0, Vec::with_capacity(batch * width));
        for row in values(&all)?.chunks_exact(width) {
            let (loss, slope) = self.photo(row);
            value += loss / batch as f64;
            gradient.extend(slope.into_iter().map(|g| g / batch as f64));
        }
        Ok(all.contiguous()?.apply_op1(Known { value, gradient })?)
    }

    /// Loss and gradient of one photo's logits, heads first.
    fn photo(&self, logits: &[f64]) -> (f64, Vec<f64>) {
        let (heads, joint) = logits.split_at(self.labels.iter().sum());
        let q = softmax(joint);
        let mut value = 0.0;
        let mut slopes = Vec::with_capacity(logits.len());
        let mut of_q = vec![0.0; q.len()];
        let mut start = 0;
        for (head, labels) in self.labels.iter().enumerate() {
            let p = softmax(&heads[start..][..*labels]);
            start += labels;
            let mut m = vec![0.0; *labels];
            for (leaf, q) in self.leaves.iter().zip(&q) {
                if let Some(label) = leaf[head] {
                    m[label] += q;
                }
            }
            let reach: f64 = m.iter().sum();
            if reach < TINY {
                slopes.resize(start, 0.0);
                continue;
            }
            m.iter_mut().for_each(|v| *v /= reach);
            let logs = |v: &[f64]| v.iter().map(|x| x.max(TINY).ln()).collect::<Vec<_>>();
            let difference: Vec<f64> = logs(&p).iter().zip(logs(&m)).map(|(p, m)| p - m).collect();
            let pairs = || p.iter().zip(&m).zip(&difference);
            value += 0.5 * pairs().map(|((p, m), d)| (p - m) * d).sum::<f64>();
            let of_p: Vec<f64> = pairs()
                .map(|((p, m), d)| 0.5 * (d + 1.0 - m / p.max(TINY)))
                .collect();
            let of_m: Vec<f64> = pairs()
                .map(|((p, m), d)| 0.5 * (1.0 - d - p / m.max(TINY)))
                .collect();
            slopes.extend(through_softmax(&p, &of_p));
            let mean: f64 = of_m.iter().zip(&m).map(|(g, m)| g * m).sum();
            for (leaf, of_q) in self.leaves.iter().zip(&mut of_q) {
                if let Some(label) = leaf[head] {
                    *of_q += (of_m[label] - mean) / reach;
                }
            }
        }
        slopes.extend(through_softmax(&q, &of_q));
        (value, slopes)
    }
}

/// Probabilities below it are taken as it: their logarithms are of no use.
const TINY: f64 = 1e-30;

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|l| (l - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// The gradient of logits from that of their softmax.
fn through_softmax(p: &[f64], of_p: &[f64]) -> Vec<f64> {
    let mean: f64 = p.iter().zip(of_p).map(|(p, g)| p * g).sum();
    p.iter().zip(of_p).map(|(p, g)| p * (g - mean)).collect()
}
