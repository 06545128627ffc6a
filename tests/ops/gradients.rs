//! One table of everything that carries gradients: each row is an operator, or a piece of a network, that is known to go wrong
//! somewhere. A row fails if backward errs, if a gradient is missing, or if it is not that of central differences.

use crate::common::differences::{flat, gradient_error, gradients, values};
use crate::common::on_tape::{
    activation, attention, attention_qkv, avg_pool2d, conv2d, conv2d_norm_act, global_avg_pool,
    layer_norm, layer_norm_2d, max_pool2d, run,
};
use candle_core::{D, Device, Result, Tensor, Var, bail};
use hydranet::tape::{
    Activation, AvgPool2dParams, Conv2dParams, Map, Norm, Statistics, Tape, WindowAttention,
    linear, resample_pos_embed, scale,
};
use hydranet::train::HeadLoss;
use hydranet::{LossKind, LossTerm};

/// What is asked, and how far off the answer is (relative to the greatest gradient).
type Row = (&'static str, fn() -> Result<f64>);

const TOLERANCE: f64 = 1e-6;

#[rustfmt::skip] // A row is a line.
const TABLE: &[Row] = &[
    // Convolution.
    ("conv2d, square", || check(&[v([2, 3, 5, 5]), v([4, 3, 3, 3])], |a| conv(a, 1, 1, 1, 1))),
    ("conv2d, square, stride 2", || check(&[v([2, 3, 6, 6]), v([4, 3, 3, 3])], |a| conv(a, 2, 1, 1, 1))),
    ("conv2d, square, stride 3 that leaves values out", || check(&[v([1, 2, 8, 8]), v([3, 2, 3, 3])], |a| conv(a, 3, 0, 1, 1))),
    ("conv2d, dilation 2", || check(&[v([1, 2, 7, 7]), v([2, 2, 3, 3])], |a| conv(a, 1, 2, 2, 1))),
    ("conv2d, groups 2", || check(&[v([2, 4, 5, 5]), v([4, 2, 3, 3])], |a| conv(a, 1, 1, 1, 2))),
    ("conv2d, groups 2, dilation 2", || check(&[v([1, 4, 6, 6]), v([2, 2, 3, 3])], |a| conv(a, 1, 2, 2, 2))),
    ("conv2d, depthwise", || check(&[v([2, 4, 5, 6]), v([4, 1, 3, 3])], |a| conv(a, 1, 1, 1, 4))),
    ("conv2d, depthwise, stride 2", || check(&[v([2, 4, 7, 6]), v([4, 1, 5, 5])], |a| conv(a, 2, 2, 1, 4))),
    ("conv2d, depthwise, dilation 2", || check(&[v([1, 3, 6, 7]), v([3, 1, 3, 3])], |a| conv(a, 1, 2, 2, 3))),
    ("conv2d, two filters a channel", || check(&[v([1, 3, 4, 5]), v([6, 1, 3, 3])], |a| conv(a, 1, 1, 1, 3))),
    ("conv2d, 3×3 stride 2 on 5×8", || check(&[v([2, 3, 5, 8]), v([4, 3, 3, 3])], |a| conv(a, 2, 1, 1, 1))),
    ("conv2d, patches of 4×4", || check(&[v([2, 3, 8, 12]), v([5, 3, 4, 4])], |a| conv(a, 4, 0, 1, 1))),
    ("conv1d as a convolution over one row, weight", || check(&[v([3, 2, 3]).unsqueeze(1)?, v([4, 2, 3]).unsqueeze(2)?], |a| conv(&[a[0].transpose(1, 2)?, a[1].clone()], 1, 0, 1, 1))),
    ("conv2d with bias", || check(&[v([2, 3, 4, 5]), v([4, 3, 3, 3]), v([4])], |a| conv2d(Tape::new, &a[0], &a[1], Some(&a[2]), params(1, 1, 1, 1), Activation::Identity))),
    ("conv2d, input used twice", || check(&[v([2, 3, 4, 5]), v([3, 3, 3, 3])], |a| conv(a, 1, 1, 1, 1)? * &a[0])),
    ("conv2d, weight used twice", || check(&[v([2, 3, 4, 5]), v([3, 3, 3, 3])], |a| conv(&[conv(a, 1, 1, 1, 1)?, a[1].clone()], 1, 1, 1, 1))),
    // Batch normalisation.
    ("batch norm, statistics of the batch", || check(&norm_args(), |a| norm(a, Statistics::Batch, Activation::Identity))),
    ("batch norm, fixed statistics", || check(&norm_args(), |a| norm(a, fixed(4)?, Activation::Identity))),
    ("batch norm of the batch and relu", || check(&norm_args(), |a| norm(a, Statistics::Batch, Activation::Relu))),
    ("batch norm of the batch and relu6", || check(&norm_args(), |a| norm(a, Statistics::Batch, Activation::Relu6))),
    ("batch norm, running statistics get no gradient", running_statistics_get_none),
    // Pooling.
    ("max_pool2d 2×2, stride 2", || check(&[v([2, 3, 6, 4])], |a| max_pool2d(Tape::new, &a[0], [2, 2, 0]))),
    ("max_pool2d 3×3, stride 3", || check(&[v([1, 2, 6, 9])], |a| max_pool2d(Tape::new, &a[0], [3, 3, 0]))),
    ("max_pool2d 3×3, stride 2", || check(&[v([2, 2, 9, 8])], |a| max_pool2d(Tape::new, &a[0], [3, 2, 1]))),
    ("max_pool2d 3×3, stride 1, input used twice", || check(&[v([2, 2, 5, 6])], |a| max_pool2d(Tape::new, &a[0], [3, 1, 1])? * &a[0])),
    ("max_pool2d, ties: the first gets the gradient", first_of_ties),
    ("avg_pool2d 2×2, size a multiple", || check(&[v([2, 3, 6, 4])], |a| avg_pool2d(Tape::new, &a[0], AvgPool2dParams::new(2, 2)))),
    ("avg_pool2d 2×2, size no multiple", || check(&[v([2, 3, 5, 7])], |a| avg_pool2d(Tape::new, &a[0], AvgPool2dParams::new(2, 2)))),
    ("avg_pool2d 3×3, stride 2, padded", || check(&[v([1, 2, 7, 6])], |a| avg_pool2d(Tape::new, &a[0], AvgPool2dParams::new(3, 2).padding(1)))),
    ("global average pool", || check(&[v([3, 4, 3, 5])], |a| global_avg_pool(Tape::new, &a[0]))),
    // Resizing.
    ("position embedding on a smaller grid", || check(&[v([1, 9 * 7, 2])], |a| resample_pos_embed(&a[0], 0, (9, 7), (4, 3)))),
    ("position embedding on another grid", || check(&[v([1, 1 + 9, 4])], |a| resample_pos_embed(&a[0], 1, (3, 3), (4, 5)))),
    // Activations.
    ("relu", || check(&[v([2, 4, 3, 5])], |a| activation(Tape::new, &a[0], Activation::Relu))),
    ("relu at exactly 0: gradient 0", || at_kink(0.0, Activation::Relu)),
    ("relu6, as a clamp", || check(&[(v([2, 4, 3, 5]) * 9.0)?], |a| activation(Tape::new, &a[0], Activation::Relu6))),
    ("relu6 at exactly 6: gradient 0", || at_kink(6.0, Activation::Relu6)),
    ("sigmoid", || check(&[(v([2, 4, 3, 5]) * 4.0)?], |a| activation(Tape::new, &a[0], Activation::Sigmoid))),
    ("hard sigmoid", || check(&[(v([2, 4, 3, 5]) * 5.0)?], |a| activation(Tape::new, &a[0], Activation::HardSigmoid))),
    ("hard sigmoid at exactly ±3: gradient 0", || Ok(at_kink(3.0, Activation::HardSigmoid)? + at_kink(-3.0, Activation::HardSigmoid)?)),
    ("silu", || check(&[(v([2, 4, 3, 5]) * 4.0)?], |a| activation(Tape::new, &a[0], Activation::Silu))),
    ("hardswish", || check(&[(v([2, 4, 3, 5]) * 5.0)?], |a| activation(Tape::new, &a[0], Activation::HardSwish))),
    ("gelu_erf", || check(&[(v([2, 4, 3, 5]) * 4.0)?], |a| activation(Tape::new, &a[0], Activation::Gelu))),
    ("gelu", || check(&[(v([2, 4, 3, 5]) * 4.0)?], |a| activation(Tape::new, &a[0], Activation::GeluTanh))),
    // Tokens.
    ("layer_norm with bias", || check(&[v([2, 3, 7]), v([7]), v([7])], |a| layer_norm(Tape::new, &a[0], &a[1], &a[2], 1e-6))),
    ("layer_norm in a residual", || check(&[v([2, 3, 7]), v([7]), v([7])], |a| &a[0] + layer_norm(Tape::new, &a[0], &a[1], &a[2], 1e-6)?)),
    ("layer_norm over channels", || check(&[v([2, 5, 3, 4]), v([5]), v([5])], |a| layer_norm_2d(Tape::new, &a[0], &a[1], &a[2], 1e-6))),
    ("sdpa", || check(&[v([2, 2, 5, 3]), v([2, 2, 5, 3]), v([2, 2, 5, 3])], |a| attention(Tape::new, [&a[0], &a[1], &a[2]], 0.6))),
    ("sdpa of packed queries, keys and values", || check(&[v([2, 5, 18])], |a| attention_qkv(Tape::new, &a[0], 2, 0.6))),
    // The steps of a tape that are no operators of their own.
    ("tape: max_pool 3×3, stride 2, behind norm and relu", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        tape.max_pool(&y, 3, 2, 1)
    }))),
    ("tape: global average pool of a map read twice", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let z = tape.add(&y, &y, Some(vec![0.0, 1.5, -0.5]))?;
        let z = tape.add(&z, &y, None)?;
        tape.global_avg_pool(&z)
    }))),
    ("tape: squeeze-and-excitation of a map read twice, sigmoid", || check(&squeeze_args(), |a| squeeze(a, Activation::Sigmoid))),
    ("tape: squeeze-and-excitation of a map read twice, hard sigmoid", || check(&squeeze_args(), |a| squeeze(a, Activation::HardSigmoid))),
    ("tape: channels scaled by factors that are another's too", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let mean = tape.global_avg_pool(&y)?;
        let z = tape.scale_channels(y.clone(), &mean)?;
        let z = tape.add(&z, &y, Some(vec![0.5, -1.5, 1.0]))?;
        tape.scale_channels(z, &mean)
    }))),
    ("tape: average pooling 2×2, stride 2, rounded up, behind norm and relu", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let params = AvgPool2dParams { ceil_mode: true, count_include_pad: false, ..AvgPool2dParams::new(2, 2) };
        tape.avg_pool(&y, params)
    }))),
    ("tape: average pooling 3×3, stride 2, padded, of a map read twice", || check(&[v([2, 3, 5, 6])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.add(x, x, Some(vec![0.5, -1.5]))?;
        let pooled = tape.avg_pool(&y, AvgPool2dParams::new(3, 2).padding(1))?;
        let mean = tape.global_avg_pool(&y)?;
        tape.scale_channels(pooled, &mean)
    }))),
    ("tape: batch norms and sum, as RepVGG's branches", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let one = Tensor::ones((4, 1, 1, 1), a[0].dtype(), &Device::Cpu)?;
        let norm = Norm { gamma: &a[2], beta: &a[3], eps: 1e-3, statistics: Statistics::Batch };
        let (z, _) = tape.conv_norm(&y, &one, params(1, 0, 1, 4), &norm, Activation::Identity)?;
        let sum = tape.add(&y, &z, None)?;
        tape.activation(&sum, Activation::Relu)
    }))),
    ("tape: layer norm in a residual", || check(&[v([2, 5, 3, 4]), v([5]), v([5])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.layer_norm(x, &a[1], &a[2], 1e-6)?;
        tape.add(x, &y, None)
    }))),
    ("tape: gelu between linear layers, both read twice", || check(&[v([2, 5, 3, 2]), v([7, 5]), v([7]), v([7, 7]), v([7])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.linear(x, &a[1], Some(&a[2]), Activation::Gelu)?;
        let z = tape.linear(&y, &a[3], Some(&a[4]), Activation::Identity)?;
        tape.add(&y, &z, None)
    }))),
    ("tape: silu behind a norm of the batch", || check(&norm_args(), |a| norm(a, Statistics::Batch, Activation::Silu))),
    ("tape: an activation of a sum", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let y = tape.add(&y, &y, Some(vec![0.5, -1.5, 1.0]))?;
        let y = tape.activation(&y, Activation::HardSwish)?;
        tape.activation(&y, Activation::Silu)
    }))),
    ("tape: convolution with bias, scaled", || check(&[v([2, 3, 4, 5]), v([4, 3, 3, 3]), v([4]), v([4])], |a| on_tape(&a[0], |tape, x| {
        tape.conv_scaled(x, &a[1], &a[2], &a[3], params(1, 1, 1, 1))
    }))),
    ("tape: tokens with class token and positions", || check(&[v([2, 6, 2, 3]), v([1, 1, 6]), v([1, 7, 6])], |a| on_tape(&a[0], |tape, x| {
        tape.tokens(x, &a[1], &a[2])
    }))),
    ("tape: attention, and one token of it", || check(&[v([2, 4, 1, 5]), v([24, 4]), v([24])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.linear(x, &a[1], Some(&a[2]), Activation::Identity)?;
        let y = tape.attention(&y, 2)?;
        tape.token(&y, 1)
    }))),
    ("tape: tokens with registers, positions behind them", || check(&[v([2, 6, 2, 3]), v([1, 3, 6]), v([1, 6, 6])], |a| on_tape(&a[0], |tape, x| {
        tape.tokens(x, &a[1], &a[2])
    }))),
    ("tape: tokens behind a prefix, and their mean", || check(&[v([2, 4, 1, 5])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.tokens_from(x, 2, 3)?;
        let mean = tape.global_avg_pool(&y)?;
        tape.scale_channels(y, &mean)
    }))),
    ("tape: a row of maps behind norm and relu, one of them twice", || check(&norm_args(), |a| on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let mean = tape.global_avg_pool(&y)?;
        tape.row(&[mean, y.clone(), x.clone(), y])
    }))),
    ("composition: a row of maps, one of them twice", || check(&[v([2, 3, 4, 5])], |a| run(Tape::composed, &a[0], |tape, x| {
        let mean = tape.global_avg_pool(&x)?;
        let some = tape.tokens_from(&x, 3, 4)?;
        tape.row(&[mean, x.clone(), some, x])
    }))),
    ("tape: global response norm of gelu", || check(&[v([2, 5, 3, 4]), v([5, 5]), v([5]), v([5])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.linear(x, &a[1], None, Activation::Gelu)?;
        tape.global_response_norm(&y, &a[2], &a[3], 1e-6)
    }))),
    ("tape: global response norm of a map read twice", || check(&[v([2, 5, 3, 4]), v([5]), v([5])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.global_response_norm(x, &a[1], &a[2], 1e-6)?;
        let y = tape.add(x, &y, None)?;
        let z = tape.global_response_norm(&y, &a[1], &a[2], 1e-6)?;
        tape.add(&z, &y, Some(vec![0.5, -1.5]))
    }))),
    ("tape: attention within windows", || check(&window_args(6, 4), |a| windows(a, 0))),
    ("tape: attention within shifted windows", || check(&window_args(4, 6), |a| windows(a, 1))),
    ("tape: attention within windows that are filled up", || check(&window_args(3, 5), |a| windows(a, 0))),
    ("tape: attention within shifted windows that are filled up", || check(&window_args(5, 3), |a| windows(a, 1))),
    ("tape: merging of squares, behind gelu and read twice", || check(&[v([2, 3, 5, 4]), v([3, 3])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.linear(x, &a[1], None, Activation::Gelu)?;
        let (first, second) = (tape.merge(&y)?, tape.merge(&y)?);
        tape.add(&first, &second, Some(vec![0.5, -1.5]))
    }))),
    ("tape: linear layer, scaled, in a residual", || check(&[v([2, 4, 3, 2]), v([4, 4]), v([4]), v([4])], |a| on_tape(&a[0], |tape, x| {
        let y = tape.conv_scaled(x, &a[1], &a[2], &a[3], Conv2dParams::default())?;
        tape.add(x, &y, None)
    }))),
    // Linear algebra and scaling.
    ("linear", || check(&[v([5, 7]), v([3, 7]), v([3])], |a| linear(&a[0], &a[1], Some(&a[2])))),
    ("linear, weight used twice", || check(&[v([5, 4]), v([4, 4]), v([4])], |a| linear(&linear(&a[0], &a[1], Some(&a[2]))?, &a[1], Some(&a[2])))),
    ("scale, with factors 0", || check(&[v([4, 6])], |a| scale(&a[0], vec![0.0, 2.0, 1.0, 0.5]))),
    // Losses.
    ("cross-entropy with class weights, smoothing, soft targets", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::CrossEntropy))),
    ("cross-entropy at logits of ±200", || check(&[far_logits()?], |a| loss(&a[0], LossKind::CrossEntropy))),
    ("soft F1", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::SoftF1))),
    ("LDAM", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::Ldam { max_margin: 0.5, scale: 2.0 }))),
    ("logit-adjusted loss", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::LogitAdjusted { tau: 1.0 }))),
    ("generalised cross-entropy", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::GeneralizedCrossEntropy { q: 0.7 }))),
    ("symmetric cross-entropy", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::SymmetricCrossEntropy { alpha: 0.1, beta: 1.0, log_zero: -4.0 }))),
    ("CORAL", || check(&[v([5, 2])], |a| loss(&a[0], LossKind::Coral))),
    ("CORN", || check(&[v([5, 2])], |a| loss(&a[0], LossKind::Corn))),
    ("mean-variance loss", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::MeanVariance { mean: 0.2, variance: 0.05 }))),
    ("L1 of means", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::L1))),
    ("smooth L1 of means", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::SmoothL1 { beta: 0.2 }))),
    ("earth mover's distance", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::EarthMover))),
    ("a weighted sum of losses of a head with a linear layer", || check(&[v([5, 4]), v([3, 4]), v([3])], |a| {
        let term = |kind, factor| LossTerm { kind, factor };
        let kinds = vec![term(LossKind::focal(2.0), 0.5), term(LossKind::SoftF1, 2.0)];
        loss(&linear(&a[0], &a[1], Some(&a[2]))?, LossKind::Sum(kinds))
    })),
    ("binary cross-entropy of several labels", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::BinaryCrossEntropy))),
    ("binary cross-entropy at logits of ±200", || check(&[far_logits()?], |a| loss(&a[0], LossKind::BinaryCrossEntropy))),
    ("asymmetric loss", || check(&[v([5, 3])], |a| {
        loss(&a[0], LossKind::Asymmetric { gamma_neg: 4.0, gamma_pos: 1.0, clip: 0.05 })
    })),
    ("focal loss", || check(&[v([5, 3])], |a| loss(&a[0], LossKind::focal(2.0)))),
    // The same, off the CPU's kernels.
    ("composition: conv2d, 3×3 stride 2 on 5×8", || check(&[v([2, 3, 5, 8]), v([4, 3, 3, 3])], |a| conv2d(Tape::composed, &a[0], &a[1], None, params(2, 1, 1, 1), Activation::Identity))),
    ("composition: conv2d, depthwise, dilation 2", || check(&[v([1, 3, 6, 7]), v([3, 1, 3, 3])], |a| conv2d(Tape::composed, &a[0], &a[1], None, params(1, 2, 2, 3), Activation::Identity))),
    ("composition: batch norm of the batch and relu6", || check(&norm_args(), |a| composed_norm(a, Statistics::Batch, Activation::Relu6))),
    ("composition: batch norm, fixed statistics", || check(&norm_args(), |a| composed_norm(a, fixed(4)?, Activation::Identity))),
    ("composition: max_pool2d 3×3, stride 2", || check(&[v([2, 2, 9, 8])], |a| max_pool2d(Tape::composed, &a[0], [3, 2, 1]))),
    ("composition: avg_pool2d 2×2, size no multiple", || check(&[v([2, 3, 5, 7])], |a| avg_pool2d(Tape::composed, &a[0], AvgPool2dParams::new(2, 2)))),
    ("composition: global average pool", || check(&[v([3, 4, 3, 5])], |a| global_avg_pool(Tape::composed, &a[0]))),
    // Pieces of networks.
    ("ResNet: stem with its pooling, and a block", || check(&resnet_args(), resnet)),
    ("EfficientNet: inverted residual, statistics of the batch", || check(&inverted_args(), inverted_residual)),
    ("VGG: convolution, pooling and classifier at batch 2", || check(&[v([2, 2, 4, 6]), v([3, 2, 3, 3]), v([3]), v([4, 18]), v([4])], vgg)),
    ("ConvNeXt: depthwise 7×7 and patches, residual", || check(&[v([1, 3, 8, 8]), v([3, 1, 7, 7]), v([3, 3, 2, 2])], |a| conv(&[(&a[0] + conv(a, 1, 3, 1, 3)?)?, a[2].clone()], 2, 0, 1, 1))),
    ("a step along the gradient moves the result", a_step_moves_the_result),
];

