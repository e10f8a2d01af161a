//! A peer that sends anything: no panic, no memory without bound, no time without end.
//!
//! Debug builds stop at arithmetic overflow, so this finds counters that a peer can drive below
//! zero as well.

use drbd_sim::hostile::{Flood, attack, flood};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

#[test]
fn random_packets_do_not_stop_a_node() {
    let first = setting("SIM_SEED", 1);
    let count = setting("SIM_ATTACKS", 300);
    let (mut packets, mut connected) = (0, 0);
    for seed in first..first + count {
        let life = std::panic::catch_unwind(|| attack(seed, 600));
        let Ok(seen) = life else {
            panic!("SIM_SEED={seed} SIM_ATTACKS=1 repeats it");
        };
        packets += seen.packets;
        connected += seen.connected;
    }
    assert!(packets > 100 * count, "only {packets} packets arrived");
    assert!(connected > 50 * count, "hardly ever connected: {connected}");
}

#[test]
fn a_flood_is_not_read_further_than_the_buffers_reach() {
    const BUFFERS: u64 = 2048;
    for kind in [
        Flood::ResyncRequests,
        Flood::Writes,
        Flood::StateRequests,
        Flood::Barriers,
    ] {
        let taken = flood(kind, 20 * BUFFERS);
        assert!(
            taken <= 2 * BUFFERS,
            "{taken} packets of {kind:?} were taken in"
        );
    }
}
