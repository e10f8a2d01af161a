//! What the nodes and the world tell, line by line.

use std::fmt;

use drbd_core::effect::Scope;

/// A line of the story of both nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Nanoseconds since the beginning.
    pub at: u64,
    /// Whose line it is.
    pub node: usize,
    /// About the whole resource or about the volume; `None` for what the world itself tells.
    pub scope: Option<Scope>,
    /// The text.
    pub text: String,
}

impl Line {
    /// As the conformance scenarios write it: `0: text` of a volume, `r0: text` of a resource.
    pub fn shortened(&self) -> String {
        match self.scope {
            Some(Scope::Volume(..)) => format!("{}: {}", self.node, self.text),
            _ => format!("r{}: {}", self.node, self.text),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} {}", self.at as f64 / 1e9, self.shortened())
    }
}