/// Rows so far; a row that is lost is noticed.
const ROWS: usize = 108;

/// A tape from `x` to its result.
fn on_tape(x: &Tensor, f: impl Fn(&mut Tape, &Map) -> Result<Map>) -> Result<Tensor> {
    run(Tape::new, x, |tape, x| f(tape, &x))
}

/// A map, weight and bias of queries, keys and values of two heads, and biases of windows of 2 × 2.
fn window_args(h: usize, w: usize) -> [Tensor; 4] {
    [
        v([2, 4, h, w]),
        v([12, 4]),
        v([12]),
        (v([9, 2]) * 2.0).unwrap(),
    ]
}

/// Attention within windows of 2 × 2 in a residual.
fn windows(a: &[Tensor], shift: usize) -> Result<Tensor> {
    let attention = WindowAttention {
        heads: 2,
        side: 2,
        shift,
        bias: &a[3],
        filling: &a[2],
    };
    on_tape(&a[0], |tape, x| {
        let y = tape.linear(x, &a[1], Some(&a[2]), Activation::Identity)?;
        let y = tape.window_attention(&y, &attention)?;
        tape.add(x, &y, None)
    })
}

/// Convolution, norm and relu of [`norm_args`] on a tape.
fn normed(tape: &mut Tape, x: &Map, a: &[Tensor]) -> Result<Map> {
    let norm = Norm {
        gamma: &a[2],
        beta: &a[3],
        eps: 1e-3,
        statistics: Statistics::Batch,
    };
    let (y, _) = tape.conv_norm(x, &a[1], params(1, 1, 1, 1), &norm, Activation::Relu)?;
    Ok(y)
}

