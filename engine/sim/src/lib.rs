//! Two replication cores in a simulated world (design section 6, step 4).
//!
//! * [`world`]: time, events, and the two nodes; what the cores want done is done here.
//!   [`setup`]: the options they run with. [`block`]: data. [`story`]: their log.
//! * [`disk`]: a disk with data and meta-data that survives crashes, torn writes included.
//! * [`net`]: two sockets between two nodes: ordered each, unordered between them, breakable.
//! * [`hostile`]: one core against a peer that lies.
//! * [`model`]: what an application may read back, whatever happened.
//! * [`schedule`]: a random life from one seed, and the verdict at its end.
//! * [`expect`]: log lines with names for generations.
//! * [`pair`]: the world as a test harness for conformance scenarios: no chance, no faults unless
//!   asked for, and a log that can be compared.
//! * [`random`]: all of the world's chance.
//!
//! Everything is a function of the seed: a failure is repeated by its number. The cores are the
//! production code; packets pass through the production codec.
#![forbid(unsafe_code)]

pub mod block;
pub mod disk;
pub mod expect;
pub mod hostile;
pub mod model;
pub mod net;
pub mod pair;
pub mod random;
pub mod schedule;
pub mod setup;
pub mod story;
pub mod world;
