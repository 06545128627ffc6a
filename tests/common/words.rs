//! Errors that users read.

use hydranet::Error;

/// The value; or that the error is one of hydranet's own, in words.
pub fn named<T>(outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(Error::Candle(e)) => panic!("candle's own error: {e}"),
        Err(e) => {
            assert!(format!("{e:#}").len() > 10, "{e:?}");
            None
        }
    }
}
