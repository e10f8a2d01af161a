//! Two cores as a test harness: an administrator's commands, an application's requests, and the
//! log of both nodes, with no chance and no faults unless a test asks for them.
//!
//! Time is the simulated time of [`World`]; nothing here sleeps. Every command lets two seconds
//! pass after its answer: then everything is over that does not wait for an administrator, for a
//! dead peer or for a long resync.
//!
//! Expectations are written as the conformance scenarios of spec 60 section 11 are: see
//! [`Pair::expect_log`].

use std::collections::BTreeMap;

use drbd_core::effect::{IoError, Outcome};
use drbd_core::input::{
    Admin, ClearBitmap, ConnectOnce, Durability, Force, HeldOpen, IoId, IoRequest,
};
use drbd_core::status::VolumeStatus;
use drbd_core::time::Duration;
use drbd_types::{ConnState, DiskState, GenerationIds, Sector, SectorCount, State, UuidSet};

use crate::block::Block;
use crate::expect::Bindings;
use crate::setup::Setup;
use crate::world::{Pace, VOLUME, World};

/// The device of the conformance scenarios: 32 MiB with internal meta-data.
pub const SIZE: SectorCount = SectorCount(65_456);

/// What a request of the application came back with; `None` while it is in progress.
pub type Completed = Option<Result<Option<Block>, IoError>>;

/// Two nodes under test.
pub struct Pair {
    /// The world they live in.
    pub world: World,
    next_io: u64,
    next_value: u64,
    completed: BTreeMap<IoId, Result<Option<Block>, IoError>>,
    mark: usize,
    bindings: Bindings,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Setup::default())
    }
}

impl Pair {
    /// Two nodes with these options and fresh disks; nothing runs.
    pub fn new(setup: Setup) -> Self {
        Self::of_size(SIZE, setup)
    }

    /// The same with disks of another size.
    pub fn of_size(size: SectorCount, setup: Setup) -> Self {
        let mut world = World::new(0x5eed, size);
        world.pace = Pace::Even;
        for node in &mut world.nodes {
            node.setup = setup.clone();
        }
        Self {
            world,
            next_io: 1,
            next_value: 1,
            completed: BTreeMap::new(),
            mark: 0,
            bindings: Bindings::default(),
        }
    }

    /// Both nodes attached and connected on fresh disks.
    pub fn start_both(setup: Setup) -> Self {
        let mut pair = Self::new(setup);
        for node in 0..2 {
            pair.up(node);
        }
        for node in 0..2 {
            pair.connect(node);
        }
        pair
    }

    /// Both nodes connected and UpToDate without a resync (`synced` of the scenarios).
    pub fn synced(setup: Setup) -> Self {
        let mut pair = Self::start_both(setup);
        pair.done(
            0,
            Admin::NewCurrentUuid {
                volume: VOLUME,
                bitmap: ClearBitmap::Clear,
            },
        );
        pair.until("skipped initial sync", up_to_date);
        pair.forget_log();
        pair
    }

    // --- time

    /// Lets two seconds pass.
    pub fn drive(&mut self) {
        self.pass(Duration::from_secs(2));
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.world.run_for(time);
        self.collect();
    }

