//! Tokens to model: the statements of spec 10 section 3, with the genuine refusals.
//!
//! * [`top`]: the file itself, `global`, `skip`, `include`.
//! * [`resource`]: `resource` and `common`.
//! * [`host`]: `on`, `floating`, `stacked-on-top-of` and what they share.
//! * [`volume`]: `device`, `disk`, `meta-disk`, `volume`.
//! * [`address`]: `address`, `proxy on`.
//! * [`options`]: option sections.
//! * [`legacy`]: what only 0.7 wrote.

mod address;
mod host;
mod legacy;
mod options;
mod resource;
mod top;
mod volume;

pub use top::check_name;
