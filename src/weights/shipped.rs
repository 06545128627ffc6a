//! The weights that travel inside the program (feature `shipped`), so that a training can start anywhere.

/// Files by their names; licence and origin stand in `weights/README.md` and `weights/NOTICE`.
pub(crate) const SHIPPED: &[(&str, &[u8])] = &[(
    "tf_efficientnet_lite0.in1k.safetensors",
    include_bytes!("../../weights/tf_efficientnet_lite0.in1k.safetensors"),
)];
