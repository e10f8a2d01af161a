//! Two hosts on one machine, and the demonstration that `drbdd demo` gives on them.
//!
//! * [`hosts`]: makes a [`hosts::Network`] and [`hosts::Host`]s on it out of Linux namespaces; each
//!   has its own name, `/etc`, `/dev`, `/run`, disks and processes, so that an unchanged
//!   `/etc/drbd.conf` with the same `/dev/drbd1` and `/dev/sdb1` on both sides works.
//! * [`f2`]: the installation that the demonstration and the two-host tests use, unchanged.
//! * [`status`]: `/proc/drbd` as a person reads it.
//! * [`wait`]: waiting for a condition with a deadline, the only way to wait for anything here.
//! * [`scenario`]: what an administrator does on the first day, from `create-md` to the failover.
//!
//! The crate knows the programs only by their command lines: it drives `drbdadm`, the init script
//! and the live `proc/drbd`, as a user would. The test bed drives the same hosts.
#![forbid(unsafe_code)]

pub mod f2;
pub mod hosts;
pub mod scenario;
pub mod status;
pub mod wait;

pub use scenario::run;
