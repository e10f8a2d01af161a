//! The demonstration itself.

/// Runs the demonstration.
pub fn run() {}
