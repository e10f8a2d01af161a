//! `net { }` (spec 10 section 4.4).

use super::{negated, num, old, scaled, text};
use crate::{Check, Choice, Era, Kind, Nest, Number, OptionRow, Scale, Section, SetupCommand as C};

const CONNECT: &[C] = &[C::Connect];
const BOTH: &[C] = &[C::Connect, C::NetOptions];

const fn sent(name: &'static str, kind: Kind, number: u16) -> OptionRow {
    OptionRow::new(name, Section::Net, kind).sent(Nest::NetConf, number, BOTH)
}

const fn checked(name: &'static str, limits: Number, number: u16) -> OptionRow {
    sent(name, Kind::Number(limits), number).check(Check::Always)
}

const fn choice(
    name: &'static str,
    words: &'static [(&'static str, u32)],
    number: u16,
) -> OptionRow {
    sent(
        name,
        Kind::Enum(Choice {
            words,
            default: 0,
            ignore_case: false,
        }),
        number,
    )
}

const fn bool_row(name: &'static str, default: bool, number: u16) -> OptionRow {
    sent(name, Kind::Bool { default }, number)
}

/// Limits of the buffer size up to 8.0.
const OLD_SNDBUF: Number = num(1, 10_000_000, 131_070, "bytes");

pub(super) static ROWS: &[OptionRow] = &[
    OptionRow::new("tentative", Section::CommandLine, Kind::Flag)
        .since(Era::V83)
        .sent(Nest::NetConf, 28, CONNECT)
        .alias(&["dry-run"])
        .short('n')
        .about("only show what the handshake would decide"),
    OptionRow::new("discard-my-data", Section::CommandLine, Kind::Flag)
        .since(Era::V80)
        .sent(Nest::NetConf, 25, CONNECT)
        .short('D')
        .about("in a split brain, throw the own changes away"),
    OptionRow::new("alternate-address", Section::CommandLine, Kind::Address)
        .sent(Nest::NetConf, 35, CONNECT)
        .about("a second own address"),
    OptionRow::new(
        "alternate-peer-address",
        Section::CommandLine,
        Kind::Address,
    )
    .sent(Nest::NetConf, 36, CONNECT)
    .about("a second address of the peer"),
    sent(
        "protocol",
        Kind::Enum(Choice {
            words: &[("A", 1), ("B", 2), ("C", 3)],
            default: 2,
            ignore_case: true,
        }),
        6,
    )
    .since(Era::V07)
    .spelled(&[old("protocol", Section::Resource, Era::V07, Era::V83)])
    .about("when a write counts as done: sent (A), received (B), on both disks (C)")
    .details(
        "`A`: when it is on the local disk and in the send buffer. `B`: when the peer has \
         it in memory. `C`: when it is on both disks.",
    ),
    checked("timeout", num(1, 600, 60, "1/10 seconds"), 8)
        .since(Era::V07)
        .short('t')
        .about("how long the peer may take to answer")
        .details("It must be shorter than `connect-int` and `ping-int`."),
    checked("max-epoch-size", num(1, 20_000, 2048, ""), 15)
        .since(Era::V07)
        .short('e')
        .about("most writes between two barriers"),
    checked("max-buffers", num(32, 131_072, 2048, ""), 14)
        .since(Era::V07)
        .short('b')
        .about("most pages that the receiver uses"),
    sent(
        "unplug-watermark",
        Kind::Number(num(1, 131_072, 128, "")),
        16,
    )
    .since(Era::V07)
    .was(&[(Era::V07, num(16, 131_072, 128, ""))])
    .short('u')
    .about("pending writes at which the receiver kicks its disk"),
    checked("connect-int", num(1, 120, 10, "seconds"), 7)
        .since(Era::V07)
        .short('c')
        .about("pause between attempts to connect"),
    checked("ping-int", num(1, 120, 10, "seconds"), 9)
        .since(Era::V07)
        .short('i')
        .about("idle time before a ping"),
    checked("sndbuf-size", num(0, 10_485_760, 0, "bytes"), 11)
        .since(Era::V07)
        .was(&[
            (Era::V80, OLD_SNDBUF),
            (Era::V82, num(0, 10_485_760, 131_070, "bytes")),
        ])
        .short('S')
        .about("socket send buffer; 0 is automatic"),
    checked("rcvbuf-size", num(0, 10_485_760, 0, "bytes"), 12)
        .since(Era::V83)
        .short('r')
        .about("socket receive buffer; 0 is automatic"),
    checked("ko-count", num(0, 200, 7, ""), 13)
        .since(Era::V07)
        .was(&[(Era::V83, num(0, 200, 0, ""))])
        .short('k')
        .about("timeouts after which a peer that does not progress is given up; 0 is never"),
    bool_row("allow-two-primaries", false, 24)
        .since(Era::V80)
        .short('m')
        .about("both nodes may be primary")
        .details("For cluster file systems and live migration; needs protocol C."),
    sent("cram-hmac-alg", text(63), 2)
        .since(Era::V80)
        .short('a')
        .about("digest with which the nodes authenticate each other")
        .details("For example `sha1`. Without it nobody has to prove anything."),
    sent(
        "shared-secret",
        Kind::Text {
            max: 63,
            secret: true,
        },
        1,
    )
    .since(Era::V80)
    .short('x')
    .about("secret of the authentication"),
    choice(
        "after-sb-0pri",
        &[
            ("disconnect", 0),
            ("discard-younger-primary", 1),
            ("discard-older-primary", 2),
            ("discard-zero-changes", 3),
            ("discard-least-changes", 4),
            ("discard-local", 5),
            ("discard-remote", 6),
        ],
        17,
    )
    .since(Era::V80)
    .short('A')
    .about("split brain, no primary")
    .details(
        "`disconnect`: nobody decides, an administrator has to. `discard-younger-primary`: \
         the side that was primary first wins. `discard-older-primary`: the side that was \
         primary last wins. `discard-zero-changes`: if only one side wrote, that side wins. \
         `discard-least-changes`: the side that wrote more wins. `discard-local`, \
         `discard-remote`: this, or the other, side loses; `discard-node-NAME` names the \
         loser.",
    ),
    choice(
        "after-sb-1pri",
        &[
            ("disconnect", 0),
            ("consensus", 7),
            ("discard-secondary", 8),
            ("call-pri-lost-after-sb", 9),
            ("violently-as0p", 10),
        ],
        18,
    )
    .since(Era::V80)
    .short('B')
    .about("split brain, one primary")
    .details(
        "`disconnect`: an administrator has to decide. `consensus`: what `after-sb-0pri` \
         says, if that makes the secondary lose. `discard-secondary`: the primary wins. \
         `call-pri-lost-after-sb`: what `after-sb-0pri` says; if the primary loses, it runs \
         its handler `pri-lost-after-sb`. `violently-as0p`: what `after-sb-0pri` says, even \
         if the data changes below a primary.",
    ),
    choice(
        "after-sb-2pri",
        &[
            ("disconnect", 0),
            ("call-pri-lost-after-sb", 9),
            ("violently-as0p", 10),
        ],
        19,
    )
    .since(Era::V80)
    .short('C')
    .about("split brain, two primaries")
    .details(
        "`disconnect`: an administrator has to decide. `call-pri-lost-after-sb`: what \
         `after-sb-0pri` says; the loser runs its handler `pri-lost-after-sb`, which has to \
         make it secondary, usually by a reboot. `violently-as0p`: what `after-sb-0pri` \
         says, even if the data changes below a primary.",
    ),
    bool_row("always-asbp", false, 27)
        .since(Era::V80)
        .short('P')
        .about("apply the split brain policies to unrelated data, too"),
    choice(
        "rr-conflict",
        &[("disconnect", 0), ("call-pri-lost", 9), ("violently", 10)],
        20,
    )
    .since(Era::V80)
    .short('R')
    .about("resync direction contradicts the roles")
    .details(
        "`disconnect`: no connection. `call-pri-lost`: the primary runs its handler \
         `pri-lost`. `violently`: the resync runs, and data changes below a primary.",
    ),
    sent(
        "ping-timeout",
        Kind::Number(num(1, 300, 5, "1/10 seconds")),
        10,
    )
    .since(Era::V80)
    .was(&[(Era::V82, num(1, 100, 5, "1/10 seconds"))])
    .short('p')
    .about("how long a ping may take"),
    sent("data-integrity-alg", text(63), 3)
        .since(Era::V82)
        .short('d')
        .about("digest that guards data on the wire")
        .details("It costs time; for finding broken hardware."),
    bool_row("tcp-cork", true, 26)
        .since(Era::V82)
        .spelled(&[negated("no-tcp-cork", Section::Net, Era::V82)])
        .short('o')
        .about("let TCP gather small packets"),
    choice(
        "on-congestion",
        &[("block", 0), ("pull-ahead", 1), ("disconnect", 2)],
        21,
    )
    .since(Era::V83)
    .short('g')
    .about("what to do when the send queue is full")
    .details(
        "`block`: writes wait. `pull-ahead`: blocks are marked as out of sync instead of \
         being sent, and resynchronised later; only with protocol A. `disconnect`: the \
         connection is given up.",
    ),
    checked(
        "congestion-fill",
        scaled(Scale::Sectors, 0, 20_971_520, 0, "bytes"),
        22,
    )
    .since(Era::V83)
    .short('f')
    .about("data in flight that counts as congestion; 0 is off"),
    checked("congestion-extents", num(67, 65_534, 1237, ""), 23)
        .since(Era::V83)
        .was(&[(Era::V83, num(7, 3833, 127, ""))])
        .short('h')
        .about("active extents that count as congestion"),
    sent("csums-alg", text(63), 5)
        .since(Era::V83)
        .spelled(&[old("csums-alg", Section::Syncer, Era::V83, Era::V83)])
        .short('C')
        .about("digest by which a resync skips equal blocks"),
    bool_row("csums-after-crash-only", false, 33)
        .about("use csums-alg only after a crash of the primary"),
    sent("verify-alg", text(63), 4)
        .since(Era::V82)
        .spelled(&[old("verify-alg", Section::Syncer, Era::V82, Era::V83)])
        .short('v')
        .about("digest of the online verification")
        .details("Without it `drbdadm verify` is refused."),
    bool_row("use-rle", true, 29)
        .since(Era::V83)
        .default_was(&[(Era::V83, "no")])
        .spelled(&[old("use-rle", Section::Syncer, Era::V83, Era::V83)])
        .short('R')
        .about("compress the bitmap exchange"),
    sent("socket-check-timeout", Kind::Number(num(0, 300, 0, "")), 34)
        .about("how long a new connection may take to prove itself"),
    OptionRow::new(
        "on-disconnect",
        Section::Net,
        Kind::Enum(Choice {
            words: &[("reconnect", 0), ("stand_alone", 1), ("freeze_io", 2)],
            default: 0,
            ignore_case: false,
        }),
    )
    .since(Era::V07)
    .until(Era::V07)
    .short('d')
    .about("what to do when the connection is lost; today it is always tried again")
    .details(
        "`reconnect`: try again. `stand_alone`: do not. `freeze_io`: stop all requests. \
         Only the first has an equivalent today.",
    ),
];
