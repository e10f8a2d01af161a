//! Time stamps of `events2 --timestamps`.

use drbd_control::Message;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hands out time stamps; messages of one transaction share one.
#[derive(Debug, Default)]
pub struct Stamps {
    current: Option<String>,
}

impl Stamps {
    /// No transaction yet.
    pub const fn new() -> Self {
        Self { current: None }
    }

    /// The stamp of a message, with a blank behind it.
    pub fn stamp(&mut self, message: &Message) -> String {
        let stamp = self.current.take().unwrap_or_else(now);
        let continues = message
            .notification()
            .is_some_and(|notification| notification.kind.continues());
        if continues {
            self.current = Some(stamp.clone());
        }
        stamp
    }
}

fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format(since.as_secs(), since.subsec_micros())
}

/// `2026-11-21T07:25:33.374456+00:00 `
fn format(seconds: u64, micros: u32) -> String {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}+00:00 ",
        second_of_day / 3600,
        second_of_day % 3600 / 60,
        second_of_day % 60,
    )
}

/// Year, month and day of a number of days since 1970-01-01. Years begin in March here, so that
/// the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @SECONDS` prints them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(format(0, 0), "1970-01-01T00:00:00.000000+00:00 ");
        assert_eq!(format(951_827_696, 5), "2000-02-29T12:34:56.000005+00:00 ");
        assert_eq!(
            format(1_795_245_933, 374_456),
            "2026-11-21T07:25:33.374456+00:00 "
        );
        assert_eq!(
            format(4_107_542_399, 0),
            "2100-02-28T23:59:59.000000+00:00 "
        );
    }
}