/// x, weight, gamma and beta of a convolution, then weight and bias of two pointwise ones.
fn squeeze_args() -> Vec<Tensor> {
    let mut args = norm_args().to_vec();
    args.extend([v([3, 4, 1, 1]), v([3]), v([4, 3, 1, 1]), v([4])]);
    args
}

/// Squeeze-and-excitation behind a norm of the batch, beside the map itself.
fn squeeze(a: &[Tensor], gate: Activation) -> Result<Tensor> {
    on_tape(&a[0], |tape, x| {
        let y = normed(tape, x, a)?;
        let p = Conv2dParams::default();
        let s = tape.global_avg_pool(&y)?;
        let s = tape.conv(&s, &a[4], Some(&a[5]), p, Activation::Silu)?;
        let s = tape.conv(&s, &a[6], Some(&a[7]), p, gate)?;
        let z = tape.scale_channels(y.clone(), &s)?;
        tape.add(&z, &y, None)
    })
}

#[test]
fn every_row_of_the_table_has_the_gradient_of_central_differences() {
    let mut failed = Vec::new();
    for (name, row) in TABLE {
        match row() {
            Ok(error) if error < TOLERANCE => {}
            Ok(error) => failed.push(format!("{name}: off by {error:.1e}")),
            Err(e) => failed.push(format!("{name}: {e}")),
        }
    }
    println!("{} rows", TABLE.len());
    assert!(
        failed.is_empty(),
        "{} of {} rows: {failed:#?}",
        failed.len(),
        TABLE.len()
    );
    assert_eq!(TABLE.len(), ROWS);
    let names: std::collections::BTreeSet<_> = TABLE.iter().map(|r| r.0).collect();
    assert_eq!(names.len(), ROWS, "two rows of one name");
}

