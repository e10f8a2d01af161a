//! `global { }` (spec 10 section 4.1).

use super::num;
use crate::{Check, Choice, Era, Kind, OptionRow, Section};

const fn row(name: &'static str, kind: Kind) -> OptionRow {
    OptionRow::new(name, Section::Global, kind)
}

pub(super) static ROWS: &[OptionRow] = &[
    row("disable-ip-verification", Kind::Flag)
        .since(Era::V07)
        .about("do not check that the own address exists on this host"),
    row("minor-count", Kind::Number(num(1, 255, 0, "")))
        .since(Era::V07)
        .check(Check::Always)
        .about("how many devices the module is to prepare")
        .details("Only for scripts that ask `drbdadm sh-mod-parms`: the engine has no such limit."),
    row("dialog-refresh", Kind::Number(num(0, 600, 1, "seconds")))
        .since(Era::V07)
        .check(Check::Always)
        .about("how often the wait dialog is redrawn"),
    row(
        "usage-count",
        Kind::Enum(Choice {
            words: &[("yes", 0), ("no", 1), ("ask", 2)],
            default: 2,
            ignore_case: false,
        }),
    )
    .since(Era::V80)
    .about("accepted and ignored: nothing is ever reported to anyone")
    .details("`yes`, `no` and `ask` are all accepted for the sake of old files."),
    row("cmd-timeout-short", Kind::Number(num(0, 900, 5, "seconds")))
        .check(Check::Always)
        .about("time limit of quick drbdsetup calls; 0 is none"),
    row(
        "cmd-timeout-medium",
        Kind::Number(num(0, 900, 121, "seconds")),
    )
    .check(Check::Always)
    .about("time limit of attach, detach, primary, down; 0 is none")
    .details("Where nothing is written 600 is in effect, as with the genuine programs."),
    row(
        "cmd-timeout-long",
        Kind::Number(num(0, 900, 600, "seconds")),
    )
    .check(Check::Always)
    .about("time limit of meta-data commands and handlers; 0 is none")
    .details("Where nothing is written there is no limit, as with the genuine programs."),
    row("udev-always-use-vnr", Kind::Flag)
        .about("sh-udev names the volume of resources without volume sections, too"),
    row("disable-io-hints", Kind::Flag)
        .since(Era::V07)
        .until(Era::V07)
        .about("no effect"),
];
