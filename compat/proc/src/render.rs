//! The file as text (spec 70 sections 1.2 to 1.6).

use crate::layout::{CacheLines, Disks, Epochs, Layout, Listing, layout};
use crate::progress;
use crate::snapshot::{
    ActivityLog, Build, CacheCounts, Caches, Congestion, Counters, Details, Device, Io, Snapshot,
    WireProtocol, WriteOrdering, version_line,
};
use drbd_options::Era;
use drbd_types::{ConnState, DiskState, Role};
use std::fmt::{self, Write};

/// The text of `/proc/drbd` in the form of a series.
pub fn render(snapshot: &Snapshot, era: Era) -> String {
    let mut out = String::new();
    // Writing to a String fails only if a Display implementation does; none of these do.
    let _ = write_all(&mut out, snapshot, era);
    out
}

fn write_all(out: &mut String, snapshot: &Snapshot, era: Era) -> fmt::Result {
    let layout = layout(era);
    writeln!(out, "{}", version_line(era))?;
    write_build(out, &snapshot.build, era)?;
    match layout.listing {
        Listing::Allocated => {
            let mut next = 0;
            for device in &snapshot.devices {
                if device.minor.0 != next {
                    writeln!(out)?;
                }
                next = device.minor.0.saturating_add(1);
                write_device(out, &layout, snapshot.details, device)?;
            }
        }
        Listing::All => {
            let mut devices = snapshot.devices.iter().peekable();
            for minor in 0..snapshot.minor_count {
                match devices.next_if(|device| device.minor.0 == minor) {
                    Some(device) => write_device(out, &layout, snapshot.details, device)?,
                    None => writeln!(out, "{minor:>2}: cs:Unconfigured")?,
                }
            }
        }
    }
    Ok(())
}

fn write_build(out: &mut String, build: &Build, era: Era) -> fmt::Result {
    match build {
        // The series before 8.3 came from Subversion; a revision number is all that is parsed.
        Build::Git { by, at, .. } if era <= Era::V80 => {
            writeln!(out, "SVN Revision: 0 build by {by}, {at}")
        }
        Build::Git { hash, by, at } => writeln!(out, "GIT-hash: {hash} build by {by}, {at}"),
        Build::SrcVersion(version) => writeln!(out, "srcversion: {version:<24}"),
        Build::BuiltIn => writeln!(out, "built-in"),
    }
}

fn is_unconfigured(device: &Device, layout: &Layout) -> bool {
    let state = &device.state;
    state.conn == ConnState::StandAlone
        && state.disk == DiskState::Diskless
        // 8.2.7 and later show a Primary without anything.
        && (state.role == Role::Secondary || layout.epochs == Epochs::Absent)
}

fn write_device(
    out: &mut String,
    layout: &Layout,
    details: Details,
    device: &Device,
) -> fmt::Result {
    let (minor, state) = (device.minor, &device.state);
    if is_unconfigured(device, layout) {
        return writeln!(out, "{minor:>2}: cs:Unconfigured");
    }
    let (key, role, peer) = (layout.role_key, state.role, state.peer);
    match layout.disks {
        Disks::OwnConsistency => writeln!(
            out,
            "{minor:>2}: cs:{} {key}:{role}/{peer} ld:{}",
            old_connection(device),
            if state.disk > DiskState::Inconsistent {
                "Consistent"
            } else {
                "Inconsistent"
            },
        )?,
        Disks::Both => writeln!(
            out,
            "{minor:>2}: cs:{} {key}:{role}/{peer} ds:{}/{} {} {}",
            state.conn,
            state.disk,
            state.pdsk,
            protocol_letter(device.protocol),
            &flag_letters(device)[..layout.flags],
        )?,
    }
    write_counters(out, layout, &device.counters)?;
    if let Some(progress) = &device.progress {
        progress::write(out, layout, state.conn, details, progress)?;
    }
    if let Some(caches) = &device.caches {
        write_caches(out, layout, details, caches)?;
    }
    if details >= Details::Most && layout.caches == CacheLines::Details {
        writeln!(out, "\tblocked on activity log: {}", device.blocked_on_al)?;
    }
    Ok(())
}

/// 0.7 says in the connection state who has no disk.
fn old_connection(device: &Device) -> &'static str {
    let state = &device.state;
    let is_connected = state.conn >= ConnState::Connected;
    if is_connected && state.disk == DiskState::Diskless {
        "DiskLessClient"
    } else if is_connected && state.pdsk == DiskState::Diskless {
        "ServerForDLess"
    } else {
        state.conn.name()
    }
}

/// A letter for every number, as the driver computes it.
fn protocol_letter(protocol: Option<WireProtocol>) -> char {
    let Some(WireProtocol(number)) = protocol else {
        return ' ';
    };
    u8::try_from(number)
        .ok()
        .and_then(|n| n.checked_add(64))
        .map_or('?', char::from)
}

fn flag_letters(device: &Device) -> String {
    let state = &device.state;
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    [
        match device.io {
            Io::Running => 'r',
            Io::Suspended => 's',
        },
        letter(state.aftr_isp, 'a'),
        letter(state.peer_isp, 'p'),
        letter(state.user_isp, 'u'),
        match device.congestion {
            Congestion::None => '-',
            Congestion::Blocked => 'd',
            Congestion::Disk => 'b',
            Congestion::Network => 'n',
            Congestion::DiskAndNetwork => 'a',
            Congestion::Helper => 'c',
        },
        match device.activity_log {
            ActivityLog::Kept => '-',
            ActivityLog::Suspended => 's',
        },
    ]
    .iter()
    .collect()
}

fn write_counters(out: &mut String, layout: &Layout, counters: &Counters) -> fmt::Result {
    let Counters {
        sent,
        received,
        disk_written,
        disk_read,
        al_writes,
        bm_writes,
        local_pending,
        peer_pending,
        unacked,
        app_pending,
        epochs,
        write_ordering,
        out_of_sync,
    } = counters;
    write!(
        out,
        "    ns:{} nr:{} dw:{} dr:{} al:{al_writes} bm:{bm_writes} lo:{local_pending} \
         pe:{peer_pending} ua:{unacked} ap:{app_pending}",
        sent.kib(),
        received.kib(),
        disk_written.kib(),
        disk_read.kib(),
    )?;
    if layout.epochs == Epochs::Shown {
        let ordering = match write_ordering {
            WriteOrdering::Barrier => 'b',
            WriteOrdering::Flush => 'f',
            WriteOrdering::Drain => 'd',
            WriteOrdering::None => 'n',
        };
        let oos = out_of_sync.0.saturating_mul(4);
        write!(out, " ep:{epochs} wo:{ordering} oos:{oos}")?;
    }
    writeln!(out)
}

fn write_caches(
    out: &mut String,
    layout: &Layout,
    details: Details,
    caches: &Caches,
) -> fmt::Result {
    let locked = match layout.caches {
        CacheLines::Always => "dirty",
        CacheLines::Details if details >= Details::More => "locked",
        CacheLines::Details | CacheLines::Never => return Ok(()),
    };
    for (name, counts) in [("resync", &caches.resync), ("act_log", &caches.act_log)] {
        let CacheCounts {
            used,
            slots,
            hits,
            misses,
            starving,
            locked: locked_count,
            changed,
        } = counts;
        writeln!(
            out,
            "\t{name}: used:{used}/{slots} hits:{hits} misses:{misses} starving:{starving} \
             {locked}:{locked_count} changed:{changed}"
        )?;
    }
    Ok(())
}
