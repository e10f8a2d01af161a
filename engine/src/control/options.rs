//! Option values of control messages as the typed configuration of core and network. Pure.
//!
//! The kernel takes any number (spec 30 section 5.1). Here a number that no word has counts as the
//! option's default; what was given is still what `show` prints.

use std::num::NonZeroU32;
use std::time::Duration;

use drbd_control::{Endpoint, Nest, RetCode, Settings};
use drbd_core::config::{
    AlUpdates, AlwaysAsbp, BitmapCode, DiskConf, NetConf, OnIoError, ResourceConf, WriteOrdering,
};
use drbd_core::split_brain::{AfterSb0Pri, AfterSb1Pri, AfterSb2Pri, RrConflict};
use drbd_core::state_rules::{Fencing, OnNoData, TwoPrimaries};
use drbd_types::{Protocol, SectorCount};
use drbd_wire::{AfterSb, Features};

use crate::net::{self, Auth, HmacAlg, Secret};

/// Digest algorithms that csums-alg and verify-alg may name: the core compares the names with the
/// peer's, as the kernel does before it looks for an implementation.
const DIGESTS: &[&str] = &[
    "crc32c", "md5", "sha1", "sha224", "sha256", "sha384", "sha512",
];

fn number(settings: &Settings, name: &str) -> u32 {
    let value = settings.number(name).unwrap_or_default();
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn on(settings: &Settings, name: &str) -> bool {
    settings.switch(name).unwrap_or_default()
}

fn text(settings: &Settings, name: &str) -> String {
    settings.text(name).unwrap_or_default()
}

fn deciseconds(settings: &Settings, name: &str) -> Duration {
    Duration::from_millis(u64::from(number(settings, name)) * 100)
}

fn seconds(settings: &Settings, name: &str) -> Duration {
    Duration::from_secs(u64::from(number(settings, name)))
}

/// Resource options.
pub fn resource(settings: &Settings) -> ResourceConf {
    ResourceConf {
        on_no_data: match number(settings, "on-no-data-accessible") {
            1 => OnNoData::SuspendIo,
            _ => OnNoData::IoError,
        },
    }
}

/// Disk options.
pub fn disk(settings: &Settings) -> DiskConf {
    DiskConf {
        size: SectorCount(settings.number("size").unwrap_or_default()),
        on_io_error: match number(settings, "on-io-error") {
            0 => OnIoError::PassOn,
            1 => OnIoError::CallLocalIoError,
            _ => OnIoError::Detach,
        },
        fencing: match number(settings, "fencing") {
            1 => Fencing::ResourceOnly,
            2 => Fencing::ResourceAndStonith,
            _ => Fencing::DontCare,
        },
        ordering: match (on(settings, "disk-flushes"), on(settings, "disk-drain")) {
            (true, _) => WriteOrdering::Flush,
            (false, true) => WriteOrdering::Drain,
            (false, false) => WriteOrdering::None,
        },
        resync_rate: number(settings, "resync-rate").max(1),
        c_plan_ahead: number(settings, "c-plan-ahead").min(300),
        c_delay_target: number(settings, "c-delay-target"),
        c_fill_target: number(settings, "c-fill-target"),
        c_max_rate: number(settings, "c-max-rate"),
        c_min_rate: number(settings, "c-min-rate"),
        al_extents: number(settings, "al-extents"),
        al_updates: match on(settings, "al-updates") {
            true => AlUpdates::Written,
            false => AlUpdates::Omitted,
        },
    }
}

/// Network options of the core.
pub fn net(settings: &Settings) -> NetConf {
    NetConf {
        protocol: Protocol::from_code(number(settings, "protocol")).unwrap_or(Protocol::C),
        timeout: deciseconds(settings, "timeout"),
        ping_int: seconds(settings, "ping-int"),
        ping_timeout: deciseconds(settings, "ping-timeout"),
        ko_count: number(settings, "ko-count"),
        max_buffers: number(settings, "max-buffers"),
        max_epoch_size: number(settings, "max-epoch-size"),
        after_sb_0pri: AfterSb0Pri::from_code(after_sb(settings, "after-sb-0pri"))
            .unwrap_or(AfterSb0Pri::Disconnect),
        after_sb_1pri: AfterSb1Pri::from_code(after_sb(settings, "after-sb-1pri"))
            .unwrap_or(AfterSb1Pri::Disconnect),
        after_sb_2pri: AfterSb2Pri::from_code(after_sb(settings, "after-sb-2pri"))
            .unwrap_or(AfterSb2Pri::Disconnect),
        always_asbp: match on(settings, "always-asbp") {
            true => AlwaysAsbp::Yes,
            false => AlwaysAsbp::No,
        },
        rr_conflict: match number(settings, "rr-conflict") {
            9 => RrConflict::CallPriLost,
            10 => RrConflict::Violently,
            _ => RrConflict::Disconnect,
        },
        two_primaries: match on(settings, "allow-two-primaries") {
            true => TwoPrimaries::Allowed,
            false => TwoPrimaries::Refused,
        },
        bitmap_code: match on(settings, "use-rle") {
            true => BitmapCode::RunLength,
            false => BitmapCode::Plain,
        },
        verify_alg: text(settings, "verify-alg"),
        csums_alg: text(settings, "csums-alg"),
    }
}

fn after_sb(settings: &Settings, name: &str) -> AfterSb {
    AfterSb(number(settings, name))
}

/// Why a network configuration cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetRefusal {
    /// A return code of the tables.
    Code(RetCode),
    /// An address that is not one of a family that this engine speaks.
    Address,
}

