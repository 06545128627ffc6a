//! What people look at: the pages of a run, of an audit and of health, with one look, one stylesheet and one script; figures, and
//! what of a photo a model goes by.

pub mod audit;
pub(crate) mod figure;
pub(crate) mod figure_page;
pub(crate) mod heat;
mod page;
pub(crate) mod run;
pub(crate) mod sheet;
mod thumbs;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/report/mod.rs"]
mod tests;