#[test]
fn the_table_finds_a_gradient_that_is_cut_scaled_or_in_error() {
    let x = [v([2, 3])];
    assert!(check(&x, |a| Ok(a[0].detach())).is_err());
    assert!(check(&x, |a| &a[0] + a[0].detach()).unwrap() > 0.1);
    let scaled = |a: &[Tensor]| (&a[0] * 0.5)? + (&a[0] * 0.5)?.detach();
    assert!(check(&x, scaled).unwrap() > 0.1);
    let planes = [v([1, 1, 4, 4])];
    assert!(check(&planes, |a| a[0].upsample_bilinear2d(8, 8, false)).is_err());
}

/// Values of a shape, the same at every call.
fn v<const N: usize>(shape: [usize; N]) -> Tensor {
    values(
        &shape,
        shape.iter().fold(N as u64, |s, d| s * 31 + *d as u64),
    )
}

/// The error of `f`'s gradients, and of those of x + f(x) where shapes allow: a gradient that is cut inside a residual is not
/// missing, but wrong.
fn check(args: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    let error = gradient_error(args, &f)?;
    if f(args)?.dims() != args[0].dims() {
        return Ok(error);
    }
    let residual = gradient_error(args, &|a| &a[0] + f(a)?)?;
    // Not `max`, which would lose a NaN.
    Ok(if error < residual { residual } else { error })
}

