//! The noise: what is given where something else is true.

use super::joint::ConfidentJoint;
use serde::Serialize;

/// Estimates of how labels are confused. A class of which nothing is known keeps its label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// `joint[given][true]`: the share of photos; all sum to 1 (Northcutt et al. 2021, equation 3).
    pub joint: Vec<Vec<f64>>,
    /// `given_true[given][true]`: the probability of a given label if another is true; columns sum to 1.
    pub given_true: Vec<Vec<f64>>,
    /// `true_given[true][given]`: the probability of a true label if another is given; columns sum to 1, or to 0 for a label that
    /// is not given.
    pub true_given: Vec<Vec<f64>>,
    /// The share of each true label: that of the given one times P(true = k | given = k) / P(given = k | true = k), scaled to sum
    /// to 1.
    pub prior: Vec<f64>,
}

impl Noise {
    /// Estimates from a calibrated joint.
    pub fn new(joint: &ConfidentJoint) -> Self {
        let cells = &joint.calibrated;
        let n = cells.len();
        let photos = joint.label_counts.iter().sum::<usize>() as f64;
        let total = cells.iter().flatten().sum::<usize>() as f64;
        let rows: Vec<f64> = cells
            .iter()
            .map(|row| row.iter().sum::<usize>() as f64)
            .collect();
        let columns: Vec<f64> = (0..n)
            .map(|t| cells.iter().map(|row| row[t]).sum::<usize>() as f64)
            .collect();
        let matrix = |cell: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            (0..n)
                .map(|i| (0..n).map(|j| cell(i, j)).collect())
                .collect()
        };
        let given_true = matrix(&|g, t| share(cells[g][t] as f64, columns[t]));
        let true_given = matrix(&|t, g| share(cells[g][t] as f64, rows[g]));
        let prior = (0..n)
            .map(|k| {
                let kept = share(true_given[k][k], given_true[k][k]);
                (kept * joint.label_counts[k] as f64 / photos).clamp(1e-6, 1.0)
            })
            .collect::<Vec<f64>>();
        let sum: f64 = prior.iter().sum();
        Self {
            joint: matrix(&|g, t| share(cells[g][t] as f64, total)),
            given_true: bounded(given_true),
            true_given: bounded(true_given),
            prior: prior.into_iter().map(|p| p / sum).collect(),
        }
    }

    /// The estimated share of photos whose label is wrong.
    pub fn wrong(&self) -> f64 {
        let right: f64 = (0..self.joint.len()).map(|k| self.joint[k][k]).sum();
        // Shares that are rounded may sum to a little more than 1.
        (1.0 - right).max(0.0)
    }
}

fn share(part: f64, whole: f64) -> f64 {
    part / whole.max(1e-100)
}

/// Rates of noise below 1, columns summing to 1 again.
fn bounded(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, rate) in row.iter_mut().enumerate() {
            if i != j {
                *rate = rate.clamp(0.0, 0.9999);
            }
        }
    }
    for j in 0..matrix.len() {
        let sum: f64 = matrix.iter().map(|row| row[j]).sum();
        matrix
            .iter_mut()
            .for_each(|row| row[j] = share(row[j], sum));
    }
    matrix
}
