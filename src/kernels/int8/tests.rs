//! Every path against plain sums in 64 bits, under odd sizes.

use super::*;
use crate::geometry::{Conv2dParams, Geometry};

/// Numbers without a pattern.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 31) as f64
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A convolution as it is defined, over one map of bytes with so many a position.
fn plain(
    g: &Geometry,
    (q, scales): (&[i8], &[f32]),
    (x, bytes, input): (&[u8], usize, Scale),
    output: Scale,
    following: &Following,
    added: Option<&[u8]>,
) -> Vec<u8> {
    let per_group = g.o / g.p.groups;
    let inputs = g.c / g.p.groups;
    let filled = stride(g.o);
    let mut out = vec![0u8; g.out_plane() * filled];
    for (place, out) in out.chunks_exact_mut(filled).enumerate() {
        let (oy, ox) = (place / g.ow, place % g.ow);
        for (o, out) in out.iter_mut().take(g.o).enumerate() {
            let mut sum = 0i64;
            for ky in 0..g.kh {
                for kx in 0..g.kw {
                    let y = (oy * g.p.stride.0 + ky) as isize - g.p.padding[0] as isize;
                    let xx = (ox * g.p.stride.1 + kx) as isize - g.p.padding[2] as isize;
                    if y < 0 || xx < 0 || y as usize >= g.h || xx as usize >= g.w {
                        continue;
                    }
                    let at = (y as usize * g.w + xx as usize) * bytes;
                    for i in 0..inputs {
                        let c = o / per_group * inputs + i;
                        let w = q[((o * inputs + i) * g.kh + ky) * g.kw + kx];
                        let above = i64::from(x[at + c]) - i64::from(input.zero);
                        sum += i64::from(w) * above;
                    }
                }
            }
            let step = 1.0 / f64::from(output.scale);
            let scale = f64::from(scales[o]) * f64::from(input.scale) * following.scale[o] * step;
            let mut shift = following.shift[o] * step + f64::from(output.zero);
            let mut extra = 0f32;
            if let (Some(added), Some(of)) = (added, following.added) {
                let factor = f64::from(of.scale) * step;
                shift -= f64::from(of.zero) * factor;
                extra = f32::from(added[place * filled + o]) * factor as f32;
            }
            let v = sum as f32 * scale as f32 + shift as f32 + extra;
            let edge = |v: f64| (v * step).round_ties_even() + f64::from(output.zero);
            let (low, high) = (edge(following.bounds.0), edge(following.bounds.1));
            let v = f64::from(v)
                .max(low.clamp(0.0, 255.0))
                .min(high.clamp(0.0, 255.0));
            *out = v.round_ties_even() as u8;
        }
    }
    out
}

/// One convolution in every path, whole and in pieces, against the definition.
fn check(
    draws: &mut Draws,
    dims: [usize; 3],
    o: usize,
    k: usize,
    p: Conv2dParams,
    tight: bool,
    sum: bool,
) {
    let [h, w, c] = dims;
    let g = Geometry::new(&[1, c, h, w], &[o, c / p.groups, k, k], p).unwrap();
    let bytes = if tight { c } else { stride(c) };
    let x = draws.bytes(h * w * bytes);
    let len = c / p.groups * k * k;
    // Magnitudes as they occur, with the greatest ones, at which `vpmaddubsw` would saturate.
    let q: Vec<i8> = (0..o * len)
        .map(|_| match draws.next() % 8 {
            0 => 127,
            1 => -127,
            n => ((draws.share() * 2.0 - 1.0) * (16 * n) as f64) as i8,
        })
        .collect();
    let scales: Vec<f32> = (0..o)
        .map(|_| 0.001 + draws.share() as f32 * 0.01)
        .collect();
    let input = Scale {
        scale: 0.02,
        zero: draws.next() as u8,
    };
    let output = Scale {
        scale: 0.05 + draws.share() as f32,
        zero: draws.next() as u8,
    };
    let added = sum.then(|| draws.bytes(g.out_plane() * stride(o)));
    let following = Following {
        scale: (0..o).map(|_| draws.share() * 2.0 - 1.0).collect(),
        shift: (0..o).map(|_| draws.share() - 0.5).collect(),
        bounds: if draws.next().is_multiple_of(2) {
            (0.0, 6.0)
        } else {
            (f64::NEG_INFINITY, f64::INFINITY)
        },
        added: sum.then_some(Scale {
            scale: 0.07,
            zero: 31,
        }),
    };
    let expected = plain(
        &g,
        (&q, &scales),
        (&x, bytes, input),
        output,
        &following,
        added.as_deref(),
    );
    let expected: Vec<&[u8]> = expected.chunks(stride(o)).map(|p| &p[..o]).collect();
    for path in Path::all() {
        let conv = Conv::new(path, &g, (&q, &scales), (input, tight), output, &following).unwrap();
        for pieces in [1, 2, 5] {
            let mut out = vec![0u8; g.out_plane() * stride(o)];
            let row = g.ow * stride(o);
            for rows in crate::tasks::parts(g.oh, pieces) {
                let places = rows.start * row..rows.end * row;
                let added = added.as_ref().map(|a| &a[places.clone()]);
                conv.rows(&x, rows, added, &mut out[places], &mut Vec::new());
            }
            let found: Vec<&[u8]> = out.chunks(stride(o)).map(|p| &p[..o]).collect();
            assert_eq!(found, expected, "{} {g:?} in {pieces} pieces", path.name());
        }
    }
}

