//! Reading configurations: text to [`model`](crate::model), with the refusals of the genuine
//! programs.
//!
//! Data flow: [`load`] reads the main file; `lexer` cuts text into `token`s with the pest grammar
//! `lexical.pest`; `parser` walks over them with a `cursor` and lowers each statement into the
//! model, calling `files` for `include`; what must be unique and what is wrong collects in a
//! `session`; `bind` finds this node's host sections. The result is [`Loaded`]. `recovery` looks for
//! what else is wrong behind the error that ended it, for a person at a terminal.
//!
//! A file is first read exactly as drbdadm of 8.4 reads it. Only if that fails it is read again
//! with everything that older series allowed, so that tolerance can never change what a modern
//! file means or which error it gets.

mod advice;
mod bind;
mod cursor;
mod devices;
mod diagnostic;
mod dialect07;
mod files;
mod glob;
pub(crate) mod lexer;
mod names;
mod node;
mod parser;
mod recovery;
mod session;
mod storage;
pub(crate) mod token;

use std::{collections::HashMap, io, path::Path, rc::Rc, sync::Arc};

use crate::model::{Config, Dialect};

pub use diagnostic::{Abort, About, Diagnostic, Label, Severity, Source, SourceId};
pub(crate) use dialect07::{HALT, predecessors};
pub use files::encode;
pub(crate) use files::foreign;
pub use names::{NamedResource, resource_names};
pub use node::{Identity, LocalAddresses, Node};
pub use parser::check_name;
pub use recovery::{Further, further_errors};
pub use storage::{Disk, Memory, Storage};

use files::File;
use session::{Evidence, Mode, Session, Uniqueness};

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A file, under the name that messages show.
    Path(&'a str),
    /// Standard input.
    Stdin(&'a [u8]),
}

/// Where each name that may be used only once was used: file and line, by name. Many short keys, and
/// the standard library's hash would take an eighth of the time of a large dump.
pub type FirstUses = foldhash::HashMap<String, (Arc<str>, u32)>;

/// A configuration that was read, or why not.
#[derive(Debug)]
pub struct Loaded {
    /// What was understood; complete only if `end` is `Ok`.
    pub config: Config,
    /// Everything that is to be said, in order.
    pub diagnostics: Vec<Diagnostic>,
    /// What the genuine programs do not say: only for a person at a terminal.
    pub advice: Vec<Diagnostic>,
    /// What [`further_errors`] found, for those who ask it.
    pub further: Vec<Further>,
    /// The files.
    pub sources: Vec<Source>,
    /// `Err` if the program must end with this status after printing the diagnostics.
    pub end: Result<(), Abort>,
    /// Something was wrong after parsing: fatal for commands that work on resources.
    pub invalid: bool,
    /// Where addresses (`ADDR:PORT`) and other names were used first.
    pub first_uses: FirstUses,
}

/// Reads a configuration, and on top of it a second file (`-t`), for this node.
pub fn load(input: Input<'_>, on_top: Option<&str>, node: &Node) -> io::Result<Loaded> {
    load_from(&(Rc::new(Disk) as Rc<dyn Storage>), input, on_top, node)
}

/// As [`load`], with the files of another storage.
pub fn load_from(
    storage: &Rc<dyn Storage>,
    input: Input<'_>,
    on_top: Option<&str>,
    node: &Node,
) -> io::Result<Loaded> {
    let main = open(&**storage, input)?;
    let extra = on_top.map(|name| open(&**storage, Input::Path(name)));
    let extra = extra.transpose()?;
    let attempt = |mode| attempt(storage, mode, &main, extra.as_ref(), node, HashMap::new());
    let strict = attempt(Mode::Strict);
    if strict.loaded.end.is_ok() {
        return Ok(strict.loaded);
    }
    let tolerant = attempt(Mode::Tolerant);
    let is_older = tolerant.evidence.older_8 && !tolerant.evidence.lenient;
    let accepted = match tolerant.loaded.config.dialect {
        Dialect::V07 => true,
        Dialect::V8 => is_older && tolerant.loaded.end.is_ok(),
    };
    Ok(if accepted { tolerant } else { strict }.loaded)
}

/// Reads the output of `drbdsetup show RES`; `None` if it does not describe a resource.
pub fn load_running(name: &str, output: &[u8]) -> Option<Config> {
    let mut session = Session::new(Rc::new(Disk), Mode::Tolerant, Uniqueness::Ignored);
    let shown: Arc<str> = Arc::from(name);
    let file = File {
        shown: Arc::clone(&shown),
        file: shown,
        text: Arc::from(files::decode(output.to_vec())),
    };
    files::parse(&mut session, file, 0).ok()?;
    let node = Node::default();
    bind::bind(&mut session, &node).ok()?;
    let complete = !session.config.resources.is_empty();
    complete.then_some(session.config)
}

fn open(storage: &dyn Storage, input: Input<'_>) -> io::Result<File> {
    Ok(match input {
        Input::Path(name) => File {
            shown: Arc::from(name),
            file: Arc::from(files::absolute(storage, Path::new(name))),
            text: files::read(storage, Path::new(name))?,
        },
        Input::Stdin(bytes) => File {
            shown: Arc::from("STDIN"),
            file: Arc::from("STDIN"),
            text: Arc::from(files::decode(bytes.to_vec())),
        },
    })
}

/// One reading, and what it had to tolerate.
struct Attempt {
    loaded: Loaded,
    evidence: Evidence,
}

/// `instead` holds texts to read in place of those of the files.
fn attempt(
    storage: &Rc<dyn Storage>,
    mode: Mode,
    main: &File,
    extra: Option<&File>,
    node: &Node,
    instead: HashMap<Arc<str>, Arc<str>>,
) -> Attempt {
    let mut session = Session::new(Rc::clone(storage), mode, Uniqueness::Checked);
    session.instead = instead;
    session.config.file = main.file.to_string();
    let end = run(&mut session, main, extra, node);
    let evidence = session.evidence;
    let loaded = Loaded {
        end,
        invalid: session.invalid,
        config: std::mem::take(&mut session.config),
        diagnostics: std::mem::take(&mut session.diagnostics),
        advice: std::mem::take(&mut session.advice),
        further: Vec::new(),
        sources: std::mem::take(&mut session.sources),
        first_uses: session.into_names(),
    };
    Attempt { loaded, evidence }
}

fn run(session: &mut Session, main: &File, extra: Option<&File>, node: &Node) -> Result<(), Abort> {
    if let Some(real) = session.storage.real(Path::new(&*main.file)) {
        session.seen.insert(real);
    }
    files::parse(session, main.clone(), 0)?;
    if let Some(extra) = extra {
        // Genuine: the line counter is not reset between the two.
        let base = session.last_line - 1;
        files::parse(session, extra.clone(), base)?;
    }
    if session.invalid {
        return Err(Abort::INVALID);
    }
    bind::bind(session, node)?;
    if session.config.dialect == Dialect::V07 {
        dialect07::adapt(&mut session.config);
    }
    Ok(())
}
