//! Whether weights are numbers that a network can work with.

use super::named::Tensors;
use crate::error::{Error, Result};
use candle_core::{CpuStorage, Storage, Tensor};

/// Numbers of a tensor that are not finite, and below 0; without a copy of it.
fn count(tensor: &Tensor) -> Result<(usize, usize)> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => &values[from..to],
        _ => return Ok((0, 0)),
    };
    let add = |(infinite, negative), v: &f32| {
        (
            infinite + usize::from(!v.is_finite()),
            negative + usize::from(*v < 0.0),
        )
    };
    Ok(values.iter().fold((0, 0), add))
}

/// Refuses weights that are not finite, and variances below 0: whatever a network with such says is worth nothing.
///
/// # Errors
/// [`Error::Checkpoint`] naming the first such tensor, and how many there are.
pub(crate) fn check_values(tensors: &Tensors, origin: &str) -> Result<()> {
    let mut wrong = Vec::new();
    for (name, tensor) in tensors {
        let (infinite, negative) = count(tensor)?;
        let of = tensor.elem_count();
        if infinite > 0 {
            wrong.push(format!(
                "tensor `{name}` has {infinite} of {of} values that are not finite numbers"
            ));
        } else if negative > 0 && name.ends_with("running_var") {
            wrong.push(format!(
                "tensor `{name}` has {negative} of {of} variances below 0"
            ));
        }
    }
    let more = match wrong.len() {
        0 => return Ok(()),
        1 => String::new(),
        n => format!(", and {} tensors more have such values", n - 1),
    };
    Err(Error::Checkpoint {
        origin: origin.into(),
        problem: format!(
            "{}{more}; expected finite weights; did the training diverge?",
            wrong[0]
        ),
        source: None,
    })
}
