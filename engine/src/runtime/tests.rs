//! Two resources in one process, on real files and real sockets, without control and devices.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drbd_control::{DiskConf as ShownDisk, Endpoint, Family, MetaIndex, Nest, Settings};
use drbd_core::config::DiskConf;
use drbd_core::effect::{Access, HelperSubject, Level, LinkDelay, Outcome, Reply, Scope};
use drbd_core::input::{Admin, ConnectOnce, Force, HelperRun, LinkId, TieBreaker};
use drbd_core::{Resource, ResourceStatus};
use drbd_types::{ByteCount, ConnState, DiskState, Minor, Sector, SectorCount, VolumeNr};
use drbd_wire::{Agreed, Features, ProtocolVersion};
use drbdmeta::layout::{Layout, Placement, Striping};
use drbdmeta::superblock::{MagicKind, Superblock};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::driver::Driver;
use super::port::{Command, Port, Sockets, port};
use super::surroundings::{Configured, Surroundings};
use crate::buffer::{Buffer, Pool};
use crate::control::object::Net;
use crate::control::options;
use crate::device::request::testing::Unopened;
use crate::device::{Fua, Operation, Request, RequestId};
use crate::store::{self, Devices};

const SIZE: u64 = 16 << 20;
const VOLUME: VolumeNr = VolumeNr(0);
/// Far above what any step takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What a node tells the test.
struct Told {
    port: Port,
    statuses: Sender<ResourceStatus>,
    links: Sender<LinkId>,
}

impl Surroundings for Told {
    fn open_link(&mut self, link: LinkId, _: LinkDelay) {
        let _ = self.links.send(link);
    }
    fn close_link(&mut self, _: LinkId) {}
    fn run_helper(&mut self, run: HelperRun, _: &'static str, _: HelperSubject) {
        let _ = self.port.send(Command::HelperDone { run, exit: 0 });
    }
    fn log(&mut self, _: Level, _: Scope, _: String) {}
    fn set_size(&mut self, _: VolumeNr, _: SectorCount) {}
    fn set_access(&mut self, _: VolumeNr, _: Access) {}
    fn reply(&mut self, answer: oneshot::Sender<Reply>, reply: Reply) {
        let _ = answer.send(reply);
    }
    fn configure_net(&mut self, _: &Net) -> Configured {
        Configured::Now
    }
    fn forget_net(&mut self) {}
    fn show_disk(&mut self, _: VolumeNr, _: ShownDisk) {}
    fn changed(&mut self, status: ResourceStatus) {
        let _ = self.statuses.send(status);
    }
}

type Completion = (RequestId, Result<Option<Buffer>, Errno>);

struct Node {
    port: Port,
    statuses: Receiver<ResourceStatus>,
    links: Receiver<LinkId>,
    completions: Receiver<Completion>,
    disk: tempfile::NamedTempFile,
    thread: Option<std::thread::JoinHandle<io::Result<()>>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.port.send(Command::Stop);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(Ok(())))),
                "the thread ends in order"
            );
        }
    }
}

impl Node {
    fn start(seed: u64) -> Self {
        Self::with(seed, ByteCount(SIZE), ByteCount(64 << 20))
    }

    /// With a disk and memory for buffers of these sizes.
    fn with(seed: u64, size: ByteCount, memory: ByteCount) -> Self {
        let (sender, statuses) = channel();
        let (link_sender, links) = channel();
        let (completed, completions) = channel();
        let (port, inbox) = port().unwrap();
        let own_port = port.clone();
        let thread = std::thread::spawn(move || {
            let conf = options::resource(&Settings::defaults(Nest::ResourceOpts));
            let told = Told {
                port: own_port,
                statuses: sender,
                links: link_sender,
            };
            let pool = Pool::new(memory);
            Driver::new(Resource::new(conf, seed), inbox, pool, told)?.run()
        });
        let completed = Mutex::new(completed);
        let frontend = Arc::new(Unopened(move |id, result| {
            let _ = completed.lock().unwrap().send((id, result));
        }));
        let volume = VOLUME;
        port.send(Command::Serve { volume, frontend }).unwrap();
        let node = Self {
            port,
            statuses,
            links,
            completions,
            disk: disk(size),
            thread: Some(thread),
        };
        let minor = Minor(1);
        assert_eq!(
            node.admin(Admin::NewVolume { volume, minor }),
            Outcome::Done
        );
        node.attach();
        node
    }

