//! Position embeddings of vision transformers, for another grid of patches.

use crate::error::Result;
use crate::tape::resample_pos_embed;
use crate::tensors::{Shapes, Tensors};

const NAME: &str = "pos_embed";

/// Tokens before the patches (the class token or none) and the side of the square grid, of so many tokens.
fn grid(tokens: usize) -> Option<(usize, usize)> {
    [0, 1].into_iter().find_map(|before| {
        let patches = tokens.checked_sub(before)?;
        (patches.isqrt().pow(2) == patches).then(|| (before, patches.isqrt()))
    })
}

/// Makes the position embedding that of `shapes`: the grid is resampled, and where the network adds no position to its class
/// token, the class token's is added to the token itself.
pub(super) fn fit(tensors: &mut Tensors, shapes: &Shapes) -> Result<()> {
    let (Some(given), Some(expected)) = (tensors.get(NAME).cloned(), shapes.get(NAME)) else {
        return Ok(());
    };
    let (&[1, tokens, width], &[1, new_tokens, new_width]) = (given.dims(), expected.as_slice())
    else {
        return Ok(());
    };
    let (Some((before, side)), Some((new_before, new_side))) = (grid(tokens), grid(new_tokens))
    else {
        return Ok(());
    };
    if width != new_width || before < new_before {
        return Ok(());
    }
    let mut positions = given.clone();
    if before > new_before {
        let Some(token) = tensors.get("cls_token") else {
            return Ok(());
        };
        let token = token.broadcast_add(&given.narrow(1, 0, 1)?)?;
        tensors.insert("cls_token".into(), token);
        positions = given.narrow(1, 1, side * side)?.contiguous()?;
    }
    let positions = resample_pos_embed(&positions, new_before, (side, side), (new_side, new_side))?;
    tensors.insert(NAME.into(), positions);
    Ok(())
}
