//! A disk in memory that records what a command does to it, for the tests of crashes and of
//! hostile images.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use drbd_types::SectorCount;
use drbd_types::{ByteCount, MdFlags};

use super::args;
use super::console::{Console, Respondent};
use super::opening::Devices;
use super::session::{Environment, Session};
use crate::activity_log::{FREE, SlotUpdate, Transaction, fresh_ring};
use crate::device::{Caching, Claim, Kind, Medium, OpenError};
use crate::layout::{Areas, Layout, Placement, Striping};
use crate::superblock::{MagicKind, Superblock};

pub const SIZE: u64 = 2 << 20;

/// What a command did to its device.
#[derive(Clone, Debug)]
pub enum Step {
    Write { at: usize, bytes: Vec<u8> },
    Flush,
}

/// A disk in memory that remembers every step.
#[derive(Clone, Default)]
struct Disk {
    image: Rc<RefCell<Vec<u8>>>,
    steps: Rc<RefCell<Vec<Step>>>,
}

impl Medium for Disk {
    fn size(&self) -> ByteCount {
        ByteCount(self.image.borrow().len() as u64)
    }
    fn kind(&self) -> Kind {
        Kind::BlockDevice
    }
    fn descriptor(&self) -> i32 {
        3
    }
    fn lock(&self, _: Claim) -> io::Result<()> {
        Ok(())
    }
    fn read_up_to(&self, at: ByteCount, buffer: &mut [u8]) -> io::Result<usize> {
        let image = self.image.borrow();
        let rest = image.get(at.0 as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()> {
        let at = at.0 as usize;
        self.image.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        self.steps.borrow_mut().push(Step::Write {
            at,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }
    fn zero_out(&self, at: ByteCount, length: ByteCount) -> io::Result<()> {
        self.write_at(at, &vec![0; length.0 as usize])
    }
    fn flush(&self) -> io::Result<()> {
        self.steps.borrow_mut().push(Step::Flush);
        Ok(())
    }
}

impl Devices for Disk {
    fn open(&mut self, _: &Path, _: Claim, _: Caching) -> Result<Box<dyn Medium>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

/// Runs a command on an image, with `--force`. Returns status, image and steps.
pub fn run(image: Vec<u8>, line: &str, state: &Path) -> (u8, Vec<u8>, Vec<Step>) {
    let words: Vec<String> = format!("--force 0 {line}")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let env = Environment {
        program: "drbdmeta".to_owned(),
        state_dir: state.to_owned(),
        lock_dir: PathBuf::new(),
    };
    let parsed = args::parse("drbdmeta", &words).unwrap();
    let call = super::resolve(&env, parsed).unwrap();
    let disk = Disk {
        image: Rc::new(RefCell::new(image)),
        ..Disk::default()
    };
    let con = Console::new(
        Box::new(io::sink()),
        Box::new(io::sink()),
        Respondent::Forced,
        0,
    );
    let mut session = Session {
        con,
        call,
        env,
        devices: Box::new(disk.clone()),
    };
    let command = session.call.command;
    let status = match (command.run)(&mut session) {
        Ok(status) => status,
        Err(failure) => failure.status,
    };
    let image = disk.image.borrow().clone();
    let steps = disk.steps.borrow().clone();
    (status, image, steps)
}

pub fn layout(placement: Placement) -> (Layout, Areas) {
    let layout = Layout::compute(ByteCount(SIZE), placement, Striping::DEFAULT).unwrap();
    (layout, layout.areas().unwrap())
}

/// A crashed Primary: dirty bits, hot extents.
pub fn crashed_primary(placement: Placement) -> Vec<u8> {
    let (layout, areas) = layout(placement);
    let mut sb = Superblock::fresh(&layout, Striping::DEFAULT);
    sb.effective_size = SectorCount(16 * 8192);
    if placement.is_internal() {
        sb.effective_size = areas.capacity;
    }
    sb.uuids.current.0 = 0x1111_0000_1111_0000;
    sb.uuids.bitmap.0 = 0x2222_0000_2222_0000;
    sb.flags = MdFlags::from_bits_retain(0x13);
    sb.al_nr_extents = 67;
    let mut image = vec![0; SIZE as usize];
    let put = |image: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let log = areas.activity_log.0 as usize * 512;
    for (tr, block) in fresh_ring(0, 8, 67, |_| FREE) {
        put(&mut image, log + tr as usize * 4096, &block);
    }
    let block = Transaction {
        tr_number: 8,
        updates: &[SlotUpdate { slot: 1, extent: 0 }],
        slots: 67,
        context_start: 0,
        context: &[FREE; 67],
    }
    .encode();
    put(&mut image, log, &block);
    put(&mut image, areas.bitmap.0 as usize * 512, &[0x81, 0, 1]);
    let at = areas.superblock.0 as usize * 512;
    put(&mut image, at, &sb.encode(MagicKind::InUse));
    image
}
