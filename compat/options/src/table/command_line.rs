//! Options that only `drbdsetup` has (spec 30 sections 2.3 and 2.4).

use super::{num, scaled};
use crate::{Choice, Era, Kind, Nest, OptionRow, Scale, Section, SetupCommand as C};

const fn row(name: &'static str, kind: Kind) -> OptionRow {
    OptionRow::new(name, Section::CommandLine, kind)
}

const SECTORS: Kind = Kind::Number(scaled(Scale::Sectors, 0, 1 << 41, 0, "bytes"));

pub(super) static ROWS: &[OptionRow] = &[
    row("set-defaults", Kind::Flag)
        .since(Era::V80)
        .taken_by(&[C::ResourceOptions, C::DiskOptions, C::NetOptions])
        .about("first set every option to its default"),
    row("force", Kind::Flag)
        .since(Era::V80)
        .sent(Nest::SetRoleParms, 1, &[C::Primary])
        .alias(&["overwrite-data-of-peer"])
        .short('f')
        .about("become primary with data that is not known to be good"),
    row("force", Kind::Flag)
        .since(Era::V83)
        .sent(Nest::DetachParms, 1, &[C::Detach])
        .short('f')
        .about("do not wait for the backing device"),
    row("force", Kind::Flag)
        .since(Era::V83)
        .sent(Nest::DisconnectParms, 1, &[C::Disconnect])
        .short('F')
        .about("do not ask the peer"),
    row("clear-bitmap", Kind::Flag)
        .since(Era::V82)
        .sent(Nest::NewCUuidParms, 1, &[C::NewCurrentUuid])
        .short('c')
        .about("forget what is out of sync: skips the initial resync"),
    row("size", SECTORS)
        .since(Era::V07)
        .sent(Nest::ResizeParms, 1, &[C::Resize])
        .short('s')
        .about("new size; 0 is all of the backing device"),
    row("assume-peer-has-space", Kind::Flag)
        .since(Era::V83)
        .sent(Nest::ResizeParms, 2, &[C::Resize])
        .short('f')
        .about("do not ask the peer for its size"),
    row("assume-clean", Kind::Flag)
        .since(Era::V83)
        .sent(Nest::ResizeParms, 3, &[C::Resize])
        .short('c')
        .about("do not resync the new space"),
    row("al-stripes", Kind::Number(num(1, 1024, 1, "")))
        .sent(Nest::ResizeParms, 4, &[C::Resize])
        .about("stripes of the activity log"),
    row(
        "al-stripe-size-kB",
        Kind::Number(scaled(Scale::Kib, 4, 16_777_216, 32, "")),
    )
    .sent(Nest::ResizeParms, 5, &[C::Resize])
    .about("size of a stripe of the activity log"),
    row("start", SECTORS)
        .since(Era::V83)
        .sent(Nest::StartOvParms, 1, &[C::Verify])
        .short('s')
        .about("where to begin"),
    row("stop", SECTORS)
        .since(Era::V83)
        .sent(Nest::StartOvParms, 2, &[C::Verify])
        .short('S')
        .about("where to end"),
    row("show-defaults", Kind::Flag)
        .taken_by(&[C::Show])
        .about("also show options that have their default value"),
    row("verbose", Kind::Flag)
        .taken_by(&[C::Status])
        .about("more detail"),
    row("statistics", Kind::Flag)
        .taken_by(&[C::Status, C::Events2])
        .about("counters, too"),
    row(
        "color",
        Kind::Enum(Choice {
            words: &[("always", 0), ("never", 1), ("auto", 2)],
            default: 2,
            ignore_case: false,
        }),
    )
    .taken_by(&[C::Status])
    .about("colour the states")
    .details("`always`, `never`, or `auto`: on a terminal."),
    row("timestamps", Kind::Flag)
        .taken_by(&[C::Events2])
        .about("begin each line with the time"),
    row("now", Kind::Flag)
        .taken_by(&[C::Events2])
        .about("show the present state and end"),
];
