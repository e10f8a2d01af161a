//! The captures of spec 70 sections 1.6 and 1.11, from Linux 6.12 drbd.ko 8.4.11, and the
//! historical samples of section 1.12.

use drbd_proc::{
    ActivityLog, BitCount, Build, CacheCounts, Caches, Counters, Details, Device, Era, Io,
    KibPerSecond, MARKS, Mark, Position, Progress, Snapshot, WireProtocol, WriteOrdering, render,
};
use drbd_types::{ConnState, DiskState, Minor, Role, Sector, SectorCount, State};
use proptest::prelude::*;
use std::time::Duration;

const C: Option<WireProtocol> = Some(WireProtocol(3));

fn state(conn: ConnState, roles: (Role, Role), disks: (DiskState, DiskState)) -> State {
    State {
        conn,
        role: roles.0,
        peer: roles.1,
        disk: disks.0,
        pdsk: disks.1,
        ..State::INITIAL
    }
}

fn device(minor: u32, state: State, protocol: Option<WireProtocol>) -> Device {
    Device {
        state,
        protocol,
        ..Device::unconfigured(Minor(minor))
    }
}

const fn kib(kib: u64) -> SectorCount {
    SectorCount(kib * 2)
}

const fn bits(kib: u64) -> BitCount {
    BitCount(kib / 4)
}

/// `seconds` after the start with `left` of `total` KiB to do and all marks at the start.
fn progress(seconds: u64, left: u64, total: u64) -> Progress {
    let start = Duration::from_secs(1000);
    Progress {
        total: bits(total),
        left: bits(left),
        marks: [Mark {
            at: start,
            left: bits(total),
        }; MARKS],
        newest: 0,
        now: start + Duration::from_secs(seconds),
        started: start,
        paused: Duration::ZERO,
        want: KibPerSecond(0),
        position: Position {
            bit: BitCount(0),
            bits: BitCount(0),
            stop: None,
        },
    }
}

fn file(devices: Vec<Device>) -> Snapshot {
    Snapshot {
        devices,
        ..Snapshot::default()
    }
}

/// The file behind its two header lines.
fn devices_of(snapshot: &Snapshot, era: Era) -> String {
    let text = render(snapshot, era);
    text.splitn(3, '\n').nth(2).unwrap().to_owned()
}

#[track_caller]
fn assert_devices(snapshot: &Snapshot, expected: &str) {
    assert_eq!(devices_of(snapshot, Era::V84), expected);
}

use ConnState::{
    Connected, PausedSyncT, StandAlone, SyncSource, SyncTarget, VerifyS, VerifyT, WfConnection,
};
use DiskState::{DUnknown, Inconsistent, UpToDate};
use Role::{Primary, Secondary, Unknown};

#[test]
fn the_header_of_the_mainline_module_ends_in_a_blank() {
    let snapshot = Snapshot {
        build: Build::SrcVersion("56E4FE5F0DAB5FF4DCEF15A".to_owned()),
        ..Snapshot::default()
    };
    assert_eq!(
        render(&snapshot, Era::V84),
        "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 56E4FE5F0DAB5FF4DCEF15A \n"
    );
}

#[test]
fn a_build_line_has_the_form_that_the_tools_parse() {
    let snapshot = Snapshot {
        build: Build::Git {
            hash: "7ad5f850d711223713d6dcadc3dd48860321070c".to_owned(),
            by: "root@centos".to_owned(),
            at: "2013-02-03 23:38:49".to_owned(),
        },
        ..Snapshot::default()
    };
    // The field installation F3 (field/README.md).
    assert!(render(&snapshot, Era::V84).ends_with(
        "\nGIT-hash: 7ad5f850d711223713d6dcadc3dd48860321070c build by root@centos, 2013-02-03 23:38:49\n"
    ));
}

#[test]
fn gaps_between_minors_are_one_empty_line_each() {
    let minors = [0, 5, 6, 12, 123].map(|minor| Device::unconfigured(Minor(minor)));
    assert_devices(
        &file(minors.to_vec()),
        " 0: cs:Unconfigured\n\n 5: cs:Unconfigured\n 6: cs:Unconfigured\n\n12: \
        cs:Unconfigured\n\n123: cs:Unconfigured\n",
    );
    let late = file(vec![Device::unconfigured(Minor(3))]);
    assert_devices(&late, "\n 3: cs:Unconfigured\n");
}

#[test]
fn a_fresh_disk_without_network_has_three_blanks_and_a_suspended_activity_log() {
    let mut fresh = device(
        0,
        state(StandAlone, (Secondary, Unknown), (Inconsistent, DUnknown)),
        None,
    );
    fresh.activity_log = ActivityLog::Suspended;
    fresh.counters.al_writes = 8;
    fresh.counters.out_of_sync = bits(163_796);
    assert_devices(
        &file(vec![fresh.clone()]),
        " 0: cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown   r----s\n    \
         ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:163796\n",
    );
    fresh.state.conn = WfConnection;
    fresh.protocol = C;
    assert_devices(
        &file(vec![fresh]),
        " 0: cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown C r----s\n    \
         ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:163796\n",
    );
}

