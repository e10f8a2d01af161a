//! The rows, one file a section.

mod command_line;
mod disk;
mod global;
mod handlers;
mod net;
mod proxy;
mod resource;
mod startup;

use crate::{Era, Form, Kind, Number, OptionRow, Scale, Section, Spelling};

/// Every row, grouped by section; within a group in the order of the genuine tables.
pub static ALL: &[&[OptionRow]] = &[
    global::ROWS,
    resource::ROWS,
    startup::ROWS,
    disk::ROWS,
    net::ROWS,
    handlers::ROWS,
    proxy::ROWS,
    command_line::ROWS,
];

const fn num(min: i64, max: i64, default: i64, unit: &'static str) -> Number {
    scaled(Scale::One, min, max, default, unit)
}

const fn scaled(scale: Scale, min: i64, max: i64, default: i64, unit: &'static str) -> Number {
    Number {
        scale,
        min,
        max,
        default,
        unit,
    }
}

const fn text(max: usize) -> Kind {
    Kind::Text { max, secret: false }
}

const fn old(name: &'static str, section: Section, from: Era, to: Era) -> Spelling {
    Spelling {
        name,
        section,
        from,
        to,
        form: Form::Same,
    }
}

const fn negated(name: &'static str, section: Section, from: Era) -> Spelling {
    Spelling {
        name,
        section,
        from,
        to: Era::V83,
        form: Form::Negated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Section, SetupCommand, find, of_command};

    #[test]
    fn no_section_knows_a_word_twice() {
        let mut seen = Vec::new();
        for row in ALL.iter().flat_map(|t| t.iter()) {
            if row.section != Section::CommandLine {
                seen.push((row.section, row.name));
            }
            seen.extend(row.older.iter().map(|s| (s.section, s.name)));
        }
        let total = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), total);
    }

    #[test]
    fn no_attribute_belongs_to_two_options() {
        let mut seen: Vec<_> = ALL
            .iter()
            .flat_map(|t| t.iter())
            .filter_map(|r| r.attribute.map(|a| (a.nest as u16, a.number)))
            .collect();
        let total = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), total);
    }

    #[test]
    fn every_default_lies_within_its_limits() {
        for row in ALL.iter().flat_map(|t| t.iter()) {
            for era in Era::ALL {
                if let Some(n) = row.limits(era) {
                    // A default of 0 may mean "not set" where 0 itself cannot be written.
                    let ok = n.default == 0 || (n.min..=n.max).contains(&n.default);
                    assert!(ok, "{} in {era}", row.name);
                }
            }
        }
    }

    /// Order as in the usage text of drbdsetup-84, spec 30 section 2.7.
    #[test]
    fn attach_takes_its_options_in_the_order_of_the_genuine_usage() {
        let names: Vec<_> = of_command(SetupCommand::Attach).map(|r| r.name).collect();
        assert_eq!(
            names.join(" "),
            "size max-bio-bvecs on-io-error fencing disk-barrier disk-flushes disk-drain \
             md-flushes resync-rate resync-after al-extents al-updates discard-zeroes-if-aligned \
             disable-write-same c-plan-ahead c-delay-target c-fill-target c-max-rate c-min-rate \
             disk-timeout read-balancing rs-discard-granularity"
        );
    }

    /// Spec 20 section 3.2.
    #[test]
    fn connect_takes_its_options_in_the_order_of_the_genuine_usage() {
        let names: Vec<_> = of_command(SetupCommand::Connect).map(|r| r.name).collect();
        assert_eq!(
            names.join(" "),
            "tentative discard-my-data alternate-address alternate-peer-address protocol timeout \
             max-epoch-size max-buffers unplug-watermark connect-int ping-int sndbuf-size \
             rcvbuf-size ko-count allow-two-primaries cram-hmac-alg shared-secret after-sb-0pri \
             after-sb-1pri after-sb-2pri always-asbp rr-conflict ping-timeout data-integrity-alg \
             tcp-cork on-congestion congestion-fill congestion-extents csums-alg \
             csums-after-crash-only verify-alg use-rle socket-check-timeout"
        );
    }

    #[test]
    fn an_old_spelling_leads_to_the_modern_option() {
        let rate = find(Section::Syncer, "rate").unwrap().row;
        assert_eq!((rate.name, rate.section), ("resync-rate", Section::Disk));
        assert_eq!(rate.spelling(Era::V83).unwrap().name, "rate");
        assert_eq!(rate.spelling(Era::V84).unwrap().name, "resync-rate");
        let barrier = find(Section::Disk, "no-disk-barrier").unwrap();
        assert_eq!(
            (barrier.row.name, barrier.form),
            ("disk-barrier", Form::Negated)
        );
        assert!(find(Section::Syncer, "resync-rate").is_none());
        assert_eq!(rate.limits(Era::V07).unwrap().max, 700_000);
    }
}