fn params(stride: usize, padding: usize, dilation: usize, groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride: (stride, stride),
        padding: [padding; 4],
        dilation: (dilation, dilation),
        groups,
    }
}

/// A convolution of x = `a[0]` and w = `a[1]`, or the last argument if there are more.
fn conv(
    a: &[Tensor],
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
) -> Result<Tensor> {
    let p = params(stride, padding, dilation, groups);
    conv2d(Tape::new, &a[0], &a[1], None, p, Activation::Identity)
}

fn fixed(channels: usize) -> Result<Statistics> {
    Ok(Statistics::Fixed {
        mean: values(&[channels], 5),
        var: (values(&[channels], 6) + 1.5)?,
    })
}

/// x, w, gamma, beta.
fn norm_args() -> [Tensor; 4] {
    [
        v([3, 3, 4, 5]),
        v([4, 3, 3, 3]),
        (values(&[4], 7) + 2.0).unwrap(),
        (values(&[4], 8) + 2.0).unwrap(),
    ]
}

fn norm(a: &[Tensor], statistics: Statistics, activation: Activation) -> Result<Tensor> {
    let norm = Norm {
        gamma: &a[2],
        beta: &a[3],
        eps: 1e-5,
        statistics,
    };
    Ok(conv2d_norm_act(
        Tape::new,
        &a[0],
        &a[1],
        params(1, 1, 1, 1),
        &norm,
        activation,
    )?
    .0)
}