/// The pair of devices of the resync captures, with everything but the progress.
fn resync_pair(done: u64) -> (Device, Device) {
    let mut source = device(
        0,
        state(SyncSource, (Primary, Secondary), (UpToDate, Inconsistent)),
        C,
    );
    source.counters = Counters {
        sent: kib(done),
        disk_read: kib(done),
        al_writes: 8,
        out_of_sync: bits(163_796 - done),
        ..Counters::default()
    };
    let mut target = device(
        1,
        state(SyncTarget, (Secondary, Primary), (Inconsistent, UpToDate)),
        C,
    );
    target.counters = Counters {
        received: kib(done),
        disk_written: kib(done),
        ..source.counters
    };
    target.counters.sent = kib(0);
    target.counters.disk_read = kib(0);
    (source, target)
}

#[test]
fn a_resync_shows_its_progress_on_both_sides() {
    let (mut source, mut target) = resync_pair(23_660);
    source.progress = Some(progress(12, 140_136, 163_796));
    target.progress = Some(Progress {
        want: KibPerSecond(2000),
        ..progress(12, 140_136, 163_796)
    });
    assert_devices(
        &file(vec![source, target]),
        " 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----
    ns:23660 nr:0 dw:0 dr:23660 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:140136
\t[==>.................] sync'ed: 15.0% (140136/163796)K
\tfinish: 0:01:09 speed: 1,968 (1,968) K/sec
 1: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----
    ns:0 nr:23660 dw:23660 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:140136
\t[==>.................] sync'ed: 15.0% (140136/163796)K
\tfinish: 0:01:09 speed: 1,968 (1,968) want: 2,000 K/sec
",
    );
}

