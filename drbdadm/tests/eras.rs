//! The words of 0.7 to 8.3 (`--era`): captures of spec 10 and 20 in `testdata/drbdadm/eras.txt`, and
//! the five installations of `../shared/field`, each in the words of its own series.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A directory with one configuration.
struct Place(tempfile::TempDir);

impl Place {
    fn with(text: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        place.write("drbd.conf", text);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("a file");
    }

    fn run(&self, node: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_drbdadm"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("__DRBD_NODE__", node)
            // Below a file there can be no engine, and none is started.
            .env("DRBD_RUN_DIR", self.0.path().join("drbd.conf/run"))
            .env_remove("DRBD_ERA")
            .stdin(Stdio::null())
            .output()
            .expect("drbdadm runs")
    }

    /// What a successful command prints; the directory is shown as /etc.
    fn answer(&self, node: &str, arguments: &[&str]) -> String {
        let output = self.run(node, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let root = self.0.path().canonicalize().expect("its real name");
        String::from_utf8(output.stdout)
            .expect("text")
            .replace(&root.display().to_string(), "/etc")
    }
}

#[test]
fn older_series_are_spoken_as_their_programs_did() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/drbdadm/eras.txt");
    let table = fs::read_to_string(data).expect("the table");
    let (_, table) = table.split_once("\n\n").expect("a head");
    let mut configurations: HashMap<&str, &str> = HashMap::new();
    let mut seen = 0;
    for block in blocks(table) {
        let (head, body) = block.split_once('\n').expect("a line");
        if let Some(name) = head.strip_prefix("@ ") {
            configurations.insert(name, body);
            continue;
        }
        let (name, line) = head[2..].split_once(' ').expect("a name and arguments");
        let place = Place::with(configurations[name]);
        let arguments: Vec<&str> = ["-c", "drbd.conf"]
            .into_iter()
            .chain(line.split(' '))
            .collect();
        let got = place.answer("alpha", &arguments);
        assert_same(head, body, &got);
        seen += 1;
    }
    assert!(seen >= 25, "{seen} answers");
}

/// The parts of the table, each with its first line.
fn blocks(table: &str) -> Vec<&str> {
    let starts = |line: &str| line.starts_with("@ ") || line.starts_with("$ ");
    let mut blocks = Vec::new();
    let (mut begin, mut at) = (0, 0);
    for line in table.split_inclusive('\n') {
        if starts(line) && at > begin {
            blocks.push(&table[begin..at]);
            begin = at;
        }
        at += line.len();
    }
    blocks.push(&table[begin..]);
    blocks
}

fn assert_same(what: &str, expected: &str, got: &str) {
    let diff = similar::TextDiff::from_lines(expected, got);
    assert!(
        expected == got,
        "{what}:\n{}",
        diff.unified_diff().header("expected", "ours")
    );
}

fn field(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/field");
    fs::read_to_string(path.join(name)).expect(name)
}

/// File, the node that it is read on, and the series of the installation.
const INSTALLATIONS: &[(&str, &str, &str)] = &[
    ("f1-centos5-heartbeat.conf", "drbd0.example.jp", "8.2"),
    ("f2-centos6-pacemaker.conf", "primarycentos", "8.4"),
    ("f3-debian-ocfs2-dual-primary.conf", "sv1", "8.3"),
    ("f4-xen-indexed-meta.conf", "dom0_1", "8.3"),
    ("f5-debian-0.7-nfs.conf", "server1", "0.7"),
];

#[test]
fn the_dump_of_a_field_installation_is_dumped_again_unchanged_in_every_era() {
    for (name, node, _) in INSTALLATIONS {
        // Its addresses are not those of this machine.
        let text = field(name);
        let text = match text.contains("global {") {
            true => text.replacen("usage-count no;", "disable-ip-verification;", 1),
            false => format!("global {{ disable-ip-verification; }}\n{text}"),
        };
        let file = Place::with(&text);
        for era in ["0.7", "8.0", "8.2", "8.3", "8.4"] {
            let arguments = ["--era", era, "-c", "drbd.conf", "dump"];
            let dump = |place: &Place| {
                let text = place.answer(node, &arguments);
                let lines = text.split_inclusive('\n');
                // Where it was defined differs, of course.
                let lines = lines.filter(|l| !l.starts_with("# defined at"));
                lines.collect::<String>()
            };
            let first = dump(&file);
            assert!(first.contains("resource"), "{name}");
            let again = dump(&Place::with(&first));
            assert_same(&format!("{name} in {era}"), &first, &again);
        }
    }
}

/// The commands of `adjust` where nothing runs, of `up`, and of `down`.
fn calls(name: &str, node: &str, era: &str) -> [String; 3] {
    let place = Place::with(&field(name));
    let of = |command: &str| {
        let arguments = ["--era", era, "-c", "drbd.conf", "-d", "--", command, "all"];
        place.answer(node, &arguments)
    };
    [of("adjust"), of("up"), of("down")]
}

