//! What the scenario tests share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use drbd_core::input::{Admin, ClearBitmap};
use drbd_sim::setup::Setup;
use drbd_sim::world::VOLUME;

pub const fn new_current_uuid(bitmap: ClearBitmap) -> Admin {
    Admin::NewCurrentUuid {
        volume: VOLUME,
        bitmap,
    }
}

pub const fn invalidate() -> Admin {
    Admin::Invalidate { volume: VOLUME }
}

pub const fn invalidate_remote() -> Admin {
    Admin::InvalidateRemote { volume: VOLUME }
}

/// A resync that takes many seconds.
pub fn slow_resync() -> Setup {
    let mut setup = Setup::default();
    setup.disk.c_plan_ahead = 0;
    setup.disk.resync_rate = 2000;
    setup
}

/// `T: ` and `S: ` at the beginning of lines become the numbers of target and source.
pub fn addressed(text: &str, target: usize) -> String {
    let lines = text.lines().map(str::trim_start).map(|line| {
        let line = line
            .strip_prefix("T:")
            .map_or_else(|| line.to_owned(), |rest| format!("{target}:{rest}"));
        line.strip_prefix("S:")
            .map_or_else(|| line.clone(), |rest| format!("{}:{rest}", 1 - target))
    });
    lines.collect::<Vec<_>>().join("\n")
}
