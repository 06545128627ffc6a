//! Gradients projected off each other.

use crate::random::rng::{Purpose, keyed};
use rand::seq::SliceRandom;

/// PCGrad (Yu et al. 2020, "Gradient Surgery for Multi-Task Learning"): each head's gradient gᵢ is projected, one
/// after the other in the order given, off every other head's gⱼ with which it has a negative product by then,
/// gᵢ − (gᵢ·gⱼ / |gⱼ|²) gⱼ, and the results are added up.
///
/// What comes out is Σ fⱼ gⱼ of the gradients that went in, so the factors f are all there is to find, and the products of the
/// gradients all there is to know: the work is on a few numbers, not on as many vectors as there are heads.
///
/// `products` holds gᵢ·gⱼ, a row a head; `orders` the other heads for each head. A gradient of 0 is nobody's obstacle.
pub fn project(products: &[Vec<f64>], orders: &[Vec<usize>]) -> Vec<f64> {
    let heads = products.len();
    let mut factors = vec![0.0; heads];
    for (head, others) in orders.iter().enumerate() {
        // The head's gradient by now, as factors of those that went in.
        let mut own = vec![0.0; heads];
        own[head] = 1.0;
        for other in others {
            let (row, square) = (&products[*other], products[*other][*other]);
            let product: f64 = own.iter().zip(row).map(|(f, p)| f * p).sum();
            if product < 0.0 && square > 0.0 {
                own[*other] -= product / square;
            }
        }
        for (sum, factor) in factors.iter_mut().zip(own) {
            *sum += factor;
        }
    }
    factors
}

/// The other heads for each head, in a random order that follows from the seed and the step.
pub(super) fn orders(heads: usize, seed: u64, epoch: usize, step: usize) -> Vec<Vec<usize>> {
    let mut rng = keyed(seed, Purpose::Surgery, epoch as u64, step as u64);
    (0..heads)
        .map(|head| {
            let mut others: Vec<usize> = (0..heads).filter(|other| *other != head).collect();
            others.shuffle(&mut rng);
            others
        })
        .collect()
}
