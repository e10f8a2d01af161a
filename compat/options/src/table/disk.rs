//! `disk { }`, and what moved there from `syncer { }` (spec 10 sections 4.3 and 4.6).

use super::{negated, num, old, scaled};
use crate::{
    Check, Choice, Era, Kind, Nest, Number, OptionRow, Scale, Section, SetupCommand as C, Spelling,
};

const ATTACH: &[C] = &[C::Attach];
const BOTH: &[C] = &[C::Attach, C::DiskOptions];

const fn row(name: &'static str, kind: Kind) -> OptionRow {
    OptionRow::new(name, Section::Disk, kind)
}

const fn sent(name: &'static str, kind: Kind, number: u16) -> OptionRow {
    row(name, kind).sent(Nest::DiskConf, number, BOTH)
}

const fn bool_row(name: &'static str, default: bool, number: u16) -> OptionRow {
    sent(name, Kind::Bool { default }, number)
}

const fn choice(words: &'static [(&'static str, u32)], default: usize) -> Kind {
    Kind::Enum(Choice {
        words,
        default,
        ignore_case: false,
    })
}

const fn controller(
    name: &'static str,
    number: Number,
    attribute: u16,
    older: &'static [Spelling],
) -> OptionRow {
    sent(name, Kind::Number(number), attribute)
        .since(Era::V83)
        .check(Check::Always)
        .spelled(older)
}

/// Largest `size` of the series that count it in KiB.
const OLD_MAX_KIB: i64 = (128 * 1024 * 2 - 72) * 512 * 64 / 2;

