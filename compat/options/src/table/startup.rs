//! `startup { }` (spec 10 section 4.2).

use super::num;
use crate::{Check, Era, Kind, OptionRow, Section, SetupCommand as C};

const WAIT: &[C] = &[C::WaitConnect, C::WaitSync];

const fn row(name: &'static str, kind: Kind) -> OptionRow {
    OptionRow::new(name, Section::Startup, kind)
}

pub(super) static ROWS: &[OptionRow] = &[
    row("wfc-timeout", Kind::Number(num(0, 300_000, 0, "seconds")))
        .since(Era::V07)
        .check(Check::Always)
        .taken_by(WAIT)
        .short('t')
        .about("how long to wait for the peer at boot; 0 is for ever")
        .details("Used by `drbdadm wait-connect`, `wait-con-int` and the init script."),
    row(
        "degr-wfc-timeout",
        Kind::Number(num(0, 300_000, 0, "seconds")),
    )
    .since(Era::V07)
    .check(Check::Always)
    .was(&[(Era::V82, num(0, 300_000, 60, "seconds"))])
    .taken_by(WAIT)
    .short('d')
    .about("the same when this node was alone before the reboot"),
    row(
        "outdated-wfc-timeout",
        Kind::Number(num(0, 300_000, 0, "seconds")),
    )
    .since(Era::V83)
    .check(Check::Always)
    .taken_by(WAIT)
    .short('o')
    .about("the same when the peer was outdated"),
    row("wait-after-sb", Kind::Bool { default: false })
        .since(Era::V80)
        .taken_by(WAIT)
        .short('w')
        .about("keep waiting after a split brain")
        .details("Otherwise the wait ends as soon as a split brain is found."),
    row("stacked-timeouts", Kind::Flag)
        .since(Era::V83)
        .about("use the timeouts above for stacked resources, too"),
    row("become-primary-on", Kind::Words)
        .since(Era::V80)
        .about("nodes that become primary at boot, or `both`")
        .details("With `both`, `allow-two-primaries` must be set, too."),
];
