//! Time stamps of `events2 --timestamps`.

use drbd_control::Message;
use jiff::Zoned;

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

    /// The stamp of a message that is printed now, with a blank behind it.
    pub fn stamp(&mut self, message: &Message) -> String {
        self.stamp_at(message, &Zoned::now())
    }

    fn stamp_at(&mut self, message: &Message, now: &Zoned) -> String {
        let stamp = self.current.take().unwrap_or_else(|| format(now));
        let continues = message
            .notification()
            .is_some_and(|notification| notification.kind.continues());
        if continues {
            self.current = Some(stamp.clone());
        }
        stamp
    }
}

/// `2026-11-21T07:25:33.374456+00:00 `: local time with its offset.
fn format(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_control::{NoticeKind, NotificationHeader, Op};
    use jiff::{Timestamp, tz};

    fn at(micros: i64, zone: tz::TimeZone) -> Zoned {
        Timestamp::from_microsecond(micros).unwrap().to_zoned(zone)
    }

    #[test]
    fn stamps_are_local_time_with_its_offset() {
        let micros = 1_795_245_933_374_456;
        assert_eq!(
            format(&at(micros, tz::TimeZone::UTC)),
            "2026-11-21T07:25:33.374456+00:00 "
        );
        let west = tz::TimeZone::fixed(tz::offset(-3));
        assert_eq!(
            format(&at(micros, west)),
            "2026-11-21T04:25:33.374456-03:00 "
        );
    }

    #[test]
    fn the_messages_of_a_transaction_share_their_stamp() {
        let notice =
            |kind| Message::notice(Op::DeviceState, 3, None).with(NotificationHeader { kind });
        let mut stamps = Stamps::new();
        let mut tell = |kind, second: i64| {
            stamps.stamp_at(&notice(kind), &at(second * 1_000_000, tz::TimeZone::UTC))
        };
        let first = tell(NoticeKind::CHANGE.continued(), 1);
        assert_eq!(tell(NoticeKind::CHANGE.continued(), 2), first);
        assert_eq!(tell(NoticeKind::CHANGE, 3), first, "the last one of it");
        assert_ne!(tell(NoticeKind::CHANGE, 4), first);
    }
}
