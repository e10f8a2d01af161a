//! `options { }` and statements of the resource itself (spec 10 section 4.5, 3.5).

use super::{old, text};
use crate::{Choice, Era, Kind, Nest, OptionRow, Section, SetupCommand as C};

const BOTH: &[C] = &[C::NewResource, C::ResourceOptions];

pub(super) static ROWS: &[OptionRow] = &[
    OptionRow::new("cpu-mask", Section::Options, text(31))
        .since(Era::V82)
        .spelled(&[old("cpu-mask", Section::Syncer, Era::V82, Era::V83)])
        .sent(Nest::ResourceOpts, 1, BOTH)
        .short('c')
        .about("CPUs on which the threads of the resource may run, hexadecimal"),
    OptionRow::new(
        "on-no-data-accessible",
        Section::Options,
        Kind::Enum(Choice {
            words: &[("io-error", 0), ("suspend-io", 1)],
            default: 0,
            ignore_case: false,
        }),
    )
    .since(Era::V83)
    .spelled(&[old(
        "on-no-data-accessible",
        Section::Syncer,
        Era::V83,
        Era::V83,
    )])
    .sent(Nest::ResourceOpts, 2, BOTH)
    .short('n')
    .about("what requests get when neither side has usable data")
    .details("`io-error`: an error. `suspend-io`: they wait until data is there again."),
    OptionRow::new("incon-degr-cmd", Section::Resource, text(80))
        .since(Era::V07)
        .until(Era::V07)
        .about("run when becoming primary degraded and inconsistent; today pri-on-incon-degr")
        .details("A statement of the resource; it is read as that handler."),
];