fn composed_norm(a: &[Tensor], statistics: Statistics, activation: Activation) -> Result<Tensor> {
    let norm = Norm {
        gamma: &a[2],
        beta: &a[3],
        eps: 1e-5,
        statistics,
    };
    Ok(conv2d_norm_act(
        Tape::composed,
        &a[0],
        &a[1],
        params(1, 1, 1, 1),
        &norm,
        activation,
    )?
    .0)
}

fn running_statistics_get_none() -> Result<f64> {
    let args = norm_args();
    let x = Var::from_tensor(&args[0])?;
    let (mean, var) = (
        Var::from_tensor(&values(&[4], 5))?,
        Var::from_tensor(&(values(&[4], 6) + 1.5)?)?,
    );
    let statistics = || Statistics::Fixed {
        mean: mean.as_tensor().clone(),
        var: var.as_tensor().clone(),
    };
    for f in [norm, composed_norm] {
        let mut args = args.to_vec();
        args[0] = x.as_tensor().clone();
        let y = f(&args, statistics(), Activation::Relu)?;
        let grads = y.sum_all()?.backward()?;
        if grads.get(x.as_tensor()).is_none() {
            bail!("the input has no gradient")
        }
        if grads.get(mean.as_tensor()).is_some() || grads.get(var.as_tensor()).is_some() {
            bail!("running statistics have a gradient")
        }
    }
    Ok(0.0)
}