fn params(step: usize, padding: [usize; 4], groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride: (step, step),
        padding,
        groups,
        ..Conv2dParams::default()
    }
}

#[test]
fn pointwise_convolutions_are_exact_in_every_path() {
    let mut draws = Draws(1);
    for (h, w) in [(1, 1), (1, 3), (2, 5), (3, 4), (5, 5), (7, 7), (9, 13)] {
        for (c, o) in [
            (1, 1),
            (3, 16),
            (5, 17),
            (16, 24),
            (17, 40),
            (31, 64),
            (96, 80),
            (33, 150),
        ] {
            check(
                &mut draws,
                [h, w, c],
                o,
                1,
                Conv2dParams::default(),
                false,
                false,
            );
            check(
                &mut draws,
                [h, w, c],
                o,
                1,
                Conv2dParams::default(),
                false,
                true,
            );
        }
    }
}

#[test]
fn depthwise_convolutions_are_exact_in_every_path() {
    let mut draws = Draws(2);
    for k in 1..=9 {
        for step in 1..=3 {
            for (h, w) in [(1, 1), (2, 9), (7, 7), (8, 5), (13, 10)] {
                let c = 2 + draws.next() as usize % 40;
                let pad = k / 2;
                if h + 2 * pad < k || w + 2 * pad < k {
                    continue;
                }
                check(
                    &mut draws,
                    [h, w, c],
                    c,
                    k,
                    params(step, [pad; 4], c),
                    false,
                    false,
                );
                let uneven = [pad, k - 1 - pad.min(k - 1), pad, k];
                check(
                    &mut draws,
                    [h, w, c],
                    c,
                    k,
                    params(step, uneven, c),
                    false,
                    false,
                );
            }
        }
    }
}

#[test]
fn dense_convolutions_are_exact_in_every_path() {
    let mut draws = Draws(3);
    for (k, step, c, o) in [
        (3, 2, 3, 32),
        (3, 1, 16, 16),
        (7, 2, 3, 20),
        (2, 2, 5, 9),
        (3, 1, 37, 33),
        (1, 2, 18, 31),
        (4, 3, 1, 3),
    ] {
        for (h, w) in [(4, 4), (7, 9), (12, 11)] {
            for padding in [[k / 2; 4], [0, 1, 0, 1], [1, 2, 3, 0]] {
                if h + padding[0] + padding[1] < k || w + padding[2] + padding[3] < k {
                    continue;
                }
                for (tight, sum) in [(false, false), (true, false), (false, true)] {
                    check(
                        &mut draws,
                        [h, w, c],
                        o,
                        k,
                        params(step, padding, 1),
                        tight,
                        sum,
                    );
                }
            }
        }
    }
}