    /// Lets time pass until a condition holds.
    ///
    /// # Panics
    ///
    /// If it does not within two minutes: that is the failure of the test.
    pub fn until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        let met = self.world.run_until(120, condition);
        self.collect();
        assert!(met, "never happened: {what}\n{}", self.story());
    }

    fn collect(&mut self) {
        assert_eq!(self.world.violation, None, "{}", self.story());
        for completion in std::mem::take(&mut self.world.completions) {
            self.completed.insert(completion.id, completion.result);
        }
    }

    // --- the administrator

    /// new-resource, new-minor, attach.
    pub fn up(&mut self, node: usize) {
        self.world.boot(node);
        let outcome = self.attach(node);
        assert_eq!(outcome, Outcome::Done, "{}", self.story());
    }

    /// apply-al, attach.
    pub fn attach(&mut self, node: usize) -> Outcome {
        let ticket = self.world.attach(node);
        self.answer(node, ticket)
    }

    /// connect.
    pub fn connect(&mut self, node: usize) {
        self.connect_once(node, ConnectOnce::empty());
    }

    /// connect with options of the command.
    pub fn connect_once(&mut self, node: usize, once: ConnectOnce) {
        let ticket = self.world.connect(node, once);
        let outcome = self.answer(node, ticket);
        assert!(is_done(outcome), "{outcome:?}\n{}", self.story());
    }

    /// Any command; returns its answer.
    pub fn ask(&mut self, node: usize, request: Admin) -> Outcome {
        let ticket = self.world.admin(node, request);
        self.answer(node, ticket)
    }

    /// Any command, which has to succeed.
    pub fn done(&mut self, node: usize, request: Admin) {
        let text = format!("{request:?}");
        let outcome = self.ask(node, request);
        assert!(is_done(outcome), "{text}: {outcome:?}\n{}", self.story());
    }

    fn answer(&mut self, node: usize, ticket: u64) -> Outcome {
        self.until("an answer to a command", |world| {
            world.reply(node, ticket).is_some()
        });
        let outcome = self.world.reply(node, ticket).map(|reply| reply.outcome);
        self.drive();
        outcome.unwrap_or(Outcome::Done)
    }

    /// `primary`.
    pub fn promote(&mut self, node: usize) {
        self.done(node, primary(Force::No));
    }

    /// `primary --force`.
    pub fn force_primary(&mut self, node: usize) {
        self.done(node, primary(Force::Yes));
    }

    /// `secondary`.
    pub fn demote(&mut self, node: usize) {
        self.done(
            node,
            Admin::Secondary {
                volume: VOLUME,
                held: HeldOpen::Free,
            },
        );
    }

    /// `disconnect`.
    pub fn disconnect(&mut self, node: usize) {
        self.done(node, Admin::Disconnect { force: Force::No });
    }

    /// `disconnect --force`.
    pub fn disconnect_force(&mut self, node: usize) {
        self.done(node, Admin::Disconnect { force: Force::Yes });
    }

    /// `detach`.
    pub fn detach(&mut self, node: usize) {
        self.done(
            node,
            Admin::Detach {
                volume: VOLUME,
                force: Force::No,
            },
        );
    }

    // --- the application

    /// Writes so many blocks of 4 KiB, one request each; all have to succeed.
    pub fn write(&mut self, node: usize, first: u64, blocks: u64) {
        for block in first..first + blocks {
            let id = self.begin_write(node, block);
            self.until("a write", |world| {
                world.completions.iter().any(|done| done.id == id)
            });
            let result = self.completed.get(&id);
            assert!(matches!(result, Some(Ok(_))), "{}", self.story());
        }
        self.drive();
    }

    /// Begins to write one block.
    pub fn begin_write(&mut self, node: usize, block: u64) -> IoId {
        let value = self.next_value;
        self.next_value += 1;
        let request = IoRequest::Write {
            sector: Sector(block * 8),
            data: Block::filled(value, 8),
            durability: Durability::Cached,
        };
        self.begin(node, request)
    }

    /// Begins to read one block.
    pub fn begin_read(&mut self, node: usize, block: u64) -> IoId {
        let sector = Sector(block * 8);
        self.begin(node, IoRequest::Read { sector, size: 4096 })
    }

    /// Begins any request.
    pub fn begin(&mut self, node: usize, request: IoRequest<Block>) -> IoId {
        let id = IoId(self.next_io);
        self.next_io += 1;
        self.world.io(node, id, request);
        id
    }

    /// What a request came back with so far.
    pub fn completed(&mut self, id: IoId) -> Completed {
        self.collect();
        self.completed.get(&id).cloned()
    }

    // --- what there is to see

    /// The status of a running node.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn status(&self, node: usize) -> VolumeStatus {
        self.world.status(node).expect("the node runs")
    }

    /// `cs ro ds` and the flag letters, as a line of /proc/drbd begins.
    pub fn state(&self, node: usize) -> String {
        let s = self.status(node).state;
        let letter = |set: bool, letter: char| if set { letter } else { '-' };
        format!(
            "cs:{} ro:{}/{} ds:{}/{} {}{}{}{}",
            s.conn,
            s.role,
            s.peer,
            s.disk,
            s.pdsk,
            if s.suspended() { 's' } else { 'r' },
            letter(s.aftr_isp, 'a'),
            letter(s.peer_isp, 'p'),
            letter(s.user_isp, 'u'),
        )
    }

    /// Kilobytes out of sync.
    pub fn out_of_sync(&self, node: usize) -> u64 {
        self.status(node).out_of_sync.0 / 1024
    }

    /// Generations of an attached disk.
    ///
    /// # Panics
    ///
    /// If there is no disk.
    pub fn uuids(&self, node: usize) -> UuidSet {
        self.status(node).md.expect("a disk is attached").0
    }

    /// consistent:was-up-to-date:primary:connected:full-sync:peer-outdated:crashed-primary, as
    /// get-gi shows them.
    ///
    /// # Panics
    ///
    /// If there is no disk.
    pub fn flags(&self, node: usize) -> String {
        let flags = self.status(node).md.expect("a disk is attached").1;
        let shown = GenerationIds::COLUMNS.map(|flag| u8::from(flags.contains(flag)).to_string());
        shown.join(":")
    }

    /// Log lines since the last [`Pair::forget_log`], as the scenarios shorten them.
    pub fn log(&self) -> Vec<String> {
        let lines = &self.world.story[self.mark..];
        lines
            .iter()
            .filter(|line| !line.text.starts_with("---"))
            .map(|line| line.shortened().trim_end().to_owned())
            .collect()
    }

    /// Looks only at later log lines from now on.
    pub fn forget_log(&mut self) {
        self.mark = self.world.story.len();
    }

    /// The log contains these lines, in this order on each node; other lines may lie between
    /// them. Lines begin with `0: ` and `1: ` (volume) or `r0: ` and `r1: ` (resource).
    ///
    /// `$A1` is a generation that the test calls A, with bit 0 set, `$A0` the same with bit 0
    /// clear, `$A?` with either; `$A+1` and `$A++0` are A plus once or twice the offset of a repeated resync. The
    /// first appearance says which generation it is; the name keeps its meaning in the whole
    /// test. `...` stands for any text.
    ///
    /// # Panics
    ///
    /// If a line is missing.
    pub fn expect_log(&mut self, expected: &str) {
        let log = self.log();
        let mut position = [0, 0];
        for line in expected.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let node = usize::from(line.trim_start_matches('r').starts_with('1'));
            let own =
                |text: &str| usize::from(text.trim_start_matches('r').starts_with('1')) == node;
            let found = log
                .iter()
                .enumerate()
                .skip(position[node])
                .filter(|(_, text)| own(text))
                .find(|(_, text)| self.bindings.matches(line, text));
            let Some((at, text)) = found else {
                panic!(
                    "missing: {line}\nnames: {}\n{}",
                    self.bindings,
                    log.join("\n")
                );
            };
            self.bindings.bind(line, text);
            position[node] = at + 1;
        }
    }

    /// No log line contains this text.
    ///
    /// # Panics
    ///
    /// If one does.
    pub fn expect_silence_about(&self, text: &str) {
        let log = self.log();
        assert!(
            !log.iter().any(|line| line.contains(text)),
            "unexpected: {text}\n{}",
            log.join("\n")
        );
    }

    /// The generations of a node are these, written as in [`Pair::expect_log`].
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn expect_uuids(&mut self, node: usize, expected: &str) {
        let uuids = self.uuids(node).to_string();
        assert!(
            self.bindings.matches(expected, &uuids),
            "node {node} has {uuids}, not {expected}; names: {}\n{}",
            self.bindings,
            self.story()
        );
        self.bindings.bind(expected, &uuids);
    }

    /// Everything that was logged, with times.
    pub fn story(&self) -> String {
        let lines = self.world.story.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A promotion.
pub const fn primary(force: Force) -> Admin {
    Admin::Primary {
        volume: VOLUME,
        force,
    }
}

/// Whether a command succeeded.
pub fn is_done(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Done => true,
        Outcome::State(state) => state.is_success(),
        Outcome::Refused(_) => false,
    }
}

/// Whether both nodes pass a test.
pub fn both(world: &World, test: impl Fn(&State) -> bool) -> bool {
    (0..2).all(|node| world.status(node).is_some_and(|status| test(&status.state)))
}

/// Whether both nodes are Connected and both disks UpToDate.
pub fn up_to_date(world: &World) -> bool {
    both(world, |state| {
        state.conn == ConnState::Connected
            && state.disk == DiskState::UpToDate
            && state.pdsk == DiskState::UpToDate
    })
}

/// Whether a node is in this connection state.
pub fn conn_is(node: usize, conn: ConnState) -> impl Fn(&World) -> bool {
    move |world| {
        world
            .status(node)
            .is_some_and(|status| status.state.conn == conn)
    }
}
