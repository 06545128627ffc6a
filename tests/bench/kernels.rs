//! How near the kernels come to the processor's peak of fused multiply-adds, on shapes of the five networks of the benchmark `step`.
//!
//! `cargo bench --bench kernels -- [--threads 2] [--batch 16] [--only NAME]`
//!
//! The peak is measured by a loop of twelve independent sums in registers, of the instruction set in use, on one thread, and taken
//! times the threads. Each kernel runs for half a second; the best pass counts. Operations are those of the definition: where a
//! 3 × 3 convolution is computed by Winograd's fewer multiplications, more than 100 % are possible. Products out of
//! each level of the memory run on one thread, and so do convolutions in eight bits, in every way that the processor has.

mod eight_bits;
mod products;

use hydranet_kernels::attention_heads::{self, Sizes};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::conv::{self, Input, Job, Packs};
use hydranet_kernels::geometry::{Conv2dParams, Geometry};
use hydranet_kernels::linear;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Channels in and out, size of the square input, kernel, stride; equal channels of a `depthwise` one see only themselves.
struct Shape {
    network: &'static str,
    channels: (usize, usize),
    size: usize,
    kernel: usize,
    stride: usize,
    depthwise: bool,
}

const fn shape(
    network: &'static str,
    channels: (usize, usize),
    size: usize,
    kernel: usize,
    stride: usize,
) -> Shape {
    Shape {
        network,
        channels,
        size,
        kernel,
        stride,
        depthwise: false,
    }
}

const fn depthwise(
    network: &'static str,
    channels: usize,
    size: usize,
    kernel: usize,
    stride: usize,
) -> Shape {
    Shape {
        depthwise: true,
        ..shape(network, (channels, channels), size, kernel, stride)
    }
}

/// Convolutions that take much of the networks' time.
const CONVOLUTIONS: [Shape; 21] = [
    shape("mobilenet", (3, 32), 224, 3, 2),
    shape("mobilenet", (32, 16), 112, 1, 1),
    shape("mobilenet", (16, 96), 112, 1, 1),
    shape("mobilenet", (144, 24), 56, 1, 1),
    shape("mobilenet", (64, 384), 14, 1, 1),
    shape("mobilenet", (576, 96), 14, 1, 1),
    shape("mobilenet", (160, 960), 7, 1, 1),
    shape("mobilenet", (320, 1280), 7, 1, 1),
    depthwise("mobilenet", 96, 112, 3, 2),
    depthwise("mobilenet", 144, 56, 3, 1),
    depthwise("mobilenet", 384, 14, 3, 1),
    depthwise("lite0", 240, 28, 5, 1),
    depthwise("lite0", 672, 14, 5, 1),
    shape("resnet18", (3, 64), 224, 7, 2),
    shape("resnet18", (64, 64), 56, 3, 1),
    shape("resnet18", (128, 128), 28, 3, 1),
    shape("resnet18", (256, 256), 14, 3, 1),
    shape("resnet18", (512, 512), 7, 3, 1),
    shape("resnet18", (128, 256), 28, 3, 2),
    depthwise("convnext", 160, 14, 7, 1),
    shape("convnext", (40, 80), 56, 2, 2),
];

/// Rows, inputs and outputs of linear layers, the rows being those of one image.
const LINEAR: [(&str, usize, usize, usize); 5] = [
    ("vit", 197, 192, 576),
    ("vit", 197, 192, 768),
    ("vit", 197, 768, 192),
    ("convnext", 3136, 40, 160),
    ("convnext", 196, 640, 160),
];

/// Tokens of attention with three heads of 64.
const TOKENS: [usize; 3] = [197, 577, 1370];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().filter(|a| a != "--bench").collect();
    let options: BTreeMap<&str, &str> = args[1..]
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let number = |name: &str, usual: usize| options.get(name).map_or(Ok(usual), |v| v.parse());
    let (threads, batch) = (number("--threads", 2)?, number("--batch", 16)?);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let of_one = peak();
    let peak = of_one * threads as f64;
    let set = hydranet_kernels::instruction_set()?;
    println!("{set}, {threads} threads, batch {batch}: peak {peak:.0} GFLOP/s");
    let only = options.get("--only").copied().unwrap_or_default();
    let show = |name: String, giga: f64, passes: [&mut dyn FnMut(); 3]| {
        if !name.contains(only) {
            return;
        }
        let [forward, input, weight] = passes.map(|pass| {
            let rate = giga / best(pass);
            format!("{rate:7.1} {:4.0} %", 100.0 * rate / peak)
        });
        println!("{name:44} forward {forward}   input {input}   weight {weight}");
    };
    products::show(only, of_one, &noise, &best);
    for s in &CONVOLUTIONS {
        convolution(s, batch, &show)?;
    }
    for (network, rows, inputs, outputs) in LINEAR {
        let rows = rows * batch;
        let (x, w, b) = (
            noise(rows * inputs),
            noise(inputs * outputs),
            noise(outputs),
        );
        let dy = noise(rows * outputs);
        let giga = 2e-9 * (rows * inputs * outputs) as f64;
        show(
            format!("{network} linear {inputs} → {outputs}, {rows} rows"),
            giga,
            [
                &mut || drop(black_box(linear::forward(inputs, &x, &w, &b))),
                &mut || {
                    drop(black_box(linear::input_gradient(
                        (outputs, inputs),
                        &w,
                        &dy,
                    )))
                },
                &mut || {
                    drop(black_box(linear::weight_gradient(
                        (outputs, inputs),
                        &x,
                        &dy,
                    )))
                },
            ],
        );
    }
    for tokens in TOKENS {
        let s = Sizes {
            batch,
            heads: 3,
            tokens,
            dim: 64,
        };
        let (qkv, d_out) = (noise(batch * tokens * 576), noise(batch * tokens * 192));
        let (mut out, mut d_qkv) = (vec![0f32; d_out.len()], vec![0f32; qkv.len()]);
        let giga = 4e-9 * (batch * 3 * tokens * tokens * 64) as f64;
        let notes = attention_heads::forward(s, &qkv, &mut out);
        let name = format!("attention of {tokens} tokens");
        if name.contains(only) {
            let forward = giga / best(&mut || drop(attention_heads::forward(s, &qkv, &mut out)));
            let mut pass = || attention_heads::backward(s, &qkv, &notes, &d_out, &mut d_qkv);
            let backward = 2.5 * giga / best(&mut pass);
            let share = |rate: f64| format!("{rate:7.1} {:4.0} %", 100.0 * rate / peak);
            println!(
                "{name:44} forward {}   backward {}",
                share(forward),
                share(backward)
            );
        }
    }
    eight_bits::show(only, &best)?;
    Ok(())
}

