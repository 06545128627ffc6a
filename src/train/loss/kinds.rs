//! Every kind of loss and its gradient by the logits, over the rows of a batch.

use super::batch::{Batch, Valued};
use super::{binary, cumulative, hierarchical};
use crate::head::LossKind;

/// log p of a row of logits.
pub(super) fn log_softmax(z: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let max = z.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.clone().map(|z| (z - max).exp()).sum();
    z.map(|z| z - max - sum.ln()).collect()
}

/// From the gradient by p to that by z: pⱼ (gⱼ − Σ p·g).
fn through_softmax(p: &[f64], by_p: &[f64], add_to: &mut [f64]) {
    let mean: f64 = p.iter().zip(by_p).map(|(p, g)| p * g).sum();
    for ((z, p), g) in add_to.iter_mut().zip(p).zip(by_p) {
        *z += p * (g - mean);
    }
}

impl Batch<'_> {
    /// The loss; there is a photo with a label of weight.
    pub(super) fn loss(&self, kind: &LossKind) -> Valued {
        match kind {
            LossKind::CrossEntropy if !self.parents.is_empty() => {
                hierarchical::cross_entropy(self, 0.0)
            }
            LossKind::Hierarchical { alpha } => hierarchical::cross_entropy(self, *alpha),
            LossKind::CrossEntropy => self.of_log_probs(&[], |_, u| (-u, -1.0)),
            LossKind::Focal { gamma, alpha } => self.of_log_probs(&[], |c, u| {
                let alpha = alpha.get(c).copied().unwrap_or(1.0);
                let (value, slope) = focal(*gamma, u);
                (alpha * value, alpha * slope)
            }),
            LossKind::SoftF1 => self.soft_f1(),
            LossKind::Ldam { max_margin, scale } => self.ldam(*max_margin, *scale),
            LossKind::LogitAdjusted { tau } => {
                let all: f64 = self.photos().sum();
                let raised: Vec<f64> = self.photos().map(|n| tau * (n / all).ln()).collect();
                self.of_log_probs(&raised, |_, u| (-u, -1.0))
            }
            LossKind::GeneralizedCrossEntropy { q } => {
                self.of_log_probs(&[], |_, u| (-(q * u).exp_m1() / q, -(q * u).exp()))
            }
            LossKind::SymmetricCrossEntropy {
                alpha,
                beta,
                log_zero,
            } => self.of_log_probs(&[], |_, u| {
                let reverse = beta * log_zero;
                (
                    -alpha * u + reverse * u.exp_m1(),
                    -alpha + reverse * u.exp(),
                )
            }),
            LossKind::Coral => cumulative::coral(self),
            LossKind::Corn => cumulative::corn(self),
            LossKind::EarthMover => self.earth_mover(),
            LossKind::MeanVariance { mean, variance } => {
                let mut sum = self.loss(&LossKind::CrossEntropy);
                let (value, gradient) =
                    self.of_means(*variance, |d| (0.5 * mean * d * d, mean * d));
                sum.0 += value;
                for (s, g) in sum.1.iter_mut().zip(gradient) {
                    *s += g;
                }
                sum
            }
            LossKind::L1 => self.of_means(0.0, |d| (d.abs(), sign(d))),
            LossKind::SmoothL1 { beta } => self.of_means(0.0, |d| {
                if d.abs() < *beta {
                    (0.5 * d * d / beta, d / beta)
                } else {
                    (d.abs() - 0.5 * beta, sign(d))
                }
            }),
            LossKind::BinaryCrossEntropy => binary::cross_entropy(self),
            LossKind::Asymmetric {
                gamma_neg,
                gamma_pos,
                clip,
            } => binary::asymmetric(self, *gamma_neg, *gamma_pos, *clip),
            LossKind::Sum(terms) => {
                let mut sum = (0.0, vec![0.0; self.logits.len()]);
                for term in terms {
                    let (value, gradient) = self.loss(&term.kind);
                    sum.0 += term.factor * value;
                    for (s, g) in sum.1.iter_mut().zip(gradient) {
                        *s += term.factor * g;
                    }
                }
                sum
            }
        }
    }

    /// Σ s Σ_c t_c w_c f(c, log p_c) / total, with p the softmax of the logits plus `raised` (none: nothing); f gives its value
    /// and its derivative by log p.
    fn of_log_probs(&self, raised: &[f64], f: impl Fn(usize, f64) -> (f64, f64)) -> Valued {
        let (n, total) = (self.labels(), self.total());
        let (mut value, mut gradient) = (0.0, vec![0.0; self.logits.len()]);
        for (i, s, targets) in self.rows() {
            let z = self.logits[i * n..][..n].iter().enumerate();
            let u = log_softmax(z.map(|(c, z)| z + raised.get(c).unwrap_or(&0.0)));
            let row = &mut gradient[i * n..][..n];
            let mut slopes = 0.0;
            for (c, u) in u.iter().enumerate() {
                let factor = s * targets[c] * self.class_weights[c] / total;
                // What counts nothing may be infinite.
                if factor != 0.0 {
                    let (term, slope) = f(c, *u);
                    value += factor * term;
                    row[c] += factor * slope;
                    slopes += factor * slope;
                }
            }
            for (g, u) in row.iter_mut().zip(&u) {
                *g -= u.exp() * slopes;
            }
        }
        (value, gradient)
    }

    /// Each label's cross-entropy under the margin of that label, m ∝ n^(−1/4).
    fn ldam(&self, max_margin: f64, scale: f64) -> Valued {
        let (n, total) = (self.labels(), self.total());
        let rarity: Vec<f64> = self.photos().map(|n| n.powf(-0.25)).collect();
        let rarest = rarity.iter().copied().fold(0.0, f64::max);
        let (mut value, mut gradient) = (0.0, vec![0.0; self.logits.len()]);
        for (i, s, targets) in self.rows() {
            let z = &self.logits[i * n..][..n];
            for c in 0..n {
                let factor = s * targets[c] * self.class_weights[c] / total;
                if factor == 0.0 {
                    continue;
                }
                let margin = max_margin * rarity[c] / rarest;
                let lowered = |j| if j == c { z[j] - margin } else { z[j] };
                let u = log_softmax((0..n).map(|j| scale * lowered(j)));
                value -= factor * u[c];
                for (j, u) in u.iter().enumerate() {
                    let own = if j == c { 1.0 } else { 0.0 };
                    gradient[i * n + j] += factor * scale * (u.exp() - own);
                }
            }
        }
        (value, gradient)
    }

    fn probs(&self, i: usize) -> Vec<f64> {
        let n = self.labels();
        let u = log_softmax(self.logits[i * n..][..n].iter().copied());
        u.into_iter().map(f64::exp).collect()
    }

    fn earth_mover(&self) -> Valued {
        let (n, total) = (self.labels(), self.total());
        let (mut value, mut gradient) = (0.0, vec![0.0; self.logits.len()]);
        for (i, s, targets) in self.rows() {
            let p = self.probs(i);
            let factor = s * self.weight(targets) / total;
            let mut apart = Vec::with_capacity(n);
            let mut sum = 0.0;
            for (p, t) in p.iter().zip(targets) {
                sum += p - t;
                apart.push(sum);
            }
            value += factor * apart.iter().map(|d| d * d).sum::<f64>();
            // p_j is part of every cumulative sum from j on.
            let mut by_p = vec![0.0; n];
            let mut rest = 0.0;
            for (by_p, d) in by_p.iter_mut().zip(&apart).rev() {
                rest += 2.0 * factor * d;
                *by_p = rest;
            }
            through_softmax(&p, &by_p, &mut gradient[i * n..][..n]);
        }
        (value, gradient)
    }

    /// Σ s Σ_c t_c w_c (f(m − y) + variance · v) / total, m and v the mean and variance of p over the labels' places, y the
    /// mean of t; f gives its value and its derivative.
    fn of_means(&self, variance: f64, f: impl Fn(f64) -> (f64, f64)) -> Valued {
        let (n, total) = (self.labels(), self.total());
        let mean = |row: &[f64]| -> f64 {
            let sum: f64 = row.iter().sum();
            let places = row.iter().enumerate();
            places.map(|(k, v)| k as f64 * v).sum::<f64>() / sum
        };
        let (mut value, mut gradient) = (0.0, vec![0.0; self.logits.len()]);
        for (i, s, targets) in self.rows() {
            let p = self.probs(i);
            let factor = s * self.weight(targets) / total;
            let m = mean(&p);
            let (term, slope) = f(m - mean(targets));
            let squares = p
                .iter()
                .enumerate()
                .map(|(k, p)| p * (k as f64 - m).powi(2));
            value += factor * (term + variance * squares.sum::<f64>());
            // The variance's own slope by m is 0.
            let by_p = (0..n).map(|k| {
                let k = k as f64;
                factor * (slope * k + variance * (k - m).powi(2))
            });
            let by_p: Vec<f64> = by_p.collect();
            through_softmax(&p, &by_p, &mut gradient[i * n..][..n]);
        }
        (value, gradient)
    }

    fn soft_f1(&self) -> Valued {
        let n = self.labels();
        let probs: Vec<(usize, f64, &[f64], Vec<f64>)> = self
            .rows()
            .map(|(i, s, t)| (i, s, t, self.probs(i)))
            .collect();
        // Of each label: true positives, and labels there are and labels predicted together.
        let (mut hits, mut both, mut there) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for (_, s, t, p) in &probs {
            for c in 0..n {
                hits[c] += s * t[c] * p[c];
                both[c] += s * (t[c] + p[c]);
                there[c] += s * t[c];
            }
        }
        // A label that no photo has is left out of the mean.
        let counts: Vec<f64> = (0..n)
            .map(|c| {
                if there[c] > 0.0 {
                    self.class_weights[c]
                } else {
                    0.0
                }
            })
            .collect();
        let all: f64 = counts.iter().sum();
        let mut f1 = 0.0;
        for c in (0..n).filter(|c| counts[*c] > 0.0) {
            f1 += counts[c] / all * 2.0 * hits[c] / both[c];
        }
        let mut gradient = vec![0.0; self.logits.len()];
        for (i, s, t, p) in &probs {
            let by_p: Vec<f64> = (0..n)
                .map(|c| {
                    if counts[c] > 0.0 {
                        let slope = 2.0 * s * (t[c] * both[c] - hits[c]) / (both[c] * both[c]);
                        -counts[c] / all * slope
                    } else {
                        0.0
                    }
                })
                .collect();
            through_softmax(p, &by_p, &mut gradient[i * n..][..n]);
        }
        (1.0 - f1, gradient)
    }
}

/// The derivative of |d|; 0 at 0.
fn sign(d: f64) -> f64 {
    if d == 0.0 { 0.0 } else { d.signum() }
}

/// −(1 − p)^γ u and its derivative by u, with u = log p.
fn focal(gamma: f64, u: f64) -> (f64, f64) {
    if gamma == 0.0 {
        return (-u, -1.0);
    }
    let miss = -u.exp_m1();
    // At p = 1 both terms of the derivative are 0, though for γ < 1 one has an infinite factor.
    if miss <= 0.0 {
        return (0.0, 0.0);
    }
    let power = miss.powf(gamma);
    let slope = gamma * power / miss * u.exp() * u - power;
    (-power * u, slope)
}
