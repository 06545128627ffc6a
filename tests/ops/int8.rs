//! Convolutions in eight bits against ONNX Runtime's.

use crate::common::golden::json;
use hydranet_kernels::geometry::{Conv2dParams, Geometry};
use hydranet_kernels::int8::{Conv, Following, Path, Scale, stride};
use serde::Deserialize;

/// A case of `int8.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    channels: [usize; 2],
    kernel: usize,
    groups: usize,
    stride: (usize, usize),
    padding: [usize; 4],
    size: [usize; 2],
    out: [usize; 2],
    x: Vec<u8>,
    w: Vec<i8>,
    w_scale: Vec<f32>,
    bias: Vec<i32>,
    x_scale: f32,
    x_zero: u8,
    y_scale: f32,
    y_zero: u8,
    y: Vec<u8>,
}

#[test]
fn convolutions_in_eight_bits_are_onnx_runtimes() {
    let cases: Vec<Case> = serde_json::from_value(json("int8.json")).unwrap();
    for case in cases {
        let ([c, o], [h, w], k) = (case.channels, case.size, case.kernel);
        let p = Conv2dParams {
            stride: case.stride,
            padding: case.padding,
            groups: case.groups,
            ..Conv2dParams::default()
        };
        let g = Geometry::new(&[1, c, h, w], &[o, c / case.groups, k, k], p).unwrap();
        assert_eq!([g.oh, g.ow], case.out);
        let input = Scale {
            scale: case.x_scale,
            zero: case.x_zero,
        };
        let output = Scale {
            scale: case.y_scale,
            zero: case.y_zero,
        };
        let shift = case.bias.iter().zip(&case.w_scale);
        let following = Following {
            scale: vec![1.0; o],
            shift: shift
                .map(|(b, s)| f64::from(*b) * f64::from(*s) * f64::from(case.x_scale))
                .collect(),
            bounds: (f64::NEG_INFINITY, f64::INFINITY),
            added: None,
        };
        let mut x = vec![0; h * w * stride(c)];
        for (i, v) in case.x.iter().enumerate() {
            x[i % (h * w) * stride(c) + i / (h * w)] = *v;
        }
        for path in Path::all() {
            let weights = (&case.w[..], &case.w_scale[..]);
            let conv = Conv::new(path, &g, weights, (input, false), output, &following).unwrap();
            let mut out = vec![0; g.out_plane() * stride(o)];
            conv.rows(&x, 0..g.oh, None, &mut out, &mut Vec::new());
            let plane = g.out_plane();
            let at = |i: usize| out[i % plane * stride(o) + i / plane];
            // It adds the bias to the sums, in whole numbers, and multiplies then: a value between two bytes may fall otherwise.
            let off: Vec<u8> = (case.y.iter().enumerate())
                .map(|(i, y)| y.abs_diff(at(i)))
                .collect();
            assert!(off.iter().all(|d| *d <= 1), "{}: {off:?}", case.name);
            let count = off.iter().filter(|d| **d > 0).count();
            assert!(count * 200 <= off.len(), "{}: {count}", case.name);
            let greatest = case.y.iter().collect::<std::collections::BTreeSet<_>>();
            assert!(greatest.len() > 20, "{}: bytes of one kind", case.name);
        }
    }
}
