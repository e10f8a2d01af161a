//! The bitmap area, written in large pieces with several of them in flight: a single stream of
//! direct I/O leaves the disk idle while the next piece is filled, or the text of a dump parsed.
//! The pieces of a long run are written from one buffer, which stays in the caches.
//!
//! Pieces carry no order among each other. What makes them count, the superblock, is written
//! behind a flush by [`super::session::Session::commit`].

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use drbd_types::ByteCount;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{Console, FAILED_IO, Failure};
use super::store::{Store, Writing};
use crate::bitmap;
use crate::device::{Medium, PageBuffer};
use crate::text::parser::Words;

/// Bytes of a piece, as the traces of the genuine create-md show: small enough for the caches, large
/// enough for the disk.
pub const PIECE: usize = 1 << 20;
/// Pieces being written at once.
const WRITERS: usize = 3;
/// Buffers: those being written, and one being filled.
const BUFFERS: usize = WRITERS + 1;
/// A bitmap that takes noticeably long to write gets a progress bar.
const BAR_FROM: u64 = 64 << 20;

/// What is written where.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The step, for traces and failures.
    pub tag: &'static str,
    /// Byte position of the first piece.
    pub at: u64,
    /// Bytes of words; the last piece is padded with zeros to 512 bytes.
    pub length: u64,
    /// Bytes of every piece but the last, whole sectors: [`PIECE`], less in tests.
    pub piece: usize,
}

/// Writes the words that `produce` puts into the writer. Those beyond the area are dropped; too
/// few are a failure, as a rest of the old bitmap would stay.
pub fn write(
    con: &mut Console<'_>,
    store: &Store,
    area: Area,
    produce: impl FnOnce(&mut BitmapWriter<'_, '_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (queue, queued) = sync_channel(WRITERS);
    let (done, written) = channel();
    let queued = Mutex::new(queued);
    thread::scope(|scope| {
        let pieces = usize::try_from(area.length.div_ceil(area.piece as u64)).unwrap_or(WRITERS);
        for _ in 0..pieces.min(WRITERS) {
            let (queued, done, medium) = (&queued, done.clone(), store.medium());
            thread::Builder::new()
                .spawn_scoped(scope, move || write_queued(medium, queued, &done))
                .map_err(|error| {
                    Failure::new(FAILED_IO, format_args!("no thread to write with: {error}"))
                })?;
        }
        // From here on only the threads can report, so that their end is noticed.
        drop(done);
        let mut writer = BitmapWriter {
            con,
            store,
            area,
            bar: progress(area.length),
            buffer: Arc::new(PageBuffer::new(area.piece)),
            filled: 0,
            uniform: Some(0),
            made: 1,
            spare: Vec::new(),
            taken: 0,
            flying: 0,
            queue,
            written,
        };
        produce(&mut writer)?;
        writer.finish()
    })
}

/// The life of a writing thread: until the queue is closed.
fn write_queued(medium: &dyn Medium, queued: &Mutex<Receiver<Flight>>, done: &Sender<Flight>) {
    loop {
        let next = queued.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut flight) = next else { return };
        let bytes = &flight.buffer[..flight.length];
        flight.result = medium.write_at(ByteCount(flight.at), bytes);
        if done.send(flight).is_err() {
            return;
        }
    }
}

/// A piece on its way to the disk and back.
struct Flight {
    /// Those of a run of equal words share it.
    buffer: Arc<PageBuffer>,
    at: u64,
    length: usize,
    result: io::Result<()>,
}

/// Takes words and hands full pieces to the writing threads.
pub struct BitmapWriter<'a, 'c> {
    con: &'a mut Console<'c>,
    store: &'a Store,
    area: Area,
    bar: ProgressBar,
    /// The piece being filled; still being written, too, until its first word is put in.
    buffer: Arc<PageBuffer>,
    /// Bytes put in so far.
    filled: usize,
    /// The word that all of the buffer consists of, if it is known to be one.
    uniform: Option<u64>,
    /// Buffers that exist.
    made: usize,
    /// Those that nobody uses.
    spare: Vec<Arc<PageBuffer>>,
    /// Bytes of the area in pieces that were handed over.
    taken: u64,
    /// Pieces handed over and not yet back.
    flying: usize,
    queue: SyncSender<Flight>,
    written: Receiver<Flight>,
}

