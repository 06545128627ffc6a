//! Labels, final classes, heads and their losses.

mod combine;
mod groups;
mod head;
mod loss_kinds;
mod losses;
mod multi_label;
mod numbers;
mod ordered;
mod own;
mod private;
mod rows;
mod taxonomy;