pub(super) static ROWS: &[OptionRow] = &[
    row(
        "size",
        Kind::Number(scaled(Scale::Sectors, 0, 1 << 41, 0, "bytes")),
    )
    .since(Era::V07)
    .check(Check::Always)
    .was(&[
        (Era::V80, scaled(Scale::Kib, 0, OLD_MAX_KIB, 0, "bytes")),
        (Era::V82, scaled(Scale::Sectors, 0, 1 << 34, 0, "bytes")),
        (Era::V83, scaled(Scale::Sectors, 0, 1 << 35, 0, "bytes")),
    ])
    .sent(Nest::DiskConf, 4, ATTACH)
    .short('d')
    .about("use only this much of the backing device; 0 is all")
    .details(
        "A number without unit counted KiB up to 8.2.6, and counts sectors of 512 bytes \
         since.",
    ),
    row("max-bio-bvecs", Kind::Number(num(0, 128, 0, "")))
        .since(Era::V82)
        .sent(Nest::DiskConf, 5, ATTACH)
        .short('s')
        .about("limit of segments a request to the backing device has"),
    sent(
        "on-io-error",
        choice(
            &[("pass_on", 0), ("call-local-io-error", 1), ("detach", 2)],
            2,
        ),
        6,
    )
    .since(Era::V07)
    .default_was(&[(Era::V83, "pass_on")])
    .short('e')
    .about("what to do when the backing device fails")
    .details(
        "`pass_on`: the block is marked as out of sync and the peer is asked instead; the \
         application gets an error only if the peer cannot help. `call-local-io-error`: the \
         handler `local-io-error` is run. `detach`: the backing device is given up, and the \
         peer's is used. 0.7 also had `panic`; it is read as `call-local-io-error` with a \
         handler that halts the node.",
    ),
    sent(
        "fencing",
        choice(
            &[
                ("dont-care", 0),
                ("resource-only", 1),
                ("resource-and-stonith", 2),
            ],
            0,
        ),
        7,
    )
    .since(Era::V80)
    .short('f')
    .about("what to do about a peer that cannot be reached")
    .details(
        "`dont-care`: nothing. `resource-only`: a primary that loses its peer runs the \
         handler `fence-peer`, which makes sure that the peer cannot become primary with \
         outdated data. `resource-and-stonith`: the same, and all requests wait until the \
         handler has answered.",
    ),
    bool_row("disk-barrier", false, 16)
        .since(Era::V82)
        .default_was(&[(Era::V83, "yes")])
        .spelled(&[negated("no-disk-barrier", Section::Disk, Era::V82)])
        .short('a')
        .about("order writes with barriers")
        .details(
            "The first method of `disk-barrier`, `disk-flushes`, `disk-drain` that is on and \
         that the device supports keeps the order of writes.",
        ),
    bool_row("disk-flushes", true, 17)
        .since(Era::V82)
        .spelled(&[negated("no-disk-flushes", Section::Disk, Era::V82)])
        .short('i')
        .about("order writes with flushes of the backing device")
        .details("Turn it off only for a controller whose cache survives a loss of power."),
    bool_row("disk-drain", true, 18)
        .since(Era::V82)
        .spelled(&[negated("no-disk-drain", Section::Disk, Era::V82)])
        .short('D')
        .about("order writes by waiting for them")
        .details("With all three methods off the order of writes is not kept: data can be lost."),
    bool_row("md-flushes", true, 19)
        .since(Era::V82)
        .spelled(&[negated("no-md-flushes", Section::Disk, Era::V82)])
        .short('m')
        .about("flush meta-data writes")
        .details("Turn it off only for a controller whose cache survives a loss of power."),
    sent(
        "resync-rate",
        Kind::Number(scaled(Scale::Kib, 1, 4_194_304, 250, "bytes/second")),
        8,
    )
    .since(Era::V07)
    .check(Check::Always)
    .was(&[(
        Era::V80,
        scaled(Scale::Kib, 1, 700_000, 250, "bytes/second"),
    )])
    .spelled(&[
        old("rate", Section::Syncer, Era::V07, Era::V83),
        old("rate", Section::Disk, Era::V84, Era::V83),
    ])
    .short('r')
    .about("speed of the resync when the controller is off, and its start value")
    .details("With `c-plan-ahead 0` it is the speed all the time."),
    sent(
        "resync-after",
        Kind::MinorOfResource(num(-1, 1_048_575, -1, "")),
        9,
    )
    .since(Era::V80)
    .was(&[(Era::V83, num(-1, 255, -1, ""))])
    .spelled(&[
        old("after", Section::Syncer, Era::V80, Era::V83),
        old("after", Section::Disk, Era::V84, Era::V83),
    ])
    .short('a')
    .about("do not resync before that resource has finished")
    .details("Written as `NAME` or `NAME/VOLUME`; for disks that share a spindle."),
    sent("al-extents", Kind::Number(num(67, 65_534, 1237, "")), 10)
        .since(Era::V07)
        .check(Check::UntilV83)
        .was(&[(Era::V83, num(7, 3833, 127, ""))])
        .spelled(&[old("al-extents", Section::Syncer, Era::V07, Era::V83)])
        .short('e')
        .about("size of the activity log, in extents of 4 MiB")
        .details(
            "A larger log means fewer meta-data writes, and a longer resync after a crash of \
         the primary.",
        ),
    bool_row("al-updates", true, 23)
        .about("keep the activity log up to date on disk")
        .details("Without it a crash of the primary means a full resync."),
    bool_row("discard-zeroes-if-aligned", true, 24).about("trust aligned discards to leave zeroes"),
    bool_row("disable-write-same", false, 26).about("do not use WRITE SAME"),
    controller(
        "c-plan-ahead",
        num(0, 300, 20, "1/10 seconds"),
        11,
        &[old("c-plan-ahead", Section::Syncer, Era::V83, Era::V83)],
    )
    .was(&[(Era::V83, num(0, 300, 0, "1/10 seconds"))])
    .short('p')
    .about("how far the resync controller plans ahead; 0 is a fixed rate")
    .details("It should be several times the round trip time of the network."),
    controller(
        "c-delay-target",
        num(1, 100, 10, "1/10 seconds"),
        12,
        &[old("c-delay-target", Section::Syncer, Era::V83, Era::V83)],
    )
    .short('d')
    .about("round trip that the controller aims at when c-fill-target is 0"),
    controller(
        "c-fill-target",
        scaled(Scale::Sectors, 0, 1_048_576, 100, "bytes"),
        13,
        &[old("c-fill-target", Section::Syncer, Era::V83, Era::V83)],
    )
    .was(&[(Era::V83, scaled(Scale::Sectors, 0, 1_048_576, 0, "bytes"))])
    .short('s')
    .about("resync data in flight that the controller aims at"),
    controller(
        "c-max-rate",
        scaled(Scale::Kib, 250, 4_194_304, 102_400, "bytes/second"),
        14,
        &[old("c-max-rate", Section::Syncer, Era::V83, Era::V83)],
    )
    .short('M')
    .about("highest resync speed"),
    controller(
        "c-min-rate",
        scaled(Scale::Kib, 0, 4_194_304, 250, "bytes/second"),
        15,
        &[old("c-min-rate", Section::Syncer, Era::V83, Era::V83)],
    )
    .was(&[(
        Era::V83,
        scaled(Scale::Kib, 0, 4_194_304, 4096, "bytes/second"),
    )])
    .short('m')
    .about("resync speed that application writes may not push it below"),
    sent(
        "disk-timeout",
        Kind::Number(num(0, 6000, 0, "1/10 seconds")),
        20,
    )
    .since(Era::V83)
    .short('t')
    .about("how long the backing device may take for a request; 0 is for ever")
    .details(
        "A device that takes longer is treated as failed. Dangerous: a request that \
         completes after that may overwrite newer data.",
    ),
    sent(
        "read-balancing",
        choice(
            &[
                ("prefer-local", 0),
                ("prefer-remote", 1),
                ("round-robin", 2),
                ("least-pending", 3),
                ("when-congested-remote", 4),
                ("32K-striping", 5),
                ("64K-striping", 6),
                ("128K-striping", 7),
                ("256K-striping", 8),
                ("512K-striping", 9),
                ("1M-striping", 10),
            ],
            0,
        ),
        21,
    )
    .about("which side serves reads")
    .details(
        "`prefer-local` and `prefer-remote` always choose that side. `round-robin` \
         alternates. `least-pending` takes the side with fewer unfinished requests. \
         `when-congested-remote` asks the peer when the own device is busy. `32K-striping`, \
         `64K-striping`, `128K-striping`, `256K-striping`, `512K-striping` and \
         `1M-striping` choose by the address.",
    ),
    sent(
        "rs-discard-granularity",
        Kind::Number(num(0, 1_048_576, 0, "")),
        25,
    )
    .about("size of discards that a resync uses for zeroes; 0 is none"),
    row("use-bmbv", Kind::Bool { default: false })
        .since(Era::V80)
        .until(Era::V83)
        .short('b')
        .about("obsolete; no effect"),
    OptionRow::new("group", Section::Syncer, Kind::Number(num(0, 1000, 0, "")))
        .since(Era::V07)
        .until(Era::V07)
        .check(Check::Always)
        .short('g')
        .about("resync lower groups first; today resync-after")
        .details("Groups are read as a `resync-after` chain."),
    OptionRow::new(
        "delay-probe-volume",
        Section::Syncer,
        Kind::Number(num(0, 0, 0, "")),
    )
    .since(Era::V83)
    .until(Era::V83)
    .about("obsolete; read and dropped"),
    OptionRow::new(
        "delay-probe-interval",
        Section::Syncer,
        Kind::Number(num(0, 0, 0, "")),
    )
    .since(Era::V83)
    .until(Era::V83)
    .about("obsolete; read and dropped"),
    OptionRow::new(
        "throttle-threshold",
        Section::Syncer,
        Kind::Number(num(0, 0, 0, "")),
    )
    .since(Era::V83)
    .until(Era::V83)
    .about("obsolete; read and dropped"),
    OptionRow::new(
        "hold-off-threshold",
        Section::Syncer,
        Kind::Number(num(0, 0, 0, "")),
    )
    .since(Era::V83)
    .until(Era::V83)
    .about("obsolete; read and dropped"),
];
