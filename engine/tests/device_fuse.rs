//! The fuse+loop front end against the kernel of this machine: needs root, `/dev/fuse`, loop
//! devices, fio and e2fsprogs.

mod device_common;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use device_common::{Device, attempt, mebibytes, require_root, run};
use drbd_types::VolumeNr;
use engine::device::{Access, Choice, DevicePaths, Discard, Features, Geometry};
use rustix::io::Errno;

fn start(minor: u32, geometry: Geometry, directory: &Path) -> Device {
    let paths = DevicePaths::new(directory).by_resource(&format!("t{minor}"), Some(VolumeNr(0)));
    Device::start(Choice::FuseLoop, minor, geometry, paths)
}

fn opened(minor: u32, geometry: Geometry, directory: &Path) -> Device {
    let device = start(minor, geometry, directory);
    device.frontend().open(Access::ReadWrite).unwrap();
    device
}

fn errno(error: std::io::Error) -> Option<Errno> {
    Errno::from_io_error(&error)
}

#[test]
fn an_ext4_file_system_and_fio_find_every_byte_where_they_put_it() {
    let directory = tempfile::tempdir().unwrap();
    let device = opened(901, Geometry::new(mebibytes(192)), directory.path());
    let node = device.node();
    let fio = |file: &str, options: &[&str]| {
        let file = format!("--filename={file}");
        let fixed = ["--name=v", &file, "--verify=crc32c", "--verify_fatal=1"];
        run("fio", &[&fixed[..], options].concat());
    };
    let raw = [
        "--rw=randwrite",
        "--direct=1",
        "--ioengine=libaio",
        "--iodepth=16",
        "--bsrange=512-256k",
        "--blockalign=512",
        "--size=64m",
    ];
    fio(&node, &raw);

    run("mkfs.ext4", &["-q", "-F", &node]);
    let mount_point = directory.path().join("mnt");
    fs::create_dir(&mount_point).unwrap();
    let mount_point = mount_point.to_str().unwrap();
    run("mount", &[&node, mount_point]);
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(
        mounts.contains(&format!("{node} {mount_point} ext4")),
        "{mounts}"
    );
    let df = run("df", &[mount_point]);
    assert!(df.contains("/dev/drbd901 "), "{df}");
    let file = format!("{mount_point}/data");
    let buffered = [
        "--rw=randwrite",
        "--bs=4k",
        "--size=48m",
        "--end_fsync=1",
        "--do_verify=0",
    ];
    fio(&file, &buffered);
    run("umount", &[mount_point]);
    assert!(device.sink.flushes.load(Ordering::Relaxed) > 0);
    run("e2fsck", &["-f", "-n", &node]);

    run("mount", &[&node, mount_point]);
    fio(
        &file,
        &["--rw=randread", "--bs=4k", "--size=48m", "--verify_only=1"],
    );
    run("umount", &[mount_point]);
    device.stop();
}

#[test]
fn a_closed_device_has_a_node_that_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let device = start(902, Geometry::new(mebibytes(1)), directory.path());
    run("test", &["-b", &device.node()]);
    let refused = File::open(device.node()).unwrap_err();
    assert_eq!(errno(refused), Some(Errno::NXIO));

    device.frontend().open(Access::ReadWrite).unwrap();
    let link = Path::new("/dev/drbd/by-res/t902/0");
    assert_eq!(
        fs::canonicalize(link).unwrap(),
        Path::new(&device.node()),
        "a node, no symlink to another name"
    );
    File::open(link).unwrap();

    device.frontend().close().unwrap();
    assert_eq!(
        errno(File::open(device.node()).unwrap_err()),
        Some(Errno::NXIO)
    );
    let node = device.node();
    device.stop();
    assert!(!Path::new(&node).exists());
    assert!(fs::symlink_metadata(link).is_err());
}

#[test]
fn a_device_that_is_held_open_cannot_be_closed_and_goes_on_working() {
    let directory = tempfile::tempdir().unwrap();
    let device = opened(903, Geometry::new(mebibytes(16)), directory.path());
    let node = device.node();
    let number = device.frontend().device_number();

    // A plain opener: another process with the device as its standard input.
    let mut reader = Command::new("cat")
        .stdin(File::open(&node).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // One byte read says that the program runs; the pipe is full before the device ends.
    let mut byte = [1];
    reader
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    assert!(device.frontend().is_held_open().unwrap());
    assert_eq!(
        errno(device.frontend().close().unwrap_err()),
        Some(Errno::BUSY)
    );
    assert_eq!(device.frontend().device_number(), number);
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(!device.frontend().is_held_open().unwrap());

    // A mount, which claims the device.
    run("mkfs.ext4", &["-q", "-F", &node]);
    let mount_point = directory.path().join("mnt");
    fs::create_dir(&mount_point).unwrap();
    run("mount", &[&node, mount_point.to_str().unwrap()]);
    assert!(device.frontend().is_held_open().unwrap());
    assert_eq!(
        errno(device.frontend().stop().unwrap_err()),
        Some(Errno::BUSY)
    );
    fs::write(mount_point.join("still"), "working").unwrap();
    run("umount", &[mount_point.to_str().unwrap()]);
    device.frontend().close().unwrap();
    assert_eq!(device.frontend().device_number(), None);
    device.stop();
}

#[test]
fn what_was_written_is_there_after_closing_and_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let device = opened(904, Geometry::new(mebibytes(4)), directory.path());
    let file = File::options().write(true).open(device.node()).unwrap();
    // Through the page cache, unsynchronised: the last close must bring it down.
    file.write_all_at(b"kept", 1 << 20).unwrap();
    drop(file);
    device.frontend().close().unwrap();
    device.frontend().open(Access::ReadOnly).unwrap();
    let mut bytes = [0; 4];
    let file = File::open(device.node()).unwrap();
    file.read_exact_at(&mut bytes, 1 << 20).unwrap();
    assert_eq!(&bytes, b"kept");
    drop(file);
    let dd = attempt(
        "dd",
        &[
            "if=/dev/zero",
            &format!("of={}", device.node()),
            "bs=4k",
            "count=1",
            "oflag=direct",
        ],
    );
    assert!(!dd.status.success(), "opened read-only");
    let memory = device.stop();
    assert_eq!(&memory[1 << 20..][..4], b"kept");
}

