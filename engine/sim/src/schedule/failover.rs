//! The careful administrator: who becomes Primary, and when.

use drbd_core::input::{Admin, Force, HeldOpen};
use drbd_core::time::Duration;
use drbd_types::{DiskState, Role};

use super::{Failure, Life, primary, role, up_to_date};
use crate::world::VOLUME;

impl Life {
    /// Planned failover.
    pub(super) fn switch_over(&mut self) -> Result<(), Failure> {
        let Some(old) = primary(&self.world) else {
            return Ok(());
        };
        if !up_to_date(&self.world) {
            return Ok(());
        }
        self.wait_for_requests_of(old)?;
        if role(&self.world, old) != Some(Role::Primary) {
            return Ok(());
        }
        self.world.admin(
            old,
            Admin::Secondary {
                volume: VOLUME,
                held: HeldOpen::Free,
            },
        );
        self.pass(Duration::from_millis(5))?;
        self.promote_somebody();
        Ok(())
    }

    fn wait_for_requests_of(&mut self, node: usize) -> Result<(), Failure> {
        for _ in 0..200 {
            if !self.open.values().any(|open| open.node == node) {
                break;
            }
            self.pass(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Unplanned or planned: whoever is good enough, if nobody is Primary.
    pub(super) fn promote_somebody(&mut self) {
        if primary(&self.world).is_some() || self.promotion_pending() {
            return;
        }
        let first = self.random.below(2) as usize;
        for node in [first, 1 - first] {
            let other_may_be_primary = self.unfenced_primary(1 - node);
            let good = self
                .world
                .status(node)
                .is_some_and(|status| status.state.disk == DiskState::UpToDate);
            if good && !self.stale[node] && !other_may_be_primary {
                let force = Force::No;
                let request = Admin::Primary {
                    volume: VOLUME,
                    force,
                };
                let ticket = self.world.admin(node, request);
                self.promoting = Some((node, ticket));
                return;
            }
        }
    }

    fn promotion_pending(&self) -> bool {
        self.promoting.is_some_and(|(node, ticket)| {
            self.world.is_running(node) && self.world.reply(node, ticket).is_none()
        })
    }

    fn unfenced_primary(&self, node: usize) -> bool {
        role(&self.world, node) == Some(Role::Primary)
    }
}
