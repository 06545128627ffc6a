//! A network in eight bits, for prediction: what was written down of its tape, with what its maps hold as bytes.
//!
//! A [`Plan`] says which steps become one, which maps there are between them, or what of the network is not computed so. An
//! [`Observed`] finds on photos between which values each map lies; with a [`Scale`] for each of the plan's maps it becomes a
//! [`Program`].

mod histogram;
mod observe;
mod plan;
mod program;

pub use hydranet_kernels::int8::{Path, Scale, by_row};
pub use observe::Observed;
pub(crate) use observe::Observer;
pub use plan::{Mapped, Plan};
pub use program::Program;