fn first_of_ties() -> Result<f64> {
    let ones = Tensor::ones((1, 1, 4, 4), candle_core::DType::F64, &Device::Cpu)?;
    let (_, grads) = gradients(
        &[ones],
        Some(&Tensor::new(1f64, &Device::Cpu)?.broadcast_as((1, 1, 2, 2))?),
        &|a| max_pool2d(Tape::new, &a[0], [2, 2, 0]),
    )?;
    let mut expected = [0.0; 16];
    for first in [0, 2, 8, 10] {
        expected[first] = 1.0;
    }
    Ok(f64::from(u8::from(flat(&grads[0]) != expected)))
}

fn at_kink(at: f64, kind: Activation) -> Result<f64> {
    let x = Tensor::full(at, (1, 2, 2, 2), &Device::Cpu)?;
    let of = |start| {
        gradients(std::slice::from_ref(&x), None, &|a| {
            activation(start, &a[0], kind)
        })
    };
    let (own, composed) = (of(Tape::new)?.1, of(Tape::composed)?.1);
    Ok(flat(&own[0])
        .iter()
        .chain(&flat(&composed[0]))
        .fold(0.0, |m, g| m + g.abs()))
}

fn far_logits() -> Result<Tensor> {
    let signs = [1.0, -1.0, 1.0, -1.0, -1.0, 1.0f64];
    Tensor::from_vec(signs.map(|s| s * 200.0).to_vec(), (2, 3), &Device::Cpu)
}

fn loss(logits: &Tensor, kind: LossKind) -> Result<Tensor> {
    let loss = HeadLoss {
        class_weights: vec![1.0, 2.5, 0.5],
        smoothing: 0.1,
        counts: vec![90.0, 4.0, 25.0],
        ..HeadLoss::new(kind, 3)
    };
    let batch = logits.dim(0)?;
    let targets = candle_nn::ops::softmax(&values(&[batch, 3], 21), D::Minus1)?;
    let weights: Vec<f64> = (0..batch).map(|i| if i == 2 { 0.0 } else { 1.0 }).collect();
    match loss.loss(logits, &targets, &Tensor::new(weights, &Device::Cpu)?) {
        Ok(Some(loss)) => Ok(loss),
        Ok(None) => bail!("no loss"),
        Err(e) => bail!("{e}"),
    }
}

