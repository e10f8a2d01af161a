//! `verify` (new): do superblock, activity log and bitmap agree? In words, changing nothing.

use drbd_types::ByteCount;

use super::console::Failure;
use super::session::{Found, Opened, Session};
use super::store::Store;
use crate::check::{BitmapCount, Report, Severity};
use crate::device::PageBuffer;
use crate::record::{Format, Record};

/// Bitmap bytes read at once.
const CHUNK: u64 = 4 << 20;

/// A record with the device that it is on.
pub struct Subject {
    /// The device.
    pub store: Store,
    /// Byte position of the superblock.
    pub at: u64,
    /// The superblock.
    pub record: Record,
}

impl Subject {
    /// Opens the device; there must be meta-data at its place, or where it was last.
    pub fn open(session: &mut Session<'_>) -> Result<Self, Failure> {
        let Opened { store, at, found } = session.open()?;
        let (record, at) = match found {
            Found::Nothing => return Err(nothing_there(session, &store, at)),
            Found::InPlace(record) => (record, at),
            Found::LastKnown { record, at, .. } => {
                session
                    .con
                    .warn("The device was resized: check-resize will move the meta data.");
                (record, at)
            }
        };
        if record.format == Format::V06 {
            return Err(Failure::new(
                1,
                "v06 meta data has neither activity log nor bitmap",
            ));
        }
        Ok(Self { store, at, record })
    }

    /// The bytes of the activity log.
    pub fn log(&self, session: &mut Session<'_>) -> Result<PageBuffer, Failure> {
        // Bounded to 32 MiB by the validation of the superblock.
        let length = usize::try_from(self.record.al_sectors() * 512).unwrap_or(0);
        let mut log = PageBuffer::new(length);
        let at = self.record.al_at(self.at);
        self.store.read(&mut session.con, "read_al", at, &mut log)?;
        Ok(log)
    }

    /// Hands out the bitmap piece by piece, with the byte position of each in the bitmap.
    pub fn each_piece(
        &self,
        session: &mut Session<'_>,
        mut action: impl FnMut(&mut Session<'_>, ByteCount, &mut [u8]),
    ) -> Result<(), Failure> {
        let length = self.record.bitmap_bytes();
        let start = self.record.bm_at(self.at);
        let mut done = 0;
        let mut piece = PageBuffer::new(length.min(CHUNK) as usize);
        while done < length {
            let count = (length - done).min(CHUNK);
            let bytes = &mut piece[..count as usize];
            let at = start.wrapping_add(done);
            self.store.read(&mut session.con, "read_bm", at, bytes)?;
            action(session, ByteCount(done), bytes);
            done += count;
        }
        Ok(())
    }
}

/// The new commands say in words what the old ones leave out.
fn nothing_there(session: &mut Session<'_>, store: &Store, at: u64) -> Failure {
    let mut text = "No valid meta data found".to_owned();
    // A person has been told already.
    if session.call.format > Format::V06
        && !session.con.is_watched()
        && let Ok(block) = session.read_block(store, "verify", at)
    {
        for line in session.explain(store, at, &block) {
            text.push('\n');
            text.push_str(&line);
        }
    }
    Failure::new(1, text)
}

/// `verify`: exit status 1 when there is a problem.
pub fn run(session: &mut Session<'_>) -> Result<u8, Failure> {
    let subject = Subject::open(session)?;
    let usable = subject
        .record
        .usable_sectors(session.call.placement, subject.at);
    let mut report = Report::default();
    report.superblock(&subject.record, usable);
    let log = subject.log(session)?;
    report.activity_log(&subject.record, &log);
    let mut count = BitmapCount::default();
    subject.each_piece(session, |_, at, piece| {
        count.add(&subject.record, at, piece)
    })?;
    report.bitmap(&subject.record, count);
    for finding in report.findings() {
        session.con.say(finding);
    }
    Ok(u8::from(report.worst() == Severity::Problem))
}
