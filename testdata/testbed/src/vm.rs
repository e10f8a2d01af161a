//! The oracle's QEMU machine: the only place here with `/dev/ublk-control`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use drbd_demo::hosts::{Error, Output, capture, succeed};

use crate::programs;

/// Boots the machine without drbd.ko and runs `script` in it; `built` are programs below the build's
/// directory, found in the `PATH` there. Gives what the script printed; the status is 0 when its was.
pub fn run(built: &[&str], script: &str) -> Result<Output, Error> {
    let job =
        tempfile::tempdir().map_err(Error::io("making a directory for the virtual machine"))?;
    let (bin, lib) = (job.path().join("bin"), job.path().join("lib"));
    for directory in [&bin, &lib] {
        fs::create_dir(directory)
            .map_err(Error::io("making a directory for the virtual machine"))?;
    }
    for program in built {
        bring(&programs::ours().join(program), &bin, &lib)?;
    }
    let prelude = "export PATH=/job/bin:$PATH LD_LIBRARY_PATH=/job/lib\n";
    fs::write(job.path().join("run.sh"), format!("{prelude}{script}"))
        .map_err(Error::io("writing run.sh"))?;
    let vm = programs::oracle_script("vm");
    capture(
        Command::new(vm)
            .args(["-n", "-m", "1536", "-t", "400"])
            .arg(job.path()),
    )
}

/// Copies a program without its debugging information, and the libraries that it needs.
fn bring(program: &Path, bin: &Path, lib: &Path) -> Result<(), Error> {
    let name = program.file_name().unwrap_or_default();
    let copy = bin.join(name);
    succeed(Command::new("strip").arg("-o").arg(&copy).arg(program))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))
        .map_err(Error::io("making a program executable"))?;
    for library in succeed(Command::new("ldd").arg(program))?
        .lines()
        .filter_map(library_path)
    {
        let path = Path::new(library);
        let target = lib.join(path.file_name().unwrap_or_default());
        fs::copy(path, target).map_err(Error::io(format!("copying {library}")))?;
    }
    Ok(())
}

/// `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)`
fn library_path(line: &str) -> Option<&str> {
    line.split_once("=> ")?
        .1
        .split(" (")
        .next()
        .filter(|path| path.starts_with('/'))
}