/// The algorithms in the order in which the kernel looks for them (spec 30 section 5.5).
pub fn check_algorithms(settings: &Settings) -> Result<(), RetCode> {
    let known = |name: &str| {
        let alg = text(settings, name);
        alg.is_empty() || DIGESTS.contains(&alg.as_str())
    };
    if !known("csums-alg") {
        return Err(RetCode::CsumsAlg);
    }
    if !known("verify-alg") {
        return Err(RetCode::VerifyAlg);
    }
    // The payload of a packet is not digested by this engine yet: better refused than ignored.
    if !text(settings, "data-integrity-alg").is_empty() {
        return Err(RetCode::IntegrityAlg);
    }
    let cram = text(settings, "cram-hmac-alg");
    if !cram.is_empty() && HmacAlg::from_name(&cram).is_none() {
        return Err(RetCode::AuthAlg);
    }
    Ok(())
}

/// How to reach the peer.
pub fn connection(
    mine: &Endpoint,
    peer: &Endpoint,
    settings: &Settings,
) -> Result<net::Config, NetRefusal> {
    check_algorithms(settings).map_err(NetRefusal::Code)?;
    let local = mine.socket_addr().ok_or(NetRefusal::Address)?;
    let peer = peer.socket_addr().ok_or(NetRefusal::Address)?;
    let auth = HmacAlg::from_name(&text(settings, "cram-hmac-alg")).map(|alg| Auth {
        alg,
        secret: Secret::new(text(settings, "shared-secret").as_bytes()),
    });
    Ok(net::Config {
        local,
        peer,
        versions: drbd_core::VERSIONS,
        features: Features::all(),
        auth,
        connect_int: seconds(settings, "connect-int"),
        ping_timeout: deciseconds(settings, "ping-timeout"),
        socket_check_timeout: Some(deciseconds(settings, "socket-check-timeout"))
            .filter(|time| !time.is_zero()),
        send_buffer: NonZeroU32::new(number(settings, "sndbuf-size")),
        receive_buffer: NonZeroU32::new(number(settings, "rcvbuf-size")),
    })
}

/// The defaults of a set, with what was given on top.
pub fn with_defaults(nest: Nest, given: &Settings) -> Settings {
    let mut settings = Settings::defaults(nest);
    settings.apply(given, drbd_control::Unmentioned::Keep);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd_control::Setting;

    fn set(settings: &mut Settings, name: &str, value: Setting) {
        let row = drbd_options::by_name(name)
            .find(|row| row.attribute.is_some())
            .unwrap();
        settings.set(row, value);
    }

    #[test]
    fn the_defaults_are_those_of_8_4() {
        let conf = net(&Settings::defaults(Nest::NetConf));
        assert_eq!(conf.protocol, Protocol::C);
        assert_eq!(conf.timeout, Duration::from_secs(6));
        assert_eq!(conf.ping_timeout, Duration::from_millis(500));
        assert_eq!((conf.ko_count, conf.max_buffers), (7, 2048));
        assert_eq!(conf.bitmap_code, BitmapCode::RunLength);
        let conf = disk(&Settings::defaults(Nest::DiskConf));
        assert_eq!(conf.ordering, WriteOrdering::Flush);
        assert_eq!((conf.al_extents, conf.resync_rate), (1237, 250));
        assert_eq!((conf.c_max_rate, conf.c_fill_target), (102_400, 100));
        assert_eq!(conf.on_io_error, OnIoError::Detach);
    }

    #[test]
    fn numbers_that_no_word_has_count_as_the_default() {
        let mut settings = Settings::defaults(Nest::NetConf);
        set(&mut settings, "protocol", Setting::Number(9));
        set(&mut settings, "after-sb-0pri", Setting::Number(8));
        let conf = net(&settings);
        assert_eq!(conf.protocol, Protocol::C);
        assert_eq!(conf.after_sb_0pri, AfterSb0Pri::Disconnect);
    }

    #[test]
    fn unknown_algorithms_are_refused_in_the_order_of_the_kernel() {
        let mut settings = Settings::defaults(Nest::NetConf);
        assert_eq!(check_algorithms(&settings), Ok(()));
        let name = |text: &str| Setting::Text(text.into());
        set(&mut settings, "csums-alg", name("sha1"));
        set(&mut settings, "verify-alg", name("sha1"));
        set(&mut settings, "cram-hmac-alg", name("sha1"));
        assert_eq!(check_algorithms(&settings), Ok(()));
        set(&mut settings, "cram-hmac-alg", name("rot13"));
        assert_eq!(check_algorithms(&settings), Err(RetCode::AuthAlg));
        set(&mut settings, "verify-alg", name("rot13"));
        assert_eq!(check_algorithms(&settings), Err(RetCode::VerifyAlg));
        set(&mut settings, "csums-alg", name("rot13"));
        assert_eq!(check_algorithms(&settings), Err(RetCode::CsumsAlg));
    }
}
