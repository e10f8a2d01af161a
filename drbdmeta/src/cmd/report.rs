//! For a person at a terminal: the line of a dump that was not understood, with the culprit
//! marked. It follows the genuine message, which scripts match.

use std::io::BufRead;

use miette::{GraphicalReportHandler, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use crate::text::parser::DumpError;

/// Longer lines are cut.
const LONGEST_LINE: u64 = 4096;

/// The report, if the error is about a line of the dump.
pub fn of_dump(error: &DumpError, name: &str, dump: impl BufRead) -> Option<String> {
    let DumpError::Unexpected {
        line,
        expected,
        found,
    } = error
    else {
        return None;
    };
    let text = nth_line(dump, *line)?;
    let word = found.to_string();
    let start = text.find(&word).filter(|_| !word.is_empty());
    let span = match start {
        Some(start) => start..start + word.len(),
        None => 0..text.trim_end().len(),
    };
    let diagnostic = MietteDiagnostic::new(format!("line {line} of {name} is not understood"))
        .with_label(LabeledSpan::at(span, expected.trim()))
        .with_help("restore-md reads what dump-md prints; drbdmeta ... verify-dump checks a file");
    let report = Report::from(diagnostic)
        .with_source_code(NamedSource::new(format!("{name}, line {line}"), text));
    let mut rendered = String::new();
    GraphicalReportHandler::new()
        .render_report(&mut rendered, report.as_ref())
        .ok()?;
    Some(rendered)
}

fn nth_line(mut dump: impl BufRead, line: u64) -> Option<String> {
    for _ in 1..line {
        dump.skip_until(b'\n').ok()?;
    }
    let mut bytes = Vec::new();
    dump.take(LONGEST_LINE).read_until(b'\n', &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Format;
    use crate::text::parser::Parser;

    #[test]
    fn the_culprit_is_shown_in_its_line() {
        let dump = "version \"v08\";\nuuid {\n    hash;\n}\n";
        let mut parser = Parser::new(dump.as_bytes());
        parser.version(Format::V08).unwrap();
        let error = parser.head(Format::V08).unwrap_err();
        let report = of_dump(&error, "backup.txt", dump.as_bytes()).unwrap();
        assert!(report.contains("backup.txt, line 3"), "{report}");
        assert!(report.contains("hash;"), "{report}");
        assert!(
            report.contains("a 16-digit hex number expected"),
            "{report}"
        );
    }
}
