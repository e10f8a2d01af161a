//! Waiting for a condition, never for an amount of time.

use std::time::{Duration, Instant};

use crate::hosts::Error;

/// How long a condition rests between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it gives a value; after `limit` fails with `what` and the last thing that
/// `probe` said instead.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= deadline => {
                return Err(Error::TimedOut {
                    what: what.to_owned(),
                    limit,
                    seen,
                });
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
