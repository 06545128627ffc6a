//! Drawn photos.

/// A photo of waves of all lengths, discs and noise, red, green and blue.
pub fn drawn([height, width]: [usize; 2], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let side = height.max(width) as f32;
    // Length and direction as steps a pixel, height and phase; the shorter, the lower.
    let waves: Vec<[f32; 4]> = (0..10)
        .map(|i| {
            let (turn, step) = (6.3 * draw(), 6.3 * 1.9f32.powi(i) / side);
            [
                step * turn.cos(),
                step * turn.sin(),
                45.0 * 0.7f32.powi(i),
                6.3 * draw(),
            ]
        })
        .collect();
    let discs: Vec<[f32; 4]> = (0..12)
        .map(|_| {
            let (y, x) = (draw() * height as f32, draw() * width as f32);
            [y, x, (0.02 + 0.12 * draw()) * side, 120.0 * draw() - 60.0]
        })
        .collect();
    let mut pixels = Vec::with_capacity(3 * height * width);
    for y in 0..height {
        for x in 0..width {
            let (y, x) = (y as f32, x as f32);
            let mut level = 128.0;
            for [down, across, high, phase] in &waves {
                level += high * (down * y + across * x + phase).sin();
            }
            let mut tint = 0.0;
            for [top, left, radius, colour] in &discs {
                if (y - top).powi(2) + (x - left).powi(2) < radius * radius {
                    tint += colour;
                }
            }
            for share in [1.0, 0.2, -0.8] {
                let noise = 5.0 * (draw() + draw() - 1.0);
                pixels.push((level + share * tint + noise).clamp(0.0, 255.0) as u8);
            }
        }
    }
    pixels
}
