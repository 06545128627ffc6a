//! Attention keeps no matrix of scores: what it takes grows as the tokens do, not as their square.
#![cfg(target_os = "linux")]

use crate::alone;
use crate::common::differences::values;
use crate::common::on_tape::attention_qkv;
use candle_core::{DType, Var};
use hydranet::tape::Tape;

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

#[test]
fn attention_over_many_tokens_holds_no_matrix_of_scores() {
    let _alone = alone();
    let tokens = 8192;
    let qkv = values(&[1, tokens, 3 * 32], 1);
    let qkv = Var::from_tensor(&qkv.to_dtype(DType::F32).unwrap()).unwrap();
    // The greatest memory so far counts from now on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let y = attention_qkv(Tape::new, &qkv, 1, 1.0).unwrap();
    y.sum_all().unwrap().backward().unwrap();
    let taken = status("VmHWM").saturating_sub(before);
    let scores = (tokens * tokens * 4) as u64;
    assert!(
        taken < scores / 4,
        "{taken} bytes, the scores being {scores}"
    );
}