#[test]
fn the_centos_5_installation_is_shown_in_the_words_of_82() {
    let (name, node, era) = INSTALLATIONS[0];
    let [adjust, up, down] = calls(name, node, era);
    let expected = "drbdsetup /dev/drbd0 disk /dev/vg01/lv02 /dev/vg01/lv02 internal --set-defaults \
        --create-device --on-io-error=pass_on\n\
        drbdsetup /dev/drbd0 syncer --set-defaults --create-device --rate=30M\n\
        drbdsetup /dev/drbd0 net 192.168.0.1:7788 192.168.0.2:7788 C --set-defaults --create-device\n";
    assert_same("up", expected, &up);
    assert_same("adjust", expected, &adjust);
    assert_same("down", "drbdsetup /dev/drbd0 down\n", &down);
}

#[test]
fn the_centos_6_installation_is_shown_in_the_words_of_84() {
    let (name, node, era) = INSTALLATIONS[1];
    let [adjust, up, down] = calls(name, node, era);
    let expected = "drbdsetup new-resource r0\n\
        drbdsetup new-minor r0 1 0\n\
        drbdmeta 1 v08 /dev/sdb1 internal apply-al\n\
        drbdsetup attach 1 /dev/sdb1 /dev/sdb1 internal\n\
        drbdsetup connect r0 ipv4:192.168.0.21:7789 ipv4:192.168.0.22:7789 --protocol=C\n";
    assert_same("up", expected, &up);
    assert_same("adjust", expected, &adjust);
    assert_same("down", "drbdsetup down r0\n", &down);
}

#[test]
fn the_debian_dual_primary_installation_is_shown_in_the_words_of_83() {
    let (name, node, era) = INSTALLATIONS[2];
    let [adjust, up, down] = calls(name, node, era);
    let expected = "drbdsetup 0 disk /dev/sys/drbd0 /dev/sys/drbd0_meta flexible --set-defaults \
        --create-device --on-io-error=detach\n\
        drbdsetup 0 syncer --set-defaults --create-device --rate=1G\n\
        drbdsetup 0 net ipv4:192.168.0.1:7789 ipv4:192.168.0.2:7789 C --set-defaults \
        --create-device --allow-two-primaries --after-sb-0pri=discard-zero-changes \
        --after-sb-1pri=discard-secondary --after-sb-2pri=disconnect\n";
    assert_same("up", expected, &up);
    assert_same("adjust", expected, &adjust);
    assert_same("down", "drbdsetup 0 down\n", &down);
}

#[test]
fn the_xen_installation_is_shown_in_the_words_of_83() {
    let (name, node, era) = INSTALLATIONS[3];
    let [adjust, up, down] = calls(name, node, era);
    // Inherited options come in front, in reverse order (spec 20 section 6.1).
    let disk = "--set-defaults --create-device --no-md-flushes --no-disk-flushes --no-disk-barrier \
        --use-bmbv --on-io-error=detach";
    let sync = "--csums-alg=sha1 --verify-alg=sha1 --rate=10M";
    let net = "--set-defaults --create-device --after-sb-2pri=disconnect \
        --after-sb-1pri=discard-secondary --after-sb-0pri=discard-zero-changes \
        --allow-two-primaries --cram-hmac-alg=sha1 --shared-secret=secret";
    let expected = format!(
        "drbdsetup 0 disk /dev/vg0/my-domu-disk /dev/vg0/drbd-meta-data 0 {disk}\n\
         drbdsetup 1 disk /dev/vg0/my-domu-swap /dev/vg0/drbd-meta-data 1 {disk}\n\
         drbdsetup 0 syncer --set-defaults --create-device {sync}\n\
         drbdsetup 1 syncer --set-defaults --create-device {sync} --after=0\n\
         drbdsetup 0 net ipv4:192.168.0.25:7700 ipv4:192.168.0.54:7700 C {net}\n\
         drbdsetup 1 net ipv4:192.168.0.25:7701 ipv4:192.168.0.54:7701 C {net}\n"
    );
    assert_same("up", &expected, &up);
    assert_same("adjust", &expected, &adjust);
    assert_same("down", "drbdsetup 0 down\ndrbdsetup 1 down\n", &down);
}

#[test]
fn the_sarge_installation_is_shown_in_the_words_of_07() {
    let (name, node, era) = INSTALLATIONS[4];
    let expected = "drbdsetup /dev/drbd0 disk /dev/sda8 /dev/sda7 0 --on-io-error=detach\n\
        drbdsetup /dev/drbd0 syncer --rate=10M --group=1 --al-extents=257\n\
        drbdsetup /dev/drbd0 net 192.168.6.172:7788 192.168.6.173:7788 C\n";
    // The file itself shows that it is one of 0.7.
    for era in [era, "auto"] {
        let [adjust, up, down] = calls(name, node, era);
        assert_same("up", expected, &up);
        assert_same("adjust", expected, &adjust);
        assert_same("down", "drbdsetup /dev/drbd0 down\n", &down);
    }
    let place = Place::with(&field(name));
    let with_word = [
        "-c",
        "drbd.conf",
        "-d",
        "--",
        "--do-what-I-say",
        "primary",
        "all",
    ];
    let primary = place.answer(node, &with_word);
    assert_same(
        "primary",
        "drbdsetup /dev/drbd0 primary --do-what-I-say\n",
        &primary,
    );
}
