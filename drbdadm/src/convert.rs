//! `drbdadm convert [--to 8.4] [--diff]`: the files of an older series in the words of 8.4.

use compat::{
    config::Node,
    convert::{Context, convert},
};
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
    let context = Context::of(&loaded.config);
    let several = loaded.sources.len() > 1;
    for source in &loaded.sources {
        let converted = convert(&source.text, &context);
        if invocation.diff {
            print(&unified(&source.file, &source.text, &converted.text));
        } else {
            if several {
                print(&format!("# {}\n", source.file));
            }
            print(&converted.text);
        }
        for note in &converted.notes {
            complain(&format!("{}:{}: {note}", source.shown, note.line));
        }
    }
    Ok(0)
}

/// The changes of a file, with names as `patch -d / -p1` takes them; it ignores what follows a tab.
fn unified(file: &str, old: &str, new: &str) -> String {
    let name = file.trim_start_matches('/');
    let diff = TextDiff::from_lines(old, new);
    let headers = (format!("a/{name}"), format!("b/{name}\t8.4"));
    diff.unified_diff()
        .header(&headers.0, &headers.1)
        .to_string()
}
