//! The test bed: what the tests of the whole product share.
//!
//! * [`programs`]: where the built programs and the genuine ones are.
//! * [`node`]: a node of F2, ours or the kernel's; [`scenario`]: what is done with a pair of them.
//! * [`kernel_peer`]: a genuine kernel node on the same network.
//! * [`capture`]: the traffic between the nodes, and tshark's judgement of it.
//! * [`compliance`]: command lines and what the genuine programs answer.
//! * [`vm`]: the QEMU machine, for ublk.
//! * [`repository`]: the project as data, for the tests of its own form.
//!
//! Tests are in `tests/`, one file a subject; they need root and the oracle and fail without.
#![forbid(unsafe_code)]

pub mod capture;
pub mod compliance;
pub mod kernel_peer;
pub mod node;
pub mod programs;
pub mod repository;
pub mod scenario;
pub mod vm;