    fn admin(&self, request: Admin) -> Outcome {
        let (answer, receiver) = oneshot::channel();
        self.port.send(Command::Admin { request, answer }).unwrap();
        receiver.blocking_recv().unwrap().outcome
    }

    fn attach(&self) {
        let path: &Path = self.disk.path();
        let devices = Devices {
            data: path.into(),
            meta: path.into(),
            placement: Placement::FlexInternal,
        };
        let (store, image) = store::attach(&devices, 0).unwrap();
        let settings = Settings::defaults(Nest::DiskConf);
        let (answer, receiver) = oneshot::channel();
        let command = Command::Attach {
            volume: VOLUME,
            store: Box::new(store),
            image: Box::new(image),
            // As fast as it goes.
            options: DiskConf {
                c_plan_ahead: 0,
                resync_rate: 4_000_000,
                ..options::disk(&settings)
            },
            shown: Box::new(ShownDisk {
                backing_dev: path.display().to_string(),
                meta_dev: path.display().to_string(),
                meta_index: MetaIndex::INTERNAL,
                settings,
            }),
            answer,
        };
        self.port.send(command).unwrap();
        assert_eq!(receiver.blocking_recv().unwrap().outcome, Outcome::Done);
    }

    fn connect(&self) {
        let settings = Settings::defaults(Nest::NetConf);
        let address = Endpoint::new(Family::IPV4, "127.0.0.1:7788".parse().unwrap());
        let (answer, receiver) = oneshot::channel();
        let command = Command::Connect {
            options: Box::new(options::net(&settings)),
            net: Box::new(Net {
                mine: address.clone(),
                peer: address,
                settings,
            }),
            once: ConnectOnce::empty(),
            answer,
        };
        self.port.send(command).unwrap();
        let outcome = receiver.blocking_recv().unwrap().outcome;
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }

    fn link_up(&self, link: LinkId, sockets: Sockets, tie: TieBreaker) {
        let agreed = Agreed {
            version: ProtocolVersion::NEWEST,
            features: Features::all(),
        };
        let command = Command::LinkUp {
            link,
            sockets,
            agreed,
            tie,
        };
        self.port.send(command).unwrap();
    }

    fn status(&self) -> ResourceStatus {
        let (sender, receiver) = channel();
        let answer = Box::new(move |status| {
            let _ = sender.send(status);
        });
        self.port.send(Command::Status(answer)).unwrap();
        receiver.recv_timeout(LIMIT).unwrap()
    }

    /// Waits until the volume is as described.
    fn until(&self, what: &str, is: impl Fn(&ResourceStatus) -> bool) {
        let mut last = None;
        loop {
            let status = self.statuses.recv_timeout(LIMIT);
            let status = status.unwrap_or_else(|_| panic!("never {what}: {last:?}"));
            if is(&status) {
                return;
            }
            last = Some(status);
        }
    }

    /// Puts requests and waits for all of them; the results by id.
    fn io(
        &self,
        operations: Vec<(Sector, Operation)>,
    ) -> HashMap<u64, Result<Option<Buffer>, Errno>> {
        let count = operations.len();
        for (id, (sector, operation)) in (0..).zip(operations) {
            let request = Request {
                id: RequestId(id),
                sector,
                operation,
            };
            let volume = VOLUME;
            self.port.send(Command::Io { volume, request }).unwrap();
        }
        (0..count)
            .map(|_| self.completions.recv_timeout(LIMIT))
            .map(|ended| ended.unwrap_or_else(|_| panic!("stuck: {:#?}", self.status())))
            .map(|(id, result)| (id.0, result))
            .collect()
    }

    fn write(&self, pool: &Pool, byte: u8, places: impl Iterator<Item = (u64, usize)>) {
        let write = |(sector, length): (u64, usize)| {
            let mut data = pool.allocate(length).unwrap();
            data.unique_mut().unwrap().fill(byte);
            let fua = Fua::Deferred;
            (Sector(sector), Operation::Write { data, fua })
        };
        for (id, result) in self.io(places.map(write).collect()) {
            assert!(matches!(result, Ok(None)), "write {id}: {result:?}");
        }
    }

    fn data(&self, capacity: SectorCount) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(capacity.0).unwrap() * 512];
        self.disk.as_file().read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }
}