#[test]
fn the_greatest_weights_and_bytes_are_exact_in_every_path() {
    let (c, o) = (64, 16);
    let g = Geometry::new(&[1, c, 1, 7], &[o, c, 1, 1], Conv2dParams::default()).unwrap();
    let x = vec![255u8; 7 * c];
    let one = Scale {
        scale: 1.0,
        zero: 0,
    };
    let following = Following {
        // 64 · 255 · 127 becomes 254, a unit is lost if one pair of products saturates.
        scale: vec![254.0 / (64.0 * 255.0 * 127.0); o],
        shift: vec![0.0; o],
        bounds: (f64::NEG_INFINITY, f64::INFINITY),
        added: None,
    };
    let output = Scale {
        scale: 1.0,
        zero: 0,
    };
    for path in Path::all() {
        let conv = Conv::new(
            path,
            &g,
            (&vec![127; c * o], &vec![1.0; o]),
            (one, false),
            output,
            &following,
        )
        .unwrap();
        let mut out = vec![0u8; 7 * o];
        conv.rows(&x, 0..1, None, &mut out, &mut Vec::new());
        assert_eq!(out, vec![254; 7 * o], "{}", path.name());
    }
}

#[test]
fn images_means_and_greatest_values_are_those_of_their_definitions() {
    let mut draws = Draws(4);
    let scale = Scale {
        scale: 0.031,
        zero: 77,
    };
    for (channels, plane) in [(1, 5), (3, 300), (4, 257)] {
        let values: Vec<f32> = (0..channels * plane)
            .map(|_| draws.share() as f32 * 12.0 - 5.0)
            .collect();
        let mut out = vec![0u8; values.len()];
        images(&values, channels, scale, &mut out);
        for (i, q) in out.iter().enumerate() {
            let v = values[i % channels * plane + i / channels];
            let exact = (v * (1.0 / 0.031f32) + 77.0)
                .clamp(0.0, 255.0)
                .round_ties_even();
            assert_eq!(f32::from(*q), exact);
        }
    }
    for (channels, positions) in [(1, 1), (17, 49), (40, 6)] {
        let map = draws.bytes(positions * stride(channels));
        let mut found = vec![0f32; channels];
        means(&map, channels, scale, &mut found);
        let mut whole = vec![0f32; channels * positions];
        planes(&map, channels, scale, &mut whole);
        for (mean, plane) in found.iter().zip(whole.chunks(positions)) {
            let exact = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / positions as f64;
            assert!((f64::from(*mean) - exact).abs() < 1e-5, "{mean} {exact}");
        }
    }
    let windows = crate::pool::Windows::new([1, 7, 6, 18], (3, 3), (2, 2), (1, 1), false).unwrap();
    let pool = MaxPool { windows };
    let map = draws.bytes(42 * 32);
    let [_, oh, ow, _] = windows.out_dims();
    let mut out = vec![0u8; oh * ow * 32];
    pool.rows(&map, 0..oh, &mut out);
    for (i, q) in out.iter().enumerate() {
        let (oy, ox, c) = (i / 32 / ow, i / 32 % ow, i % 32);
        let mut most = 0;
        windows.each(oy, ox, |_, place| most = most.max(map[place * 32 + c]));
        assert_eq!(*q, most);
    }
}

#[test]
fn what_is_not_computed_in_eight_bits_is_said() {
    let following = Following {
        scale: vec![1.0; 4],
        shift: vec![0.0; 4],
        bounds: (0.0, 6.0),
        added: None,
    };
    let one = Scale {
        scale: 1.0,
        zero: 0,
    };
    let made = |p: Conv2dParams, scales: &[f32], output: Scale| {
        let g = Geometry::new(&[1, 4, 9, 9], &[4, 4 / p.groups, 3, 3], p).unwrap();
        let q = vec![1i8; 4 * 4 / p.groups * 9];
        Conv::new(
            Path::Portable,
            &g,
            (&q, scales),
            (one, false),
            output,
            &following,
        )
        .map(drop)
    };
    let ones = [1.0; 4];
    assert!(made(params(1, [0; 4], 1), &ones, one).is_ok());
    let dilated = Conv2dParams {
        dilation: (2, 2),
        ..params(1, [0; 4], 1)
    };
    for (p, scales, output, word) in [
        (params(1, [0; 4], 2), ones, one, "groups"),
        (dilated, ones, one, "dilation"),
        (
            params(1, [0; 4], 1),
            [f32::MAX; 4],
            Scale {
                scale: 1e-30,
                zero: 0,
            },
            "scales",
        ),
    ] {
        let error = made(p, &scales, output).unwrap_err();
        assert!(error.0.contains(word), "{error}");
    }
}
