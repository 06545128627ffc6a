//! Scaled dot-product attention (Vaswani et al. 2017), softmax(scale · Q·Kᵀ)·V, as one operator.
//!
//! A task is one head of one image. Its scores are made a block of queries at a time and never leave the cache; backward keeps two
//! numbers a query (the greatest score and the inverse of the sum) and makes the probabilities again, the very same ones, as in
//! FlashAttention (Dao et al. 2022): with P the probabilities and dP = dO·Vᵀ, dV = Pᵀ·dO, dS = P ∘ (dP − rows' Σ P∘dP),
//! dQ = scale · dS·K, dK = scale · dSᵀ·Q. Heads are read and written where they lie, by strides: nothing is transposed.

use super::fallback;
use super::heads::{Grid, Sizes, Source, Target, backward, forward};
use super::shared::{fill, lock, tensor, typed, typed_storage, values, with_values};
use super::simd::Real;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};
use std::sync::Mutex;

/// softmax(scale · q·kᵀ)·v for each head, without a mask. `scale` is 1/√dim as a rule.
///
/// # Shapes
/// `q`, `k`, `v` `(batch, heads, tokens, dim)`; the result has the same shape.
///
/// # Errors
/// If shapes do not fit or an axis is empty, or the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    if !q.device().is_cpu() {
        return fallback::attention(q, k, v, scale);
    }
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let op = Attention::new(scale);
    if q.track_op() || k.track_op() || v.track_op() {
        q.apply_op3(&k, &v, op)
    } else {
        q.apply_op3_no_bwd(&k, &v, &op)
    }
}

/// [`attention`] from one projection to queries, keys and values, in timm's order: the last axis of `qkv` is
/// `(3, heads, dim)`. The result's last axis is `(heads, dim)`, ready for the next projection.
///
/// # Shapes
/// `qkv` `(batch, tokens, 3 · heads · dim)`; result `(batch, tokens, heads · dim)`.
///
/// # Errors
/// As [`attention`].
pub fn attention_qkv(qkv: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    if !qkv.device().is_cpu() {
        return fallback::attention_qkv(qkv, heads, scale);
    }
    let qkv = qkv.contiguous()?;
    let op = Packed {
        heads,
        attention: Attention::new(scale),
    };
    if qkv.track_op() {
        qkv.apply_op1(op)
    } else {
        qkv.apply_op1_no_bwd(&op)
    }
}

struct Attention {
    scale: f64,
    /// `(queries of all heads, 2)`: the greatest scaled score and the inverse of the sum.
    notes: Mutex<Option<Tensor>>,
}

impl Attention {
    fn new(scale: f64) -> Self {
        Self {
            scale,
            notes: Mutex::new(None),
        }
    }

    /// The result, heads lying as `grid` says.
    fn fwd<T: Real>(&self, s: Sizes, sources: [Source<T>; 3], grid: Grid) -> Result<Vec<T>> {
        let (out, notes) = forward(s, T::from_f64(self.scale), sources, grid);
        let queries = notes.len() / 2;
        *lock(&self.notes) = Some(tensor(notes, &[queries, 2])?);
        Ok(out)
    }

    /// N buffers of `len` values with the gradients of queries, keys and values, which lie as `targets` says: (buffer, grid).
    fn back<T: Real, const N: usize>(
        &self,
        s: Sizes,
        sources: [Source<T>; 3],
        d_out: Source<T>,
        len: usize,
        targets: [(usize, Grid); 3],
    ) -> Result<[Vec<T>; N]> {
        let notes = lock(&self.notes);
        let Some(notes) = &*notes else {
            bail!("attention: backward without forward")
        };
        with_values(notes, |notes| {
            // SAFETY: the grids of all three parts together cover the buffers, each value once, and `backward` writes all heads.
            Ok(unsafe {
                fill([len; N], |buffers| {
                    let targets = targets.map(|(buffer, grid)| Target(buffers[buffer], grid));
                    backward(s, T::from_f64(self.scale), sources, notes, d_out, targets);
                })
            })
        })
    }
}

