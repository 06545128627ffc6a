//! Parts of a batch that are computed while their process speaks to others.
//!
//! Only the main thread may speak to other processes. So each part has a thread of its own, and they take turns: one computes at a
//! time, with all threads of the pool. Where batch norm takes the statistics of the whole batch, a part computes up to the norm,
//! hands over what it has, and waits; once all own parts have, the main thread sums over all processes, in the fixed tree, and
//! gives each the result. And the gradients of variables go out in buckets while the last part's backward pass still runs.
//!
//! What all processes say together is a [`Round`](super::ranks::Round), and the order of rounds follows from the network alone; a
//! process without parts follows the others.

mod early;
mod hook;
mod service;
mod shared;
mod turns;

pub(super) use early::Order;
pub(super) use service::Service;
pub(super) use turns::Turns;
