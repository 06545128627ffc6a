//! Heat from a grid to the size of an image, and from 0 to 1.

/// Bilinear between the middles of the cells, as OpenCV's `INTER_LINEAR`, after the heat has been brought to 0 to 1, as
/// pytorch-grad-cam does it.
pub(super) fn resized(
    heat: &[f32],
    [rows, cols]: [usize; 2],
    [height, width]: [usize; 2],
) -> Vec<f32> {
    let heat = unit(heat.to_vec());
    let place = |to: usize, from: usize, of: usize| {
        let at = (to as f64 + 0.5) * from as f64 / of as f64 - 0.5;
        let at = at.clamp(0.0, from as f64 - 1.0);
        let first = at.floor() as usize;
        (first, (first + 1).min(from - 1), (at - first as f64) as f32)
    };
    let mut resized = Vec::with_capacity(height * width);
    for y in 0..height {
        let (top, bottom, down) = place(y, rows, height);
        for x in 0..width {
            let (left, right, across) = place(x, cols, width);
            let row = |y: usize| {
                let (a, b) = (heat[y * cols + left], heat[y * cols + right]);
                a + across * (b - a)
            };
            let (above, below) = (row(top), row(bottom));
            resized.push(above + down * (below - above));
        }
    }
    resized
}

/// The least becomes 0 and the greatest 1; what is the same everywhere becomes 0.
pub(super) fn unit(mut heat: Vec<f32>) -> Vec<f32> {
    let least = heat.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = heat.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = greatest - least;
    let scaled = |v: f32| {
        if range > 0.0 {
            (v - least) / range
        } else {
            0.0
        }
    };
    heat.iter_mut().for_each(|v| *v = scaled(*v));
    heat
}
