//! Pretrained weights: from files of any origin, and from the Hub.

mod hub;
mod hub_push;
mod strangers;
mod weights;