/// Only the progress lines of a device in this state.
fn progress_lines(conn: ConnState, details: Details, progress: Progress, era: Era) -> String {
    let mut one = device(
        0,
        state(conn, (Primary, Secondary), (UpToDate, UpToDate)),
        C,
    );
    one.progress = Some(progress);
    let snapshot = Snapshot {
        details,
        ..file(vec![one])
    };
    devices_of(&snapshot, era)
        .lines()
        .filter(|line| line.starts_with('\t'))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[track_caller]
fn assert_progress(conn: ConnState, details: Details, progress: Progress, expected: &str) {
    assert_eq!(progress_lines(conn, details, progress, Era::V84), expected);
}

#[test]
fn the_bar_begins_with_21_characters_and_ends_with_20() {
    assert_progress(
        SyncSource,
        Details::Normal,
        progress(0, 163_796, 163_796),
        "\t[>....................] sync'ed:  2.5% (163796/163796)K\n\tfinish: 0:06:49 speed: 0 (0) K/sec\n",
    );
    assert_progress(
        SyncSource,
        Details::Normal,
        progress(0, 1024, 1024),
        "\t[===================>] sync'ed:100.0% (1024/1024)K\n\tfinish: 0:00:02 speed: 0 (0) K/sec\n",
    );
}

#[test]
fn above_4_gib_amounts_are_in_mib() {
    assert_progress(
        SyncSource,
        Details::Normal,
        progress(5, 6_271_040, 6_271_040 + 20_188),
        "\t[>....................] sync'ed:  0.4% (6124/6140)M\n\tfinish: 0:25:37 speed: 4,036 (4,036) K/sec\n",
    );
}

#[test]
fn the_window_is_the_mark_two_behind_the_newest() {
    let mut near_end = progress(16, 14_896, 163_796);
    near_end.want = KibPerSecond(409_600);
    near_end.newest = 5;
    near_end.marks[7] = Mark {
        at: near_end.now - Duration::from_secs(3),
        left: BitCount(3724 + 5877),
    };
    assert_progress(
        SyncTarget,
        Details::Normal,
        near_end,
        "\t[=================>..] sync'ed: 92.5% (14896/163796)K\n\tfinish: 0:00:01 speed: 7,836 \
        (9,304) want: 409,600 K/sec\n",
    );
}

#[test]
fn a_standstill_of_three_minutes_is_said() {
    for (seconds, ending) in [(180, "K/sec\n"), (181, "K/sec (stalled)\n")] {
        let lines = progress_lines(
            SyncSource,
            Details::Normal,
            progress(seconds, 163_796, 163_796),
            Era::V84,
        );
        assert!(lines.ends_with(ending), "{seconds}: {lines}");
    }
}

#[test]
fn a_verify_shows_its_progress() {
    let with_want = Progress {
        want: KibPerSecond(4096),
        ..progress(3, 151_964, 163_796)
    };
    assert_progress(
        VerifyS,
        Details::Normal,
        with_want,
        "\t[>...................] verified:  7.5% (151964/163796)K\n\tfinish: 0:00:37 speed: 3,944 \
        (3,944) want: 4,096 K/sec\n",
    );
    assert_progress(
        VerifyT,
        Details::Normal,
        progress(3, 151_964, 163_796),
        "\t[>...................] verified:  7.5% (151964/163796)K\n\tfinish: 0:00:37 speed: 3,944 \
        (3,944) K/sec\n",
    );
}

#[test]
fn details_add_short_speed_position_and_caches() {
    let mut partial = progress(2, 135_636, 143_796);
    partial.want = KibPerSecond(4096);
    partial.position = Position {
        bit: BitCount(0),
        bits: BitCount(40_949),
        stop: Some(Sector(200_000)),
    };
    assert_progress(
        VerifyS,
        Details::More,
        partial,
        "\t[>...................] verified:  8.4% (135636/143796)K\n\tfinish: 0:00:32 speed: 4,080 \
        (4,080 -- 4,080) want: 4,096 K/sec\n\t 17% sector pos: 56320/327592 stop sector: 200000\n",
    );

    let (_, mut target) = resync_pair(23_864);
    let mut detailed = progress(12, 139_932, 163_796);
    detailed.want = KibPerSecond(2000);
    detailed.marks[7] = Mark {
        at: detailed.now - Duration::from_secs(4),
        left: BitCount(34_983 + 2032),
    };
    detailed.position = Position {
        bit: BitCount(5966),
        bits: BitCount(40_949),
        stop: Some(Sector(200_000)),
    };
    target.progress = Some(detailed);
    target.caches = Some(Caches {
        resync: CacheCounts {
            slots: 61,
            hits: 876,
            misses: 4,
            changed: 2,
            ..CacheCounts::default()
        },
        act_log: CacheCounts {
            slots: 1237,
            ..CacheCounts::default()
        },
    });
    let snapshot = Snapshot {
        details: Details::Most,
        ..file(vec![target])
    };
    let text = render(&snapshot, Era::V84);
    let expected = "\t[==>.................] sync'ed: 15.0% (139932/163796)K
\tfinish: 0:01:09 speed: 1,988 (2,032 -- 1,988) want: 2,000 K/sec
\t 14% sector pos: 47728/327592
\tresync: used:0/61 hits:876 misses:4 starving:0 locked:0 changed:2
\tact_log: used:0/1237 hits:0 misses:0 starving:0 locked:0 changed:0
\tblocked on activity log: 0
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn the_flags_tell_who_paused_and_what_is_suspended() {
    let mut paused = device(
        1,
        state(PausedSyncT, (Secondary, Primary), (Inconsistent, UpToDate)),
        Some(WireProtocol(2)),
    );
    paused.progress = Some(progress(3, 98_264, 163_796));
    let line = |device: &Device| {
        let text = devices_of(&file(vec![device.clone()]), Era::V84);
        text.lines().nth(1).unwrap().to_owned()
    };
    paused.state.user_isp = true;
    assert!(line(&paused).ends_with("ds:Inconsistent/UpToDate B r--u--"));
    paused.state.peer_isp = true;
    assert!(line(&paused).ends_with("B r-pu--"));
    paused.state.aftr_isp = true;
    assert!(line(&paused).ends_with("B rapu--"));
    paused.io = Io::Suspended;
    assert!(line(&paused).ends_with("B sapu--"));
    paused.protocol = Some(WireProtocol(9));
    assert!(line(&paused).ends_with(" I sapu--"), "64 + 9, as captured");
    let text = devices_of(&file(vec![paused]), Era::V84);
    assert!(!text.contains('\t'), "no progress while paused: {text}");
}

#[test]
fn a_primary_without_disk_and_network_is_shown_in_full() {
    let alone = device(
        0,
        state(
            StandAlone,
            (Primary, Unknown),
            (DiskState::Diskless, DUnknown),
        ),
        None,
    );
    let snapshot = file(vec![alone]);
    assert!(devices_of(&snapshot, Era::V84).starts_with(
        " 0: cs:StandAlone ro:Primary/Unknown ds:Diskless/DUnknown   r-----\n    ns:0"
    ));
    assert_eq!(devices_of(&snapshot, Era::V80), " 0: cs:Unconfigured\n");
}

#[test]
fn write_ordering_and_counters_stand_in_their_places() {
    let mut busy = device(
        0,
        state(
            ConnState::Ahead,
            (Primary, Secondary),
            (UpToDate, DiskState::Consistent),
        ),
        Some(WireProtocol(1)),
    );
    busy.counters = Counters {
        sent: kib(1980),
        disk_written: kib(13_568),
        al_writes: 11,
        local_pending: 24,
        peer_pending: 24,
        app_pending: 64,
        out_of_sync: bits(9984),
        ..Counters::default()
    };
    assert_devices(
        &file(vec![busy.clone()]),
        " 0: cs:Ahead ro:Primary/Secondary ds:UpToDate/Consistent A r-----\n    \
         ns:1980 nr:0 dw:13568 dr:0 al:11 bm:0 lo:24 pe:24 ua:0 ap:64 ep:1 wo:f oos:9984\n",
    );
    for (ordering, letter) in [
        (WriteOrdering::Barrier, "wo:b"),
        (WriteOrdering::Drain, "wo:d"),
        (WriteOrdering::None, "wo:n"),
    ] {
        busy.counters.write_ordering = ordering;
        assert!(devices_of(&file(vec![busy.clone()]), Era::V84).contains(letter));
    }
}

#[test]
fn the_oldest_series_lists_every_minor_and_knows_only_its_own_disk() {
    let mut source = device(
        0,
        state(SyncSource, (Primary, Secondary), (UpToDate, Inconsistent)),
        C,
    );
    source.counters = Counters {
        sent: kib(73_348),
        disk_written: kib(1184),
        disk_read: kib(75_532),
        al_writes: 3,
        bm_writes: 62,
        peer_pending: 16,
        ..Counters::default()
    };
    let snapshot = Snapshot {
        minor_count: 2,
        ..file(vec![source])
    };
    assert_eq!(
        render(&snapshot, Era::V07),
        "version: 0.7.20 (api:79/proto:74)
SVN Revision: 0 build by drbdd@userspace, 2026-11-21 00:00:00
 0: cs:SyncSource st:Primary/Secondary ld:Consistent
    ns:73348 nr:0 dw:1184 dr:75532 al:3 bm:62 lo:0 pe:16 ua:0 ap:0
 1: cs:Unconfigured
"
    );
}

#[test]
fn the_series_between_differ_in_flags_keys_and_tails() {
    let mut connected = device(
        0,
        state(Connected, (Primary, Secondary), (UpToDate, UpToDate)),
        C,
    );
    connected.caches = Some(Caches {
        resync: CacheCounts {
            slots: 31,
            ..CacheCounts::default()
        },
        act_log: CacheCounts {
            slots: 127,
            ..CacheCounts::default()
        },
    });
    let snapshot = file(vec![connected]);
    assert_eq!(
        devices_of(&snapshot, Era::V80),
        " 0: cs:Connected st:Primary/Secondary ds:UpToDate/UpToDate C r---
    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0
\tresync: used:0/31 hits:0 misses:0 starving:0 dirty:0 changed:0
\tact_log: used:0/127 hits:0 misses:0 starving:0 dirty:0 changed:0
"
    );
    assert!(devices_of(&snapshot, Era::V82).starts_with(
        " 0: cs:Connected st:Primary/Secondary ds:UpToDate/UpToDate C r---\n    \
         ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
    ));
    assert!(
        devices_of(&snapshot, Era::V83)
            .starts_with(" 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n")
    );
}

#[test]
fn old_series_say_stalled_and_percent_of_verify_in_their_own_way() {
    let stalled = progress_lines(
        SyncSource,
        Details::Normal,
        progress(21, 1_000_000, 2_000_000),
        Era::V82,
    );
    assert!(stalled.ends_with("K\n\tstalled\n"), "{stalled}");
    let verify = progress_lines(
        VerifyS,
        Details::Normal,
        progress(3, 151_964, 163_796),
        Era::V82,
    );
    assert_eq!(verify, "\t  7%      2958/40949\n");
}

proptest! {
    #[test]
    fn no_snapshot_makes_the_arithmetic_fail(
        total in any::<u64>(),
        left in any::<u64>(),
        mark in any::<(u32, u64)>(),
        newest in any::<usize>(),
        now in any::<u32>(),
        bit in any::<u64>(),
        bits in any::<u64>(),
    ) {
        let mark = Mark { at: Duration::from_secs(mark.0.into()), left: BitCount(mark.1) };
        let progress = Progress {
            total: BitCount(total),
            left: BitCount(left),
            marks: [mark; MARKS],
            newest,
            now: Duration::from_secs(now.into()),
            position: Position { bit: BitCount(bit), bits: BitCount(bits), stop: None },
            ..progress(0, 0, 0)
        };
        for conn in [SyncSource, SyncTarget, VerifyS, VerifyT] {
            for era in Era::ALL {
                let lines = progress_lines(conn, Details::Most, progress, era);
                prop_assert!(lines.lines().count() <= 4);
            }
        }
    }
}
