//! Where the programs under test and the genuine ones are.

use std::env;
use std::path::{Path, PathBuf};

/// Directory of the built programs: `$DRBD_PROGRAMS`, or the one this test was built into.
pub fn ours() -> PathBuf {
    env::var_os("DRBD_PROGRAMS").map_or_else(beside_this_test, PathBuf::from)
}

/// The oracle as `../shared/oracle/get` prepares it.
pub fn oracle() -> PathBuf {
    let oracle =
        PathBuf::from(env::var_os("DRBD_ORACLE").unwrap_or_else(|| "/var/tmp/drbd-oracle".into()));
    assert!(
        oracle.join("uml/linux").exists(),
        "the genuine programs are not at {}: run ../shared/oracle/get (make check does it)",
        oracle.display()
    );
    oracle
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .and_then(Path::parent)
        .expect("testdata/testbed is two levels below the root")
}

/// The scripts of the oracle (`kernel-peer`, `vm`), which lie beside the repository.
pub fn oracle_script(name: &str) -> PathBuf {
    let directory = env::var_os("DRBD_ORACLE_SCRIPTS")
        .map_or_else(|| repository().join("../shared/oracle"), PathBuf::from);
    let script = directory.join(name);
    assert!(
        script.exists(),
        "{} is missing: without the oracle nothing is proved",
        script.display()
    );
    script
}

/// `target/<profile>/deps/<test>` lies one level below the programs.
fn beside_this_test() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let deps = test.parent().expect("a file lies in a directory");
    deps.parent()
        .expect("deps lies in the profile's directory")
        .to_owned()
}
