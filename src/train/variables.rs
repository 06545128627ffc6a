//! See the module list in `train`.
