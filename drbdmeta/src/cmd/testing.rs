//! A disk in memory that records what a command does to it, for the tests of crashes, of round
//! trips and of hostile images. Sparse: disks of any size cost what is written to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drbd_types::ByteCount;

use super::args;
use super::console::{Console, Respondent};
use super::opening::Devices;
use super::session::{Environment, Session};
use crate::device::{Caching, Claim, Kind, Medium, OpenError};

const PAGE: u64 = 4096;
const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// The bytes of a disk; pages that were never written read as zeros.
#[derive(Clone)]
pub struct Image {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE as usize]>>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} pages used", self.size, self.pages.len())
    }
}

impl Image {
    pub fn new(size: u64) -> Self {
        Self {
            size,
            pages: BTreeMap::new(),
        }
    }

    pub fn size(&self) -> ByteCount {
        ByteCount(self.size)
    }

    pub fn resize(&mut self, size: u64) {
        assert!(size >= self.size, "disks only grow here");
        self.size = size;
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        assert!(at + bytes.len() as u64 <= self.size, "write beyond the end");
        let mut rest = bytes;
        let mut at = at;
        while !rest.is_empty() {
            let inside = (at % PAGE) as usize;
            let count = rest.len().min(PAGE as usize - inside);
            let (now, later) = rest.split_at(count);
            let page = self
                .pages
                .entry(at / PAGE)
                .or_insert_with(|| Arc::new(ZEROS));
            Arc::make_mut(page)[inside..inside + count].copy_from_slice(now);
            at += count as u64;
            rest = later;
        }
    }

    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let first = at / PAGE;
        let last = (at + length as u64).div_ceil(PAGE);
        for (&number, page) in self.pages.range(first..last) {
            for (i, byte) in page.iter().enumerate() {
                let position = number * PAGE + i as u64;
                if position >= at && position - at < length as u64 {
                    bytes[(position - at) as usize] = *byte;
                }
            }
        }
        bytes
    }

    pub fn block(&self, at: u64) -> [u8; PAGE as usize] {
        self.read(at, PAGE as usize).try_into().expect("4096 bytes")
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        let missing = Arc::new(ZEROS);
        let covered = |a: &Self, b: &Self| {
            a.pages
                .iter()
                .all(|(number, page)| page == b.pages.get(number).unwrap_or(&missing))
        };
        self.size == other.size && covered(self, other) && covered(other, self)
    }
}

/// What a command did to its device.
#[derive(Clone, Debug)]
pub enum Step {
    Write { at: u64, bytes: Vec<u8> },
    Flush,
}

/// A disk in memory that remembers every step.
#[derive(Clone)]
struct Disk {
    image: Arc<Mutex<Image>>,
    steps: Arc<Mutex<Vec<Step>>>,
    kind: Kind,
}

/// A panic of a writing thread is told by the test, not by the next one to come.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Medium for Disk {
    fn size(&self) -> ByteCount {
        lock(&self.image).size()
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn descriptor(&self) -> i32 {
        3
    }
    fn lock(&self, _: Claim) -> io::Result<()> {
        Ok(())
    }
    fn read_up_to(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<usize> {
        let image = lock(&self.image);
        let left = usize::try_from(image.size.saturating_sub(at.0)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        buffer[..count].copy_from_slice(&image.read(at.0, count));
        Ok(count)
    }
    fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()> {
        lock(&self.image).write(at.0, bytes);
        lock(&self.steps).push(Step::Write {
            at: at.0,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }
    fn zero_out(&self, at: ByteCount, length: ByteCount) -> io::Result<()> {
        self.write_at(at, &vec![0; length.0 as usize])
    }
    fn flush(&self) -> io::Result<()> {
        lock(&self.steps).push(Step::Flush);
        Ok(())
    }
}

impl Devices for Disk {
    fn open(&mut self, _: &Path, _: Claim, _: Caching) -> Result<Box<dyn Medium>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

/// A stream whose content stays readable.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub status: u8,
    pub stdout: String,
    /// What was said on stderr, the last words of a failure included.
    pub stderr: String,
    pub image: Image,
    pub steps: Vec<Step>,
}

/// Runs a command on an image, with `--force`; `line` starts with the format.
pub fn run(image: &Image, line: &str, state: &Path) -> Outcome {
    let words: Vec<String> = format!("--force 0 {line}")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let env = Environment {
        program: "drbdmeta".to_owned(),
        state_dir: state.to_owned(),
        lock_dir: PathBuf::new(),
    };
    let parsed = args::parse("drbdmeta", &words).expect("a line of a test");
    let verbosity = parsed.options.verbosity;
    let call = super::resolve(&env, parsed).expect("a line of a test");
    let disk = Disk {
        image: Arc::new(Mutex::new(image.clone())),
        steps: Arc::default(),
        kind: match line.starts_with("v06") {
            true => Kind::RegularFile,
            false => Kind::BlockDevice,
        },
    };
    let (out, err) = (Paper::default(), Paper::default());
    let con = Console::new(
        Box::new(out.clone()),
        Box::new(err.clone()),
        Respondent::Forced,
        verbosity,
    );
    let mut session = Session {
        con,
        call,
        env,
        devices: Box::new(disk.clone()),
    };
    let (status, last_words) = match super::dispatch(&mut session) {
        Ok(status) => (status, String::new()),
        Err(failure) => (failure.status, failure.text),
    };
    drop(session);
    Outcome {
        status,
        stdout: out.text(),
        stderr: err.text() + &last_words,
        image: lock(&disk.image).clone(),
        steps: lock(&disk.steps).clone(),
    }
}
