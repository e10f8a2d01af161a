//! Indented text in the columns of a dump (spec 10 section 7.1).

use std::fmt::Write as _;

use crate::model::Volume;

use super::text::quote;

/// Text with an indentation that follows the braces.
#[derive(Default)]
pub(super) struct Writer {
    pub text: String,
    level: usize,
}

impl Writer {
    pub fn line(&mut self, line: &str) {
        for _ in 0..self.level {
            self.text.push_str("    ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub fn open(&mut self, header: &str) {
        self.line(&format!("{header} {{"));
        self.level += 1;
    }

    pub fn close(&mut self) {
        self.level -= 1;
        self.line("}");
    }

    /// Ends a block of the top level.
    pub fn close_with_gap(&mut self) {
        self.close();
        self.text.push('\n');
    }

    /// A name and a value in columns; values are at least three wide.
    pub fn aligned(&mut self, name: &str, value: &str) {
        let width = 24_usize.saturating_sub(4 * self.level);
        self.line(&format!("{name:<width$} {value:>3};"));
    }

    /// A name and a text behind column 16, whatever the level.
    pub fn fixed(&mut self, name: &str, text: &str) {
        self.line(&format!("{name:<16} {text};"));
    }

    /// Name and minor of a volume's device.
    pub fn device(&mut self, volume: &Volume) {
        let blanks = 19_usize.saturating_sub(4 * self.level);
        let mut line = format!("device{:blanks$}", "");
        if let Some(name) = &volume.device {
            let _ = write!(line, "{} ", quote(name));
        }
        let _ = write!(line, "minor {};", volume.minor.unwrap_or_default());
        self.line(&line);
    }
}
