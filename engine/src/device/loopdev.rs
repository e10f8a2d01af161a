//! Loop devices: the ioctls of `/dev/loop-control` and `/dev/loopN`, and nothing above them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use super::names::number_in_sysfs;
use super::{Access, DeviceNumber, LogicalBlock};

const LOOP_SET_FD: u32 = 0x4C00;
const LOOP_CLR_FD: u32 = 0x4C01;
const LOOP_SET_STATUS64: u32 = 0x4C04;
const LOOP_GET_STATUS64: u32 = 0x4C05;
const LOOP_SET_CAPACITY: u32 = 0x4C07;
const LOOP_SET_DIRECT_IO: u32 = 0x4C08;
const LOOP_SET_BLOCK_SIZE: u32 = 0x4C09;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const LOOP_CTL_GET_FREE: u32 = 0x4C82;
const BLKROSET: u32 = 0x125D;

const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// How often a loop device that another program was quicker to take is replaced by the next one.
const ATTEMPTS: usize = 64;

/// `struct loop_info64` of the kernel's user interface.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of the kernel's user interface.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(mem::size_of::<LoopInfo>() == 232);
const _: () = assert!(mem::size_of::<LoopConfig>() == 304);

/// A text by which the engine recognises its own loop devices, also those of a crashed engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label([u8; 64]);

/// What became of an attempt to take the backing file away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detached {
    /// It is gone, or goes with the last close of the handle given.
    Gone,
    /// Somebody else has the device open; nothing changed.
    HeldOpen,
}

impl Label {
    /// The first 63 bytes of the text.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 64];
        for (to, from) in bytes[..63].iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }
}