impl BitmapWriter<'_, '_> {
    /// Appends a run of words.
    pub fn put(&mut self, Words { mut count, word }: Words) -> Result<(), Failure> {
        while count > 0 {
            let from = self.filled;
            let left = self.area.length - self.taken - from as u64;
            let room = ((self.area.piece - from) as u64).min(left) / 8;
            if room == 0 {
                break;
            }
            let now = room.min(count);
            let end = from + now as usize * 8;
            let whole = from == 0 && end == self.area.piece;
            if !whole || self.uniform != Some(word) {
                bitmap::fill(word, &mut self.own_buffer()?[from..end]);
                self.uniform = whole.then_some(word);
            }
            self.filled = end;
            count -= now;
            if end == self.area.piece {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// The buffer being filled, for writing: another one if this one is still being written, which
    /// only happens before the first word is put in.
    fn own_buffer(&mut self) -> Result<&mut PageBuffer, Failure> {
        if Arc::get_mut(&mut self.buffer).is_none() {
            self.buffer = self.unused_buffer()?;
        }
        Arc::get_mut(&mut self.buffer).ok_or_else(writers_gone)
    }

    fn unused_buffer(&mut self) -> Result<Arc<PageBuffer>, Failure> {
        if self.made < BUFFERS && self.spare.is_empty() {
            self.made += 1;
            return Ok(Arc::new(PageBuffer::new(self.area.piece)));
        }
        loop {
            if let Some(buffer) = self.spare.pop() {
                return Ok(buffer);
            }
            self.await_landing()?;
        }
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        let filled = std::mem::take(&mut self.filled);
        let length = filled.next_multiple_of(512);
        if length > filled {
            self.own_buffer()?[filled..length].fill(0);
            self.uniform = None;
        }
        let at = self.area.at.wrapping_add(self.taken);
        let bytes = &self.buffer[..length];
        let writing = self.store.announce(self.con, self.area.tag, at, bytes)?;
        self.taken += filled as u64;
        if writing == Writing::DryRun {
            return Ok(());
        }
        while let Ok(flight) = self.written.try_recv() {
            self.landed(flight)?;
        }
        let flight = Flight {
            buffer: Arc::clone(&self.buffer),
            at,
            length,
            result: Ok(()),
        };
        self.flying += 1;
        self.queue.send(flight).map_err(|_| writers_gone())
    }

    fn await_landing(&mut self) -> Result<(), Failure> {
        let flight = self.written.recv().map_err(|_| writers_gone())?;
        self.landed(flight)
    }

    /// A piece is on disk.
    fn landed(&mut self, flight: Flight) -> Result<(), Failure> {
        self.flying -= 1;
        let failed = |e| {
            self.store
                .write_failed(self.area.tag, flight.at, flight.length, &e)
        };
        flight.result.map_err(failed)?;
        self.bar.inc(flight.length as u64);
        let mut buffer = flight.buffer;
        if Arc::get_mut(&mut buffer).is_some() {
            self.spare.push(buffer);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Failure> {
        if self.filled > 0 {
            self.hand_over()?;
        }
        if self.taken != self.area.length {
            return Err(Failure::new(
                FAILED_IO,
                format_args!(
                    "confused in {}: {} bytes of bitmap instead of {}",
                    self.area.tag, self.taken, self.area.length
                ),
            ));
        }
        while self.flying > 0 {
            self.await_landing()?;
        }
        self.bar.finish_and_clear();
        Ok(())
    }
}

/// They end only with their queue.
fn writers_gone() -> Failure {
    Failure::new(FAILED_IO, "the threads that write are gone")
}

/// A bar on a terminal, nothing elsewhere.
fn progress(length: u64) -> ProgressBar {
    if length < BAR_FROM || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent}% {binary_bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()).with_style(style)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::console::Respondent;
    use super::super::store::RangeCheck;
    use super::*;
    use crate::device::{Claim, Kind};

    const SIZE: u64 = 64 << 10;
    const AT: u64 = 4096;

    /// A disk in memory with a bad place.
    #[derive(Clone)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        bad: Option<u64>,
    }

    impl Medium for Disk {
        fn size(&self) -> ByteCount {
            ByteCount(SIZE)
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
        fn read_up_to(&self, _: ByteCount, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
        fn write_at(&self, at: ByteCount, bytes: &[u8]) -> io::Result<()> {
            let start = at.0 as usize;
            let place = start..start + bytes.len();
            if self.bad.is_some_and(|bad| place.contains(&(bad as usize))) {
                return Err(rustix::io::Errno::IO.into());
            }
            self.bytes.lock().unwrap()[place].copy_from_slice(bytes);
            Ok(())
        }
        fn zero_out(&self, _: ByteCount, _: ByteCount) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Puts the runs into an area on a disk full of 0xee.
    fn put(
        runs: &[Words],
        length: u64,
        piece: usize,
        writing: Writing,
        bad: Option<u64>,
    ) -> (Result<(), Failure>, Vec<u8>) {
        let disk = Disk {
            bytes: Arc::new(Mutex::new(vec![0xee; SIZE as usize])),
            bad,
        };
        let mut store = Store::new(Box::new(disk.clone()), writing, RangeCheck::Strict);
        store.permit(AT, SIZE);
        let streams = (Box::new(io::sink()), Box::new(io::sink()));
        let mut con = Console::new(streams.0, streams.1, Respondent::Nobody, 0);
        let area = Area {
            tag: "test",
            at: AT,
            length,
            piece,
        };
        let result = write(&mut con, &store, area, |writer| {
            runs.iter().try_for_each(|run| writer.put(*run))
        });
        let bytes = disk.bytes.lock().unwrap().clone();
        (result, bytes)
    }

    #[test]
    fn a_write_that_fails_is_named_and_nobody_waits_for_it() {
        let runs = [Words {
            count: 4096,
            word: 7,
        }];
        let (result, _) = put(&runs, 32 << 10, 1024, Writing::Real, Some(AT + 5000));
        let failure = result.unwrap_err();
        assert_eq!(failure.status, FAILED_IO);
        assert_eq!(
            failure.text,
            "pwrite(3,...,1024,8192) in test failed: Input/output error"
        );
    }

    #[test]
    fn words_that_end_too_early_are_a_failure() {
        let runs = [Words { count: 10, word: 7 }];
        let (result, _) = put(&runs, 1024, 512, Writing::Real, None);
        assert_eq!(
            result.unwrap_err().text,
            "confused in test: 80 bytes of bitmap instead of 1024"
        );
    }

    #[test]
    fn a_piece_outside_of_the_permitted_range_is_not_written() {
        let runs = [Words {
            count: u64::MAX,
            word: 7,
        }];
        let (result, bytes) = put(&runs, SIZE, 4096, Writing::Real, None);
        assert!(
            result
                .unwrap_err()
                .text
                .contains("not in meta data area range")
        );
        assert!(bytes[..AT as usize].iter().all(|b| *b == 0xee));
    }

    proptest! {
        #[test]
        fn runs_in_pieces_of_any_size_are_the_same_bytes(
            runs in prop::collection::vec((0u64..300, 0u64..3), 0..40),
            beyond in 0u64..100,
            piece in 1usize..10,
        ) {
            let runs: Vec<Words> =
                runs.into_iter().map(|(count, word)| Words { count, word }).collect();
            let flat: Vec<u64> =
                runs.iter().flat_map(|run| (0..run.count).map(|_| run.word)).take(7000).collect();
            let length = flat.len() as u64 * 8;
            let length = length - (beyond * 8).min(length);
            let mut expected = vec![0xee; SIZE as usize];
            let words = &flat[..length as usize / 8];
            let place = &mut expected[AT as usize..];
            place[..length.next_multiple_of(512) as usize].fill(0);
            bitmap::store_words(words.iter().copied(), &mut place[..length as usize]);

            let (result, bytes) = put(&runs, length, piece * 512, Writing::Real, None);
            prop_assert_eq!(result, Ok(()));
            prop_assert!(bytes == expected);
            let (result, bytes) = put(&runs, length, piece * 512, Writing::DryRun, None);
            prop_assert_eq!(result, Ok(()));
            prop_assert!(bytes.iter().all(|b| *b == 0xee));
        }
    }
}