/// Prints the rates of a forward pass and of both gradients: their name, billions of operations, and what computes them.
type Show<'a> = &'a dyn Fn(String, f64, [&mut dyn FnMut(); 3]);

fn convolution(s: &Shape, batch: usize, show: Show) -> Result<(), Box<dyn std::error::Error>> {
    let (inputs, outputs) = s.channels;
    let p = Conv2dParams {
        stride: (s.stride, s.stride),
        padding: [(s.kernel - 1) / 2; 4],
        groups: if s.depthwise { inputs } else { 1 },
        ..Conv2dParams::default()
    };
    let seen = if s.depthwise { 1 } else { inputs };
    let g = Geometry::new(
        &[batch, inputs, s.size, s.size],
        &[outputs, seen, s.kernel, s.kernel],
        p,
    )
    .map_err(|e| e.to_string())?;
    let values = |len: usize| {
        let mut buffer = Buffer::<f32>::new(len);
        buffer.copy_from_slice(&noise(len));
        buffer
    };
    let positions = batch * g.oh * g.ow;
    let (x, dz) = (
        values(batch * inputs * s.size * s.size),
        values(positions * outputs),
    );
    let (mut y, mut dx) = (values(positions * outputs), values(x.len()));
    let (mut unused, w) = (values(0), noise(outputs * seen * s.kernel * s.kernel));
    let packs = Packs::new(&g, &w);
    let input = Input {
        values: &x,
        transform: None,
    };
    let job = |want_input: bool| Job {
        g: &g,
        x: input,
        y: &dz,
        dz: &dz,
        epilogue: None,
        want_weight: !want_input,
        want_input,
        accumulate: false,
        ask: None,
    };
    let kind = if s.depthwise {
        "depthwise"
    } else {
        "convolution"
    };
    show(
        format!(
            "{} {kind} {inputs} → {outputs}, {k} × {k} / {}, {}²",
            s.network,
            s.stride,
            s.size,
            k = s.kernel
        ),
        2e-9 * (positions * outputs * seen * s.kernel * s.kernel) as f64,
        [
            &mut || drop(conv::forward(&g, input, &packs, &mut y, None, false)),
            &mut || drop(conv::backward(&job(true), &w, &mut dx)),
            &mut || drop(conv::backward(&job(false), &w, &mut unused)),
        ],
    );
    Ok(())
}

/// Values around 0.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as f32 / u32::MAX as f32 - 0.5
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Seconds of the best pass.
fn best(pass: &mut dyn FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Operations a second of one thread with all values in registers, in units of 10⁹.
fn peak() -> f64 {
    const TIMES: usize = 100_000;
    let set = hydranet_kernels::instruction_set().unwrap_or("portable");
    let (lanes, sums): (usize, fn(usize) -> f32) = match set {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the kernels found these instruction sets on this processor.
        "avx512" => (16, |n| unsafe { x86::wide(n) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        "avx2" => (8, |n| unsafe { x86::narrow(n) }),
        _ => (4, portable),
    };
    let giga = 2e-9 * (12 * lanes * TIMES) as f64;
    giga / best(&mut || {
        black_box(sums(black_box(TIMES)));
    })
}

/// Twelve vectors of four sums, `n` multiplications and additions each.
fn portable(n: usize) -> f32 {
    let (x, y) = (black_box(0.999_999f32), black_box(1e-9f32));
    let mut sums = [[0f32; 4]; 12];
    for _ in 0..n {
        for sum in sums.as_flattened_mut() {
            *sum = *sum * x + y;
        }
    }
    sums.as_flattened().iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_add_ps,
        _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    };

    /// # Safety
    /// The processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn wide(n: usize) -> f32 {
        let (x, y) = (_mm512_set1_ps(0.999_999), _mm512_set1_ps(1e-9));
        let mut sums = [y; 12];
        for _ in 0..n {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, y);
            }
        }
        _mm512_reduce_add_ps(sums.into_iter().fold(y, |a, b| _mm512_add_ps(a, b)))
    }

    /// # Safety
    /// The processor must have AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn narrow(n: usize) -> f32 {
        let (x, y) = (_mm256_set1_ps(0.999_999), _mm256_set1_ps(1e-9));
        let mut sums = [y; 12];
        for _ in 0..n {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, y);
            }
        }
        _mm256_cvtss_f32(sums.into_iter().fold(y, |a, b| _mm256_add_ps(a, b)))
    }
}
