//! Convolutions in eight bits, in every way that this processor has.

use hydranet_kernels::geometry::{Conv2dParams, Geometry};
use hydranet_kernels::int8::{Conv, Following, Path, Scale, stride};

/// Channels in and out, size of the square map, kernel, stride; equal channels of a depthwise one see only themselves.
const SHAPES: [(usize, usize, usize, usize, usize, bool); 8] = [
    (16, 96, 112, 1, 1, false),
    (144, 24, 56, 1, 1, false),
    (64, 384, 14, 1, 1, false),
    (160, 960, 7, 1, 1, false),
    (144, 144, 56, 3, 1, true),
    (96, 96, 112, 3, 2, true),
    (240, 240, 28, 5, 1, true),
    (64, 64, 56, 3, 1, false),
];

/// Prints billions of operations a second on one thread, `seconds(pass)` being those of the best pass, of the shapes whose line
/// has `only` in it.
pub fn show(only: &str, seconds: &dyn Fn(&mut dyn FnMut()) -> f64) -> Result<(), String> {
    for (c, o, size, k, step, depthwise) in SHAPES {
        let kind = if depthwise {
            "depthwise"
        } else {
            "convolution"
        };
        let name = format!("int8 {kind} {c} → {o}, {k} × {k} / {step}, {size}²");
        if !name.contains(only) {
            continue;
        }
        let seen = if depthwise { 1 } else { c };
        let p = Conv2dParams {
            stride: (step, step),
            padding: [(k - 1) / 2; 4],
            groups: c / seen,
            ..Conv2dParams::default()
        };
        let g =
            Geometry::new(&[1, c, size, size], &[o, seen, k, k], p).map_err(|e| e.to_string())?;
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        // As trained weights: around 0, few of them great.
        let mut weight = || (i32::from(byte()) + i32::from(byte()) + i32::from(byte())) / 3 - 127;
        let q: Vec<i8> = (0..o * seen * k * k)
            .map(|_| weight().clamp(-127, 127) as i8)
            .collect();
        let x: Vec<u8> = (0..size * size * stride(c)).map(|_| byte()).collect();
        let (input, output) = (
            Scale {
                scale: 0.02,
                zero: 128,
            },
            Scale {
                scale: 0.05,
                zero: 0,
            },
        );
        let following = Following {
            scale: vec![1.0; o],
            shift: vec![0.0; o],
            bounds: (0.0, 6.0),
            added: None,
        };
        let giga = 2e-9 * (g.out_plane() * o * seen * k * k) as f64;
        let (mut out, mut scratch) = (vec![0; g.out_plane() * stride(o)], Vec::new());
        let mut line = format!("{name:44}");
        for path in Path::all() {
            let weights = (&q[..], &vec![0.01; o][..]);
            let conv = Conv::new(path, &g, weights, (input, false), output, &following)
                .map_err(|e| e.to_string())?;
            let rate = giga / seconds(&mut || conv.rows(&x, 0..g.oh, None, &mut out, &mut scratch));
            line += &format!(" {} {rate:6.1}", path.name());
        }
        println!("{line}");
    }
    Ok(())
}