impl LoopInfo {
    fn new(label: Label, flags: u32) -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: label.0,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

/// Puts a free loop device over `backing`, with direct I/O. `open` opens the device with a number.
///
/// Returns the number and what `open` made.
pub fn attach<D: AsFd>(
    backing: BorrowedFd<'_>,
    label: Label,
    block: LogicalBlock,
    open: impl Fn(DeviceNumber) -> io::Result<D>,
) -> io::Result<(DeviceNumber, D)> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    let mut last = io::Error::from_raw_os_error(libc::EBUSY);
    for _ in 0..ATTEMPTS {
        let index = value_ioctl(control.as_fd(), LOOP_CTL_GET_FREE, 0)?;
        let number = number_in_sysfs(OsStr::new(&format!("loop{index}")))?;
        let device = open(number)?;
        match configure(device.as_fd(), backing, label, block) {
            Ok(()) => return Ok((number, device)),
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

fn configure(
    device: BorrowedFd<'_>,
    backing: BorrowedFd<'_>,
    label: Label,
    block: LogicalBlock,
) -> io::Result<()> {
    let config = LoopConfig {
        fd: backing.as_raw_fd() as u32,
        block_size: block.bytes(),
        info: LoopInfo::new(label, LO_FLAGS_DIRECT_IO),
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads a `struct loop_config`, whose layout `LoopConfig` has.
    let result = unsafe { pointer_ioctl(device, LOOP_CONFIGURE, (&raw const config).cast()) };
    match result {
        // Before Linux 5.8 the same takes several steps.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => {
            configure_in_steps(device, backing, label, block)
        }
        other => other,
    }
}

fn configure_in_steps(
    device: BorrowedFd<'_>,
    backing: BorrowedFd<'_>,
    label: Label,
    block: LogicalBlock,
) -> io::Result<()> {
    value_ioctl(device, LOOP_SET_FD, backing.as_raw_fd() as libc::c_ulong)?;
    let steps = || {
        set_status(device, &LoopInfo::new(label, 0))?;
        if block != LogicalBlock::Bytes512 {
            let bytes = libc::c_ulong::from(block.bytes());
            value_ioctl(device, LOOP_SET_BLOCK_SIZE, bytes)?;
        }
        match value_ioctl(device, LOOP_SET_DIRECT_IO, 1) {
            // Before Linux 4.4: through the page cache, slower and just as correct.
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => Err(e),
            _ => Ok(()),
        }
    };
    steps().inspect_err(|_| {
        // The first error is the one to report; the device goes with the last close in any case.
        let _ = value_ioctl(device, LOOP_CLR_FD, 0);
    })
}

/// Takes the backing file away unless somebody else has the device open, which the kernel decides
/// under its own lock: no opener can slip in between.
pub fn detach(device: BorrowedFd<'_>) -> io::Result<Detached> {
    match value_ioctl(device, LOOP_CLR_FD, 0) {
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => return Ok(Detached::Gone),
        other => other?,
    };
    // With other openers the kernel only marked the device for removal at the last close.
    let mut info = match status(device) {
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => return Ok(Detached::Gone),
        other => other?,
    };
    info.flags &= !LO_FLAGS_AUTOCLEAR;
    match set_status(device, &info) {
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => Ok(Detached::Gone),
        other => other.map(|()| Detached::HeldOpen),
    }
}

/// Takes the backing file away now, or as soon as the last opener has left.
pub fn detach_when_unused(device: BorrowedFd<'_>) -> io::Result<()> {
    match value_ioctl(device, LOOP_CLR_FD, 0) {
        Err(e) if e.raw_os_error() != Some(libc::ENXIO) => Err(e),
        _ => Ok(()),
    }
}

/// Tells the device that the backing file has another size.
pub fn update_size(device: BorrowedFd<'_>) -> io::Result<()> {
    value_ioctl(device, LOOP_SET_CAPACITY, 0).map(drop)
}

/// Makes the block layer refuse or accept writes to any block device.
pub fn set_access(device: BorrowedFd<'_>, access: Access) -> io::Result<()> {
    let read_only = libc::c_int::from(access == Access::ReadOnly);
    // SAFETY: BLKROSET reads an int.
    unsafe { pointer_ioctl(device, BLKROSET, (&raw const read_only).cast()) }
}

/// The loop devices that carry `label` over a file of this name, whoever set them up. `open` opens
/// the device with a number.
pub fn find<D: AsFd>(
    label: Label,
    file_name: &str,
    open: impl Fn(DeviceNumber) -> io::Result<D>,
) -> io::Result<Vec<D>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        // Only those whose file has our name are opened: an open disturbs their owner.
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        let backing = Path::new(backing.trim_end_matches('\n'));
        if backing.file_name().is_none_or(|name| name != file_name) {
            continue;
        }
        let device = open(number_in_sysfs(&entry.file_name())?)?;
        if status(device.as_fd()).is_ok_and(|info| info.file_name == label.0) {
            found.push(device);
        }
    }
    Ok(found)
}

fn status(device: BorrowedFd<'_>) -> io::Result<LoopInfo> {
    let mut info = LoopInfo::new(Label([0; 64]), 0);
    // SAFETY: LOOP_GET_STATUS64 fills a `struct loop_info64`, whose layout `LoopInfo` has; every
    // bit pattern is valid in it.
    unsafe { pointer_ioctl(device, LOOP_GET_STATUS64, (&raw mut info).cast()) }?;
    Ok(info)
}

fn set_status(device: BorrowedFd<'_>, info: &LoopInfo) -> io::Result<()> {
    // SAFETY: LOOP_SET_STATUS64 reads a `struct loop_info64`.
    unsafe { pointer_ioctl(device, LOOP_SET_STATUS64, (&raw const *info).cast()) }
}

/// An ioctl whose argument is a number or nothing; returns what the kernel returned.
fn value_ioctl(fd: BorrowedFd<'_>, request: u32, value: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the requests that this file passes here take their argument by value: the kernel
    // follows no pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, value) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// # Safety
/// `argument` must point to what this request reads or fills.
unsafe fn pointer_ioctl(
    fd: BorrowedFd<'_>,
    request: u32,
    argument: *const libc::c_void,
) -> io::Result<()> {
    // SAFETY: the caller's promise.
    if unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
