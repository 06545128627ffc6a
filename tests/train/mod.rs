//! Training: the loop, what is trained, mixing, balancing, resuming.

mod balancing;
mod features;
mod fine_tuning;
mod golden_balancing;
mod groups;
mod hostile;
mod library;
mod mixing;
mod multi_label;
mod numbers;
mod own;
mod private;
mod ranks;
mod soup;
mod teacher;
mod tensorboard;
mod train;
mod trust_resume;
mod trust_runs;
mod whole_batch;
