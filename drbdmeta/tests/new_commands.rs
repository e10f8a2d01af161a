//! What the genuine drbdmeta does not have: `verify`, `export`, `show-gi --json`, on meta-data
//! that the genuine kernel driver wrote.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

const SIZE: u64 = 64 << 20;

struct Disk {
    dir: tempfile::TempDir,
    index: &'static str,
}

impl Disk {
    fn with(name: &str, index: &'static str) -> Self {
        let path = format!("{}/../testdata/drbdmeta/{name}", env!("CARGO_MANIFEST_DIR"));
        let image = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let disk = Self {
            dir: tempfile::tempdir().unwrap(),
            index,
        };
        let file = std::fs::File::create(disk.path()).unwrap();
        file.set_len(SIZE).unwrap();
        let at = match index {
            "internal" => SIZE - image.len() as u64,
            _ => 0,
        };
        file.write_all_at(&image, at).unwrap();
        disk
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drbdmeta"));
        command
            .args(["--force", "-", "v08"])
            .arg(self.path())
            .arg(self.index)
            .args(words)
            .env("DRBD_STATE_DIR", self.dir.path());
        command
    }

    /// Exit status and stdout.
    fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    }
}

#[test]
fn verify_tells_what_a_crashed_primary_left() {
    let disk = Disk::with("crashed-primary-internal-64M.md", "internal");
    let (status, text) = disk.run(&["verify"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.contains("the node went down as Primary: apply-al will mark 5 extents"),
        "{text}"
    );
    assert_eq!(disk.run(&["apply-al"]).0, Some(0));
    let (status, text) = disk.run(&["verify"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("5120 of 16374 bits are set"), "{text}");
}

#[test]
fn verify_finds_damage_and_fails() {
    let disk = Disk::with("clean-down-internal-64M.md", "internal");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(disk.path())
        .unwrap();
    // Into block 2 of the activity log, which starts 36 KiB before the end.
    file.write_all_at(b"damage", SIZE - 36_864 + 2 * 4096 + 500)
        .unwrap();
    let (status, text) = disk.run(&["verify"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("activity log: PROBLEM: block 2 (byte 8192 of the log): crc32c"),
        "{text}"
    );
}

#[test]
fn export_is_json_with_every_dirty_block() {
    let disk = Disk::with("clean-down-internal-64M.md", "internal");
    let (status, text) = disk.run(&["export", "--json"]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["bitmap"]["bits-set"], 15);
    // Three blocks each at 1, 3, 5, 8 and 13 times 4 MiB plus 20 KiB: what capture wrote.
    let expected: Vec<[u64; 2]> = [1u64, 3, 5, 8, 13].map(|o| [o * 1024 + 5, 3]).to_vec();
    assert_eq!(json["bitmap"]["out-of-sync"], serde_json::json!(expected));
    assert_eq!(json["generation"]["needs-apply-al"], true);
    assert_eq!(json["position"]["md-offset"], SIZE - 4096);
}

#[test]
fn striped_external_meta_data_is_exported() {
    let disk = Disk::with("crashed-primary-external-striped-64M.md", "flex-external");
    let (status, text) = disk.run(&["export"]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["position"]["al-stripes"], 2);
    assert_eq!(
        json["activity-log"]["active-extents"],
        serde_json::json!([1, 3, 5, 8, 13])
    );
}

#[test]
fn show_gi_as_json_names_the_flags() {
    let disk = Disk::with("crashed-primary-internal-64M.md", "internal");
    let (status, text) = disk.run(&["show-gi", "--json"]);
    assert_eq!(status, Some(0), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json["flags"],
        serde_json::json!(["consistent", "primary-ind", "was-up-to-date"])
    );
    assert_eq!(json["la-size-sectors"], 130_992);
}

#[test]
fn verify_names_the_damaged_field_and_its_place() {
    let disk = Disk::with("clean-down-internal-64M.md", "internal");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(disk.path())
        .unwrap();
    // The superblock lies 4 KiB before the end; bm_offset at byte 76 of it, the magic at 60.
    for (at, text) in [
        (
            SIZE - 4096 + 79,
            "bm_offset at byte 67104844: found -1, expected -72",
        ),
        (
            SIZE - 4096 + 60,
            "magic at byte 67104828: found 0xff74026c, expected 0x8374026b or 0x8374026c",
        ),
    ] {
        file.write_all_at(&[0xff], at).unwrap();
        for command in ["verify", "export"] {
            let output = disk.command(&[command]).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("No valid meta data found\n"), "{stderr}");
            assert!(stderr.contains(text), "{stderr}");
        }
    }
}

#[test]
fn meta_data_of_0_7_is_verified_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    let words = [0u32, 4000, 3, 2, 3, 4, 5, 0x8374_026a, 8192, 8, 127, 72];
    let block: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    file.write_all_at(&block, 0).unwrap();
    file.write_all_at(&[0x0f], 36_864).unwrap();
    let run = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_drbdmeta"))
            .args(["--force", "-", "v07"])
            .arg(&path)
            .arg("flex-external")
            .args(command)
            .env("DRBD_STATE_DIR", dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run(&["verify"]).contains("bitmap: ok: 4 of 1000 bits are set"));
    let json: serde_json::Value = serde_json::from_str(&run(&["export"])).unwrap();
    assert_eq!(json["generation"]["version"], "v07");
    assert_eq!(
        json["generation"]["counts"],
        serde_json::json!([2, 3, 4, 5])
    );
    assert_eq!(json["activity-log"]["format"], "8.3");
    assert_eq!(json["bitmap"]["out-of-sync"], serde_json::json!([[0, 4]]));
    let json: serde_json::Value = serde_json::from_str(&run(&["show-gi", "--json"])).unwrap();
    assert_eq!(
        json["flags"],
        serde_json::json!(["consistent", "primary-ind"])
    );
}

#[test]
fn a_long_wait_has_a_bar_on_a_terminal_and_nowhere_else() {
    // 2 TiB and a bit: just more than 64 MiB of bitmap.
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::File::create(&disk)
        .unwrap()
        .set_len((2 << 40) + (1 << 30))
        .unwrap();
    let line = format!(
        "{} --force - v08 {} internal create-md -b pwrite",
        env!("CARGO_BIN_EXE_drbdmeta"),
        disk.display()
    );
    let run = |command: &mut Command| {
        let output = command
            .env("DRBD_STATE_DIR", dir.path())
            .env("TERM", "xterm")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let seen = run(Command::new("script").args(["-qec", &line, "/dev/null"]));
    assert!(seen.contains('%') && seen.contains("B/s"), "{seen}");
    let piped = run(Command::new("sh").args(["-c", &line]));
    assert!(!piped.contains('%') && !piped.contains('\r'), "{piped}");
}

#[test]
fn the_bitmap_of_16_tib_is_streamed_within_64_mib_of_memory() {
    // The largest file of ext4: 512 MiB of bitmap. The limit is on everything that the process may
    // allocate.
    const SCRIPT: &str = "ulimit -d 65536; d=$1; disk=$2; shift 2; run() {
            DRBD_STATE_DIR=$d \"$PROGRAM\" --force - v08 \"$disk\" internal \"$@\" || exit 1; }
        run create-md -b skip >/dev/null && run restore-md \"$d/dump\" && run dump-md >\"$d/again\" &&
        run verify && run export | wc -c && run apply-al && run wipe-md";
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::File::create(&disk)
        .unwrap()
        .set_len((16 << 40) - 4096)
        .unwrap();
    let dump = "version \"v08\"; uuid { 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; \
        0x0000000000000000; 0x0000000000000000; flags 0x00000093; } la-size-sect 34358689704; \
        bm-byte-per-bit 4096; device-uuid 0x0000000000000000; la-peer-max-bio-size 0; \
        al-stripes 1; al-stripe-size-4k 8; \
        bm { 50000000 times 0x0000000000000000; 0x0000000000000001; \
        8000000 times 0xFFFFFFFFFFFFFFFF; }";
    std::fs::write(dir.path().join("dump"), dump).unwrap();
    let output = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .args([dir.path(), &disk])
        .env("PROGRAM", env!("CARGO_BIN_EXE_drbdmeta"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("512000001 of 4294836213 bits are set"),
        "{text}"
    );
    let again = std::fs::read_to_string(dir.path().join("again")).unwrap();
    assert!(
        again.contains("50000000 times 0x0000000000000000;"),
        "{again}"
    );
}
