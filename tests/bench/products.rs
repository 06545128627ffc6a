//! Matrix products out of each level of the memory.

use hydranet_kernels::matmul::{Matrix, matmul};

/// Rows, columns and depth, and where all three matrices have room.
const SIZES: [((usize, usize, usize), &str); 3] = [
    ((48, 48, 64), "first-level cache"),
    ((240, 240, 256), "second-level cache"),
    ((2304, 2304, 2304), "beyond"),
];

/// Prints billions of operations a second of products of `noise` on one thread and their share of its `peak`, `seconds(pass)` being
/// those of the best pass, of the sizes whose line has `only` in it.
pub fn show(
    only: &str,
    peak: f64,
    noise: &dyn Fn(usize) -> Vec<f32>,
    seconds: &dyn Fn(&mut dyn FnMut()) -> f64,
) {
    for ((m, n, k), place) in SIZES {
        let name = format!("product {m} × {n} × {k}, {place}");
        if !name.contains(only) {
            continue;
        }
        let (a, b) = (noise(m * k), noise(k * n));
        let mut out = vec![0f32; m * n];
        let rate = 2e-9 * (m * n * k) as f64
            / seconds(&mut || {
                let (a, b) = (Matrix::rows(&a, k), Matrix::rows(&b, n));
                matmul((m, n, k), a, b, &mut out, n, false);
            });
        println!("{name:44} {rate:7.1} {:4.0} %", 100.0 * rate / peak);
    }
}