/// `(batch, heads, tokens, dim)`, none of them 0.
fn sizes(dims: [usize; 4]) -> Result<Sizes> {
    let [batch, heads, tokens, dim] = dims;
    if dims.contains(&0) {
        bail!("attention: expected no empty axis in (batch, heads, tokens, dim), found {dims:?}")
    }
    Ok(Sizes {
        batch,
        heads,
        tokens,
        dim,
    })
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl Attention {
    fn gradients<T: Real>(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        let s = sizes(q.dims4()?.into())?;
        let grid = Grid::apart(s);
        let [dq, dk, dv] = with_values(q, |q| {
            with_values(k, |k| {
                with_values(v, |v| {
                    with_values(dy, |dy: &[T]| {
                        let sources = [q, k, v].map(|t| Source(t, grid));
                        let targets = [0, 1, 2].map(|buffer| (buffer, grid));
                        self.back(s, sources, Source(dy, grid), s.elements(), targets)
                    })
                })
            })
        })?;
        let of = |argument: &Tensor, gradient| {
            let tracked = argument.track_op();
            tracked
                .then(|| tensor(gradient, argument.dims()))
                .transpose()
        };
        Ok((of(q, dq)?, of(k, dk)?, of(v, dv)?))
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "hydranet-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = q_layout.dims();
        let (true, true, &[batch, heads, tokens, dim]) =
            (k_layout.dims() == dims, v_layout.dims() == dims, dims)
        else {
            bail!(
                "attention: expected three tensors (batch, heads, tokens, dim), found {dims:?}, {:?} and {:?}",
                k_layout.dims(),
                v_layout.dims()
            )
        };
        let s = sizes([batch, heads, tokens, dim])?;
        let grid = Grid::apart(s);
        let storage = typed_storage!("attention", q, T => self.fwd::<T>(
            s,
            [
                Source(values(q, q_layout)?, grid),
                Source(values(k, k_layout)?, grid),
                Source(values(v, v_layout)?, grid),
            ],
            grid,
        )?);
        Ok((storage, q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        typed!("attention", q, T => self.gradients::<T>(q, k, v, dy))
    }
}

/// Attention from one tensor of queries, keys and values.
struct Packed {
    heads: usize,
    attention: Attention,
}

impl Packed {
    fn sizes(&self, dims: &[usize]) -> Result<Sizes> {
        match *dims {
            [batch, tokens, width] if self.heads > 0 && width % (3 * self.heads) == 0 => {
                sizes([batch, self.heads, tokens, width / 3 / self.heads])
            }
            _ => bail!(
                "attention: expected (batch, tokens, 3 · heads · dim) with {} heads, found {dims:?}",
                self.heads
            ),
        }
    }

    fn gradient<T: Real>(&self, qkv: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let s = self.sizes(qkv.dims())?;
        let grids = [0, 1, 2].map(|part| Grid::packed(s, 3, part));
        let [d_qkv] = with_values(qkv, |qkv: &[T]| {
            with_values(dy, |dy| {
                let sources = grids.map(|grid| Source(qkv, grid));
                let dy = Source(dy, Grid::packed(s, 1, 0));
                let targets = grids.map(|grid| (0, grid));
                self.attention
                    .back(s, sources, dy, 3 * s.elements(), targets)
            })
        })?;
        tensor(d_qkv, qkv.dims())
    }
}

impl CustomOp1 for Packed {
    fn name(&self) -> &'static str {
        "hydranet-attention-qkv"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let s = self.sizes(layout.dims())?;
        let grids = [0, 1, 2].map(|part| Grid::packed(s, 3, part));
        let storage = typed_storage!("attention", qkv, T => {
            let qkv = values::<T>(qkv, layout)?;
            let sources = grids.map(|grid| Source(qkv, grid));
            self.attention.fwd(s, sources, Grid::packed(s, 1, 0))?
        });
        let shape = Shape::from_dims(&[s.batch, s.tokens, s.heads * s.dim]);
        Ok((storage, shape))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("attention", qkv, T => self.gradient::<T>(qkv, dy).map(Some))
    }
}