/// Image, stem, two convolutions, and gamma and beta of each.
fn resnet_args() -> Vec<Tensor> {
    let gamma = |seed| (values(&[3], seed) + 2.0).unwrap();
    let mut args = vec![v([2, 2, 11, 12]), v([3, 2, 7, 7])];
    args.extend([values(&[3, 3, 3, 3], 31), values(&[3, 3, 3, 3], 32)]);
    for seed in 33..36 {
        args.extend([gamma(seed), values(&[3], seed + 10)]);
    }
    args
}

fn resnet(a: &[Tensor]) -> Result<Tensor> {
    let layer = |x: &Tensor, w: &Tensor, i: usize, p, activation| -> Result<Tensor> {
        let norm = Norm {
            gamma: &a[4 + 2 * i],
            beta: &a[5 + 2 * i],
            eps: 1e-5,
            statistics: Statistics::Batch,
        };
        Ok(conv2d_norm_act(Tape::new, x, w, p, &norm, activation)?.0)
    };
    let stem = layer(&a[0], &a[1], 0, params(2, 3, 1, 1), Activation::Relu)?;
    let x = max_pool2d(Tape::new, &stem, [3, 2, 1])?;
    let y = layer(&x, &a[2], 1, params(1, 1, 1, 1), Activation::Relu)?;
    let y = layer(&y, &a[3], 2, params(1, 1, 1, 1), Activation::Identity)?;
    global_avg_pool(
        Tape::new,
        &activation(Tape::new, &(x + y)?, Activation::Relu)?,
    )
}

/// x, expansion, depthwise and projection, gamma and beta of each.
fn inverted_args() -> Vec<Tensor> {
    let mut args = vec![
        v([2, 3, 5, 4]),
        v([6, 3, 1, 1]),
        v([6, 1, 3, 3]),
        v([3, 6, 1, 1]),
    ];
    for (seed, channels) in [(41, 6), (42, 6), (43, 3)] {
        args.push((values(&[channels], seed) + 2.0).unwrap());
        args.push((values(&[channels], seed + 10) + 1.0).unwrap());
    }
    args
}

fn inverted_residual(a: &[Tensor]) -> Result<Tensor> {
    let mut x = a[0].clone();
    let layers = [
        (params(1, 0, 1, 1), Activation::Relu6),
        (params(1, 1, 1, 6), Activation::Relu6),
        (params(1, 0, 1, 1), Activation::Identity),
    ];
    for (i, (p, activation)) in layers.into_iter().enumerate() {
        let norm = Norm {
            gamma: &a[4 + 2 * i],
            beta: &a[5 + 2 * i],
            eps: 1e-3,
            statistics: Statistics::Batch,
        };
        x = conv2d_norm_act(Tape::new, &x, &a[1 + i], p, &norm, activation)?.0;
    }
    &a[0] + scale(&x, vec![2.0, 0.0])?
}

fn vgg(a: &[Tensor]) -> Result<Tensor> {
    let x = conv2d(
        Tape::new,
        &a[0],
        &a[1],
        Some(&a[2]),
        params(1, 1, 1, 1),
        Activation::Relu,
    )?;
    let x = max_pool2d(Tape::new, &x, [2, 2, 0])?;
    linear(&x.flatten_from(1)?, &a[3], Some(&a[4]))
}

/// Weights that are fused or copied when a layer is built have gradients that change nothing: here the result after a step must
/// be lower by the step times the gradient's square.
fn a_step_moves_the_result() -> Result<f64> {
    let args = inverted_args();
    let (before, grads) = gradients(&args, None, &inverted_residual)?;
    let vars = args
        .iter()
        .map(Var::from_tensor)
        .collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let (rate, mut squares) = (1e-7, 0.0);
    for (var, grad) in vars.iter().zip(&grads) {
        squares += flat(grad).iter().map(|g| g * g).sum::<f64>();
        var.set(&(var.as_tensor() - (grad * rate)?)?)?;
    }
    let after = inverted_residual(&tensors)?;
    let weights = flat(&values(before.dims(), 99));
    let moved: f64 = flat(&before)
        .iter()
        .zip(flat(&after))
        .zip(weights)
        .map(|((b, a), w)| (b - a) * w)
        .sum();
    let error = (moved / (rate * squares) - 1.0).abs();
    // The step is not infinitesimal: the second order stays.
    Ok(if error < 1e-3 { 0.0 } else { error })
}
