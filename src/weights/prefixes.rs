//! What training programs put before every name.

use crate::tensors::Tensors;

/// Of the module that holds the network: `DataParallel`'s, Lightning's, `torch.compile`'s.
const WRAPPERS: [&str; 7] = [
    "module.",
    "model.",
    "_orig_mod.",
    "state_dict.",
    "network.",
    "net.",
    "backbone.",
];

/// Of a mean over the training's steps, kept beside the weights of the last one and better than they.
const MEANS: [&str; 4] = ["ema.", "model_ema.", "ema_model.", "module_ema."];

/// The tensors without such prefixes, as often as they are repeated. Of a mean and the weights it was taken of, the mean stays. A
/// wrapper's prefix goes if most names have it; names without it stay as they are.
pub(super) fn strip(mut tensors: Tensors) -> Tensors {
    loop {
        let having = |prefix: &str| tensors.keys().filter(|n| n.starts_with(prefix)).count();
        // A mean has a tensor for each of the weights: about half of the names or more.
        if let Some(mean) = MEANS
            .into_iter()
            .find(|m| 3 * having(m) >= tensors.len().max(1))
        {
            tensors = tensors
                .into_iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(mean)?.to_string(), t)))
                .collect();
            continue;
        }
        let most = |prefix: &&str| 2 * having(prefix) > tensors.len();
        let Some(wrapper) = WRAPPERS.into_iter().find(most) else {
            return tensors;
        };
        let bare = |(name, t): (String, _)| match name.strip_prefix(wrapper) {
            Some(rest) => (rest.to_string(), t),
            None => (name, t),
        };
        tensors = tensors.into_iter().map(bare).collect();
    }
}
