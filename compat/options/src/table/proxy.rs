//! `proxy { }`: passed on to drbd-proxy-ctl (spec 10 section 4.8).

use super::{num, text};
use crate::{Check, Era, Kind, OptionRow, Section};

const fn row(name: &'static str, since: Era) -> OptionRow {
    OptionRow::new(name, Section::Proxy, text(510)).since(since)
}

pub(super) static ROWS: &[OptionRow] = &[
    row("memlimit", Era::V82).about("memory that the proxy may use"),
    row("read-loops", Era::V82).about("reads per turn"),
    row("compression", Era::V83).about("compress the stream"),
    row("bwlimit", Era::V84).about("bandwidth limit"),
    OptionRow::new(
        "sndbuf-size",
        Section::Proxy,
        Kind::Number(num(0, 10_485_760, 0, "bytes")),
    )
    .since(Era::V83)
    .check(Check::Always)
    .about("socket send buffer"),
    OptionRow::new(
        "rcvbuf-size",
        Section::Proxy,
        Kind::Number(num(0, 10_485_760, 0, "bytes")),
    )
    .since(Era::V83)
    .check(Check::Always)
    .about("socket receive buffer"),
    row("ping-timeout", Era::V83).about("how long a ping may take"),
];
