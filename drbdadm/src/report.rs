//! What a terminal is shown besides the genuine messages: the marked place, and advice.

use std::{fmt, io::IsTerminal as _};

use compat::config::{Diagnostic, Further, Severity, Source};
use miette::{GraphicalReportHandler, LabeledSpan, NamedSource};

/// Whether somebody looks at stderr. Scripts only get the genuine lines.
pub fn is_wanted() -> bool {
    std::io::stderr().is_terminal()
}

/// Shows the reports of all remarks that have a place.
pub fn show(diagnostics: &[Diagnostic], sources: &[Source]) {
    for diagnostic in diagnostics {
        let source = diagnostic.label.as_ref().map(|l| sources.get(l.source.0));
        if let Some(source) = source.flatten() {
            show_one(diagnostic, source);
        }
    }
}

/// Shows what else is wrong behind the error that ended the reading.
pub fn show_further(further: &[Further]) {
    for Further { diagnostic, source } in further {
        show_one(diagnostic, source);
    }
}

fn show_one(diagnostic: &Diagnostic, source: &Source) {
    if let Some(text) = render(diagnostic, source) {
        crate::run::complain(&text);
    }
}

/// The report of one remark.
fn render(diagnostic: &Diagnostic, source: &Source) -> Option<String> {
    let label = diagnostic.label.as_ref()?;
    let report = Report {
        diagnostic,
        source: NamedSource::new(&source.shown, source.text.to_string()),
        label: LabeledSpan::new(Some(label.text.clone()), label.offset, label.length.max(1)),
    };
    let mut text = String::new();
    GraphicalReportHandler::new()
        .render_report(&mut text, &report)
        .ok()?;
    Some(text)
}

#[derive(Debug)]
struct Report<'d> {
    diagnostic: &'d Diagnostic,
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.text.replace("\n\t", " "))
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        let help = self.diagnostic.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compat::config::{About, Label, SourceId};

    #[test]
    fn a_report_shows_the_line_and_the_advice() {
        let source = Source {
            shown: "r0.res".into(),
            file: "/etc/drbd.d/r0.res".into(),
            text: "resource r0 {\n  net { alow-two-primaries; }\n}\n".into(),
        };
        let diagnostic = Diagnostic {
            text: "r0.res:2: Parse error: 'an option keyword' expected,\n\tbut got 'alow'".into(),
            severity: Severity::Error,
            about: About::Word,
            label: Some(Label {
                source: SourceId(0),
                offset: 22,
                length: 18,
                text: "not expected here".into(),
            }),
            help: Some("did you mean `allow-two-primaries`?".into()),
        };
        let text = render(&diagnostic, &source).expect("a report");
        assert!(text.contains("alow-two-primaries; }") && text.contains("did you mean"));
    }
}
