//! The learning rate's course: linear warm-up, then a half cosine (Loshchilov and Hutter 2017).

/// Factor of the peak learning rate at `step` (from 0) of `steps`: rises linearly over the first `warm_up · steps` steps, then
/// falls along half a cosine to `end`.
///
/// `warm_up` and `end` are shares from 0 to 1.
pub fn factor(step: usize, steps: usize, warm_up: f64, end: f64) -> f64 {
    let rise = (warm_up * steps as f64).round();
    let at = step as f64;
    if at < rise {
        return (at + 1.0) / rise;
    }
    let fall = (steps as f64 - rise).max(1.0);
    let done = ((at - rise) / fall).min(1.0);
    end + (1.0 - end) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}