#[test]
fn a_new_size_reaches_the_block_layer_open_or_closed() {
    let directory = tempfile::tempdir().unwrap();
    let device = opened(905, Geometry::new(mebibytes(4)), directory.path());
    let size = || run("blockdev", &["--getsize64", &device.node()]);
    assert_eq!(size().trim(), (4 << 20).to_string());
    device.frontend().resize(mebibytes(6)).unwrap();
    assert_eq!(size().trim(), (6 << 20).to_string());
    device.frontend().close().unwrap();
    device.frontend().resize(mebibytes(3)).unwrap();
    device.frontend().open(Access::ReadWrite).unwrap();
    assert_eq!(size().trim(), (3 << 20).to_string());
    device.stop();
}

#[test]
fn discards_and_zeroing_arrive_as_zeroing_in_pieces_of_the_size_agreed() {
    let directory = tempfile::tempdir().unwrap();
    let geometry = Geometry {
        features: Features {
            discard: Discard::Supported { largest: 4 << 20 },
            ..Features::default()
        },
        ..Geometry::new(mebibytes(16))
    };
    let device = opened(906, geometry, directory.path());
    let node = device.node();
    run(
        "dd",
        &[
            "if=/dev/urandom",
            &format!("of={node}"),
            "bs=1M",
            "count=16",
            "oflag=direct",
        ],
    );
    run("blkdiscard", &["-o", "1048576", "-l", "10485760", &node]);
    let pieces = std::mem::take(&mut *device.sink.zeroed.lock().unwrap());
    assert_eq!(pieces.iter().map(|n| u64::from(*n)).sum::<u64>(), 10 << 20);
    assert!(pieces.iter().all(|n| *n <= 4 << 20), "{pieces:?}");
    run("blkdiscard", &["-z", "-o", "12582912", "-l", "8192", &node]);
    assert_eq!(*device.sink.zeroed.lock().unwrap(), [8192]);
    let memory = device.stop();
    let zero = |range: std::ops::Range<usize>| memory[range].iter().all(|b| *b == 0);
    assert!(zero(1 << 20..11 << 20) && zero(12 << 20..(12 << 20) + 8192));
    assert!(!zero(11 << 20..(11 << 20) + 4096) && !zero(0..1 << 20));
}

#[test]
fn without_discard_support_nothing_is_forgotten_and_zeroes_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let device = opened(907, Geometry::new(mebibytes(2)), directory.path());
    let file = File::options().write(true).open(device.node()).unwrap();
    file.write_all_at(&[7; 8192], 0).unwrap();
    drop(file);
    // The block layer may report success for a discard that did nothing: it is only a hint.
    attempt("blkdiscard", &[&device.node()]);
    run("blkdiscard", &["-z", "-l", "4096", &device.node()]);
    assert!(device.sink.zeroed.lock().unwrap().is_empty());
    let memory = device.stop();
    assert!(memory[..4096].iter().all(|b| *b == 0));
    assert!(memory[4096..8192].iter().all(|b| *b == 7));
}

/// Says in the environment of the second process of the next test that it is to be killed.
const VICTIM: &str = "DRBD_TEST_VICTIM";

#[test]
fn after_a_crash_under_a_mounted_file_system_the_next_engine_starts_clean() {
    require_root();
    if let Some(directory) = std::env::var_os(VICTIM) {
        let _device = opened(908, Geometry::new(mebibytes(16)), Path::new(&directory));
        println!("serving");
        loop {
            std::thread::park();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    let mut victim = Command::new(me)
        .args(["--exact", "--nocapture"])
        .arg("after_a_crash_under_a_mounted_file_system_the_next_engine_starts_clean")
        .env(VICTIM, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = victim.stdout.take().unwrap();
    while !said.contains("serving") {
        let mut bytes = [0; 64];
        let count = output.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let mount_point = directory.path().join("mnt");
    fs::create_dir(&mount_point).unwrap();
    run("mkfs.ext4", &["-q", "-F", "/dev/drbd908"]);
    run("mount", &["/dev/drbd908", mount_point.to_str().unwrap()]);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let loops = || run("losetup", &["-l", "-n", "-O", "NAME,BACK-FILE"]);
    assert!(loops().contains("/drbd908"), "the mount keeps it");

    let device = opened(908, Geometry::new(mebibytes(16)), directory.path());
    run("umount", &[mount_point.to_str().unwrap()]);
    let left = loops();
    assert_eq!(left.matches("/drbd908").count(), 1, "{left}");
    run("mkfs.ext4", &["-q", "-F", &device.node()]);
    device.stop();
    let left = loops();
    assert!(!left.contains("/drbd908"), "{left}");
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(
        !mounts.contains(directory.path().to_str().unwrap()),
        "{mounts}"
    );
}