fn disk(size: ByteCount) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size.0).unwrap();
    let layout = layout(size);
    let block = Superblock::fresh(&layout, Striping::DEFAULT).encode(MagicKind::Clean);
    file.as_file()
        .write_all_at(&block, layout.superblock.0 * 512)
        .unwrap();
    file
}

fn layout(size: ByteCount) -> Layout {
    Layout::compute(size, Placement::FlexInternal, Striping::DEFAULT).unwrap()
}

fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Joins the next attempts of both nodes.
fn join(a: &Node, b: &Node) {
    let next = |node: &Node| {
        let first = node.links.recv_timeout(LIMIT).unwrap();
        node.links.try_iter().last().unwrap_or(first)
    };
    let (link_a, link_b) = (next(a), next(b));
    let (data_a, data_b) = socket_pair();
    let (meta_a, meta_b) = socket_pair();
    let sockets = |data: TcpStream, meta: TcpStream| Sockets {
        data: data.into(),
        meta: meta.into(),
    };
    a.link_up(link_a, sockets(data_a, meta_a), TieBreaker::Here);
    b.link_up(link_b, sockets(data_b, meta_b), TieBreaker::There);
}

fn in_sync(status: &ResourceStatus) -> bool {
    status.volumes.iter().all(|v| {
        v.state.conn == ConnState::Connected
            && v.state.disk == DiskState::UpToDate
            && v.state.pdsk == DiskState::UpToDate
    })
}

#[test]
fn two_nodes_sync_replicate_and_catch_up_after_a_disconnect() {
    let pool = Pool::new(ByteCount(64 << 20));
    let capacity = layout(ByteCount(SIZE)).capacity().unwrap();
    let (a, b) = (Node::start(1), Node::start(2));
    let force = Force::Yes;
    let volume = VOLUME;
    let promoted = a.admin(Admin::Primary { volume, force });
    assert!(!matches!(promoted, Outcome::Refused(_)), "{promoted:?}");
    a.write(&pool, 1, [(0, 4096), (4096, 1 << 20)].into_iter());
    a.connect();
    b.connect();
    join(&a, &b);
    // Written while the resync runs, small and large, more than fit into one message.
    a.write(&pool, 2, (0..400).map(|n| (n * 64, 4096)));
    a.write(&pool, 3, (0..4).map(|n| (n * 2048, 1 << 20)));
    a.until("in sync", in_sync);
    b.until("in sync", in_sync);
    assert!(a.data(capacity) == b.data(capacity), "after the resync");

    let left = b.admin(Admin::Disconnect { force: Force::No });
    assert!(!matches!(left, Outcome::Refused(_)), "{left:?}");
    a.write(&pool, 4, (0..40).map(|n| (n * 128, 8192)));
    assert!(a.data(capacity) != b.data(capacity), "b is away");
    b.connect();
    join(&a, &b);
    b.until("in sync again", in_sync);
    a.write(&pool, 5, (0..40).map(|n| (n * 136, 512)));
    assert!(a.data(capacity) == b.data(capacity), "after the catch-up");

    let read = a.io(vec![(Sector(136), Operation::Read { length: 512 })]);
    let Some(Ok(Some(data))) = read.get(&0) else {
        panic!("a read returns data: {read:?}");
    };
    assert!(data.iter().all(|byte| *byte == 5));
    assert!(matches!(
        a.io(vec![(Sector(0), Operation::Flush)])[&0],
        Ok(None)
    ));
    let refused = b.io(vec![(Sector(0), Operation::Read { length: 512 })]);
    assert!(refused[&0].is_err(), "a Secondary serves nobody");
}

#[test]
fn a_bitmap_larger_than_all_memory_for_buffers_reaches_the_disk() {
    // 19 MiB of bitmap, every bit set; a sparse file.
    let size = ByteCount(600 << 30);
    let node = Node::with(1, size, ByteCount(4 << 20));
    let layout = layout(size);
    let (area, capacity) = (layout.areas().unwrap(), layout.capacity().unwrap());
    let mut bitmap = vec![0; usize::try_from(capacity.bits() / 8).unwrap()];
    let start = area.bitmap.0 * 512;
    node.disk
        .as_file()
        .read_exact_at(&mut bitmap, start)
        .unwrap();
    assert!(bitmap.len() > 4 * (4 << 20));
    assert!(bitmap.iter().all(|byte| *byte == 0xff));
}
