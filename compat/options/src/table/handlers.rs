//! `handlers { }`: commands that the engine has run (spec 10 section 4.7, spec 20 section 15).

use super::{old, text};
use crate::{Era, OptionRow, Section};

const fn row(name: &'static str, since: Era, about: &'static str) -> OptionRow {
    OptionRow::new(name, Section::Handlers, text(510))
        .since(since)
        .about(about)
}

pub(super) static ROWS: &[OptionRow] = &[
    row(
        "pri-on-incon-degr",
        Era::V80,
        "primary, and no good data anywhere",
    ),
    row(
        "pri-lost-after-sb",
        Era::V80,
        "this primary lost a split brain and could not be demoted",
    ),
    row(
        "pri-lost",
        Era::V80,
        "this primary should become sync target",
    ),
    row(
        "initial-split-brain",
        Era::V83,
        "split brain detected, before the policies are tried",
    ),
    row("split-brain", Era::V82, "split brain, not solved"),
    row("local-io-error", Era::V80, "the backing device failed"),
    row(
        "fence-peer",
        Era::V80,
        "fence a peer that cannot be reached",
    )
    .spelled(&[old("outdate-peer", Section::Handlers, Era::V80, Era::V82)]),
    row(
        "unfence-peer",
        Era::V84,
        "undo the fencing after the resync",
    ),
    row(
        "before-resync-target",
        Era::V82,
        "about to become sync target; failure drops the connection",
    ),
    row("after-resync-target", Era::V82, "the resync is done"),
    row(
        "before-resync-source",
        Era::V83,
        "about to become sync source; failure drops the connection",
    ),
    row("out-of-sync", Era::V82, "a verification found differences"),
];
