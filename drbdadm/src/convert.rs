//! `drbdadm convert [--to 8.4] [--diff]`: the files of an older series in the words of 8.4.

use compat::{config::Node, convert::convert};
use similar::TextDiff;

use crate::{
    app::End,
    cli::Invocation,
    command::Command,
    load,
    run::{complain, print},
};

/// Shows every file that was read in its new form, or what changes.
pub(crate) fn run(command: &Command, invocation: &Invocation, name: String) -> Result<i32, End> {
    let node = Node {
        name,
        ..Node::default()
    };
    let loaded = load::read(command, invocation, &node)?;
    for diagnostic in &loaded.diagnostics {
        complain(&diagnostic.text);
    }
    if let Err(abort) = loaded.end {
        return Err(End(i32::from(abort.0)));
    }
    let several = loaded.sources.len() > 1;
    for source in &loaded.sources {
        let converted = convert(&source.text);
        if invocation.diff {
            let diff = TextDiff::from_lines(&*source.text, converted.text.as_str());
            let new = format!("{} (8.4)", source.file);
            print(&diff.unified_diff().header(&source.file, &new).to_string());
        } else {
            if several {
                print(&format!("# {}\n", source.file));
            }
            print(&converted.text);
        }
        for note in &converted.notes {
            complain(&format!(
                "{}:{}: left out: {} ({})",
                source.shown, note.line, note.what, note.why
            ));
        }
    }
    Ok(0)
}
