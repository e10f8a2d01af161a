//! A resource that lives in memory: what the runtime is to a front end, as small as possible.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use drbd_types::units::SECTOR_BYTES;
use drbd_types::{ByteCount, Minor, SectorCount};
use engine::buffer::{Buffer, Pool};
use engine::device::{Choice, DevicePaths, Frontend, Geometry, Operation, Request, RequestSink};
use rustix::io::Errno;

/// A started front end over memory; the thread that completes its requests ends with it.
pub struct Device {
    pub frontend: Option<Arc<dyn Frontend>>,
    pub sink: Arc<MemorySink>,
    pub paths: DevicePaths,
    pub minor: Minor,
    worker: Option<JoinHandle<Vec<u8>>>,
}

/// Queues requests for the thread that owns the memory.
pub struct MemorySink {
    queue: Mutex<Option<Sender<Request>>>,
    pub flushes: AtomicUsize,
    pub zeroed: Mutex<Vec<u32>>,
}

impl RequestSink for MemorySink {
    fn submit(&self, _: Minor, request: Request) {
        let queue = self.queue.lock().unwrap();
        // After the worker was told to end, requests stay unanswered until the front end stops.
        if let Some(queue) = &*queue {
            queue.send(request).unwrap();
        }
    }
}

impl Device {
    /// Starts a front end, closed, over zeroes.
    pub fn start(choice: Choice, minor: u32, geometry: Geometry, paths: DevicePaths) -> Self {
        require_root();
        let minor = Minor(minor);
        let pool = Pool::new(ByteCount(64 << 20));
        let (sender, receiver) = channel();
        let sink = Arc::new(MemorySink {
            queue: Mutex::new(Some(sender)),
            flushes: AtomicUsize::new(0),
            zeroed: Mutex::default(),
        });
        let frontend = engine::device::start(
            choice,
            minor,
            geometry,
            paths.clone(),
            pool.clone(),
            Arc::clone(&sink) as Arc<dyn RequestSink>,
        );
        let frontend: Arc<dyn Frontend> = Arc::from(frontend.unwrap());
        let worker = std::thread::spawn({
            let frontend = Arc::downgrade(&frontend);
            let sink = Arc::clone(&sink);
            let bytes = geometry.bytes().0 as usize;
            move || serve(receiver, &frontend, &sink, &pool, vec![0; bytes])
        });
        Self {
            frontend: Some(frontend),
            sink,
            paths,
            minor,
            worker: Some(worker),
        }
    }

    pub fn frontend(&self) -> &dyn Frontend {
        self.frontend.as_deref().unwrap()
    }

    pub fn node(&self) -> String {
        self.paths.node(self.minor).to_str().unwrap().to_owned()
    }

    /// Stops the front end and returns what the memory holds.
    pub fn stop(mut self) -> Vec<u8> {
        // Whatever looks at new block devices may hold it for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while let Err(error) = self.frontend().stop() {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
        self.queue_end();
        self.worker.take().unwrap().join().unwrap()
    }

    fn queue_end(&self) {
        *self.sink.queue.lock().unwrap() = None;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // A failed test must not leave the device behind; dropping the front end needs the worker.
        self.frontend = None;
        self.queue_end();
    }
}

fn serve(
    requests: Receiver<Request>,
    frontend: &Weak<dyn Frontend>,
    sink: &MemorySink,
    pool: &Pool,
    mut memory: Vec<u8>,
) -> Vec<u8> {
    for request in requests {
        let result = perform(&request, sink, pool, &mut memory);
        if let Some(frontend) = frontend.upgrade() {
            frontend.complete(request.id, result);
        }
    }
    memory
}

fn perform(
    request: &Request,
    sink: &MemorySink,
    pool: &Pool,
    memory: &mut Vec<u8>,
) -> Result<Option<Buffer>, Errno> {
    let start = (request.sector.0 * SECTOR_BYTES) as usize;
    let length = match &request.operation {
        Operation::Read { length } => *length as usize,
        Operation::Write { data, .. } => data.len(),
        Operation::Discard { length } | Operation::WriteZeroes { length, .. } => *length as usize,
        Operation::Flush => 0,
    };
    if memory.len() < start + length {
        memory.resize(start + length, 0);
    }
    let range = &mut memory[start..start + length];
    match &request.operation {
        Operation::Read { .. } => {
            let mut buffer = pool.allocate_waiting(length).unwrap();
            buffer.unique_mut().unwrap().copy_from_slice(range);
            return Ok(Some(buffer));
        }
        Operation::Write { data, .. } => range.copy_from_slice(data),
        Operation::Discard { .. } => range.fill(0xDC),
        Operation::WriteZeroes { length, .. } => {
            range.fill(0);
            sink.zeroed.lock().unwrap().push(*length);
        }
        Operation::Flush => {
            sink.flushes.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(None)
}

pub fn mebibytes(count: u64) -> SectorCount {
    SectorCount(count << 11)
}

pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes block devices and mounts file systems: run it as root"
    );
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = attempt(program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn attempt(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|e| panic!("cannot run {program}: {e}"))
}
