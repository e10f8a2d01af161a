//! `drbdadm convert`: the result is read by the genuine drbdadm of 8.4, and means the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

const OURS: &str = env!("CARGO_BIN_EXE_drbdadm");

fn genuine() -> PathBuf {
    let oracle = std::env::var_os("DRBD_ORACLE");
    let oracle = oracle.map_or_else(|| PathBuf::from("/var/tmp/drbd-oracle"), PathBuf::from);
    let program = oracle.join("utils/lib/drbd/drbdadm-84");
    assert!(program.is_file(), "{} is missing", program.display());
    program
}

struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

/// Runs one of the programs on a file, as a host of it.
fn run(program: &Path, host: &str, file: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(program)
        .arg("-c")
        .arg(file)
        .args(arguments)
        .env("__DRBD_NODE__", host)
        .env("DRBD_RUN_DIR", "/dev/null/none")
        .env_remove("DRBD_ERA")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    Answer {
        status: output.status.code().expect("a status"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

fn ours(host: &str, file: &Path, arguments: &[&str]) -> String {
    let answer = run(Path::new(OURS), host, file, arguments);
    assert_eq!(answer.status, 0, "{arguments:?}: {}", answer.stderr);
    answer.stdout
}

/// The statements of a dump; its remarks name files and lines.
fn statements(dump: &str) -> Vec<&str> {
    let lines = dump.lines().map(str::trim);
    lines.filter(|line| !line.starts_with('#')).collect()
}

fn assert_same(before: &[&str], after: &[&str]) {
    let (before, after) = (before.join("\n"), after.join("\n"));
    let diff = similar::TextDiff::from_lines(&before, &after);
    let diff = diff.unified_diff().header("before", "after").to_string();
    assert!(before == after, "{diff}");
}

/// Writes a text, converts it, and holds the result against the original; returns the conversion.
fn check(host: &str, text: &str, left_out: &[&str]) -> String {
    let directory = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let old = file("old.conf", text);
    let converted = ours(host, &old, &["convert", "--to", "8.4"]);
    let new = file("new.conf", &converted);

    let names = ours(host, &old, &["sh-resource", "all"]);
    let dumps = names.lines().map(|name| vec!["dump", name]);
    for arguments in dumps.chain([vec!["-d", "dump"]]) {
        let expected = ours(host, &old, &arguments);
        let mut expected = statements(&expected);
        expected.retain(|line| {
            line.split(' ')
                .next()
                .is_some_and(|name| !left_out.contains(&name))
        });
        let theirs = run(&genuine(), host, &new, &arguments);
        assert_eq!(theirs.status, 0, "{converted}\n{}", theirs.stderr);
        assert_same(&expected, &statements(&theirs.stdout));
        let again = ours(host, &new, &arguments);
        assert_same(&expected, &statements(&again));
    }

    assert_eq!(
        ours(host, &new, &["convert"]),
        converted,
        "converting twice changes nothing"
    );
    assert_eq!(ours(host, &new, &["convert", "--diff"]), "");
    converted
}

fn field(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/field")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every comment of the original is there, but for those of statements that are gone.
fn assert_comments_survive(old: &str, new: &str, gone: &[&str]) {
    let comments = old
        .lines()
        .filter_map(|line| line.find('#').map(|at| line[at..].trim()));
    for comment in comments {
        assert_eq!(!new.contains(comment), gone.contains(&comment), "{comment}");
    }
}

#[test]
fn the_five_field_installations_mean_the_same_in_8_4() {
    for (host, name, left_out, gone) in [
        (
            "drbd0.example.jp",
            "f1-centos5-heartbeat.conf",
            [].as_slice(),
            [].as_slice(),
        ),
        ("primarycentos", "f2-centos6-pacemaker.conf", &[], &[]),
        ("sv1", "f3-debian-ocfs2-dual-primary.conf", &[], &[]),
        (
            "dom0_1",
            "f4-xen-indexed-meta.conf",
            &["use-bmbv"],
            &["# LVM Only !:"],
        ),
        ("server1", "f5-debian-0.7-nfs.conf", &[], &[]),
    ] {
        let text = field(name);
        let converted = check(host, &text, left_out);
        assert_comments_survive(&text, &converted, gone);
        for old in [
            "syncer",
            "flexible-meta-disk",
            "incon-degr-cmd",
            "no-disk",
            "group",
        ] {
            assert!(!converted.contains(old), "{name} still has {old}");
        }
    }
}

#[test]
fn the_samples_of_every_series_mean_the_same_in_8_4() {
    for text in [
        include_str!("../../testdata/drbdadm/07.conf"),
        include_str!("../../testdata/drbdadm/83-style.conf"),
        include_str!("../../testdata/drbdadm/84-style.conf"),
        include_str!("../../testdata/drbdadm/commands.conf"),
        include_str!("../../testdata/drbdadm/quoting.conf"),
    ] {
        let converted = check("alpha", text, &["use-bmbv"]);
        assert_comments_survive(text, &converted, &[]);
    }
}

/// A host section of a 0.7 file.
fn host_07(name: &str, n: u8) -> String {
    format!(
        "  on {name} {{ device /dev/drbd{n}; disk /dev/sda{n}; address 127.0.0.1 port 77{n}0;\n\
         meta-disk /dev/sdb meta-index {n}; }}\n"
    )
}

/// Spec 10 section 11: groups, panic, sizes, forgiven semicolons.
#[test]
fn what_0_7_meant_by_its_own_words_is_said_in_those_of_8_4() {
    let mut text = "global { minor_count 5; disable_io_hints; }\n".to_owned();
    for (name, n, group) in [("a", 1, 2), ("b", 2, 1), ("c", 3, 1)] {
        text.push_str(&format!(
            "resource {name} {{\n  protocol C\n  disk {{ on-io-error panic; size 5000; }}\n  \
             syncer {{ group {group}; rate 10M; }}\n  skip old {{ rubbish {{ }} }}\n"
        ));
        text.push_str(&host_07("alpha", n));
        text.push_str(&host_07("beta", n + 3));
        text.push_str("}\n");
    }
    let converted = check("alpha", &text, &[]);
    for said in [
        "minor-count 5;",
        "size 5000K;",
        "on-io-error call-local-io-error;",
        "resync-after c;",
        "address 127.0.0.1:7710;",
        "# skip old { rubbish { } }",
    ] {
        assert!(converted.contains(said), "{said}: {converted}");
    }
}

/// What 8.0 to 8.3 wrote and genuine 8.4 refuses.
#[test]
fn what_8_3_wrote_and_8_4_refuses_is_named_with_its_reason() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("t.conf");
    let text = "resource r {\n ignore-on gamma;\n net { timeout 60 _is_default; }\n syncer {\n  \
                throttle-threshold 5;\n  rate 1M;\n }\n on alpha { device minor 1; disk /dev/x; \
                address 127.0.0.1:7; meta-disk internal; }\n}\n";
    fs::write(&file, text).expect("a file");
    let answer = run(Path::new(OURS), "alpha", &file, &["convert"]);
    assert_eq!(answer.status, 0);
    let shown = file.display();
    for said in [
        format!("{shown}:2: left out: ignore-on gamma (it has had no effect since 8.4)"),
        format!("{shown}:5: left out: throttle-threshold 5 (obsolete; read and dropped)"),
    ] {
        assert!(
            answer.stderr.lines().any(|line| line == said),
            "{}",
            answer.stderr
        );
    }
    assert!(answer.stdout.contains("timeout 60;"), "{}", answer.stdout);
    check("alpha", text, &[]);
}

#[test]
fn files_that_are_included_stay_files_and_the_diff_can_be_applied() {
    let directory = TempDir::new().expect("a directory");
    let root = directory.path().canonicalize().expect("a real name");
    fs::create_dir(root.join("d")).expect("a directory");
    let resource = |name: &str, n: u8| {
        format!(
            "# {name}\nresource {name} {{\n\tsyncer {{ rate {n}M; }}\n\ton alpha {{\n\t\t\
             device /dev/drbd{n};\n\t\tdisk /dev/x{n};\n\t\taddress 127.0.0.1:{n};\n\t\t\
             flexible-meta-disk /dev/md{n};\n\t}}\n}}\n"
        )
    };
    let files = [
        (
            "drbd.conf",
            "include \"d/*.res\"; # all\ncommon { protocol C; }\n".to_owned(),
        ),
        ("d/a.res", resource("a", 1)),
        ("d/b.res", resource("b", 2)),
    ];
    for (name, text) in &files {
        fs::write(root.join(name), text).expect("a file");
    }
    let main = root.join("drbd.conf");
    let before = ours("alpha", &main, &["-d", "dump"]);
    let printed = ours("alpha", &main, &["convert"]);
    let diff = ours("alpha", &main, &["convert", "--diff"]);

    let mut apply = Command::new("git")
        .args(["apply", "-p1", "--unsafe-paths", "--directory=/", "-"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is there");
    std::io::Write::write_all(&mut apply.stdin.take().expect("piped"), diff.as_bytes())
        .expect("git reads");
    assert!(apply.wait().expect("git ends").success(), "{diff}");

    let mut together = String::new();
    for (name, old) in &files {
        let new = fs::read_to_string(root.join(name)).expect("a file");
        assert_ne!(&new, old, "{name}");
        together.push_str(&format!("# {}\n{new}", root.join(name).display()));
    }
    assert_eq!(together, printed, "the diff leads to what is printed");
    let after = ours("alpha", &main, &["-d", "dump"]);
    assert_eq!(statements(&before), statements(&after));
    let theirs = run(&genuine(), "alpha", &main, &["-d", "dump"]);
    assert_eq!(
        statements(&theirs.stdout),
        statements(&after),
        "{}",
        theirs.stderr
    );
}
