//! Audits of labels, the health of a data set, and their pages.

mod audit;
mod health;
mod label;
mod noise;
mod page;
