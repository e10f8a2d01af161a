//! The application: reads, writes and flushes, and what it may expect of them.

use drbd_core::input::{Durability, IoId, IoRequest};
use drbd_types::Sector;

use super::{Failure, Life, Open, OpenKind, usable};
use crate::block::Block;
use crate::world::Completion;

impl Life {
    pub(super) fn write(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let block =
            self.spots[self.random.below(self.spots.len() as u64) as usize] + self.random.below(3);
        let blocks = self.random.between(1, 3);
        let (sector, sectors) = (block * 8, blocks * 8);
        let zero = self.random.chance(60);
        let value = if zero { 0 } else { self.next_value };
        self.next_value += 1;
        for sector in sector..sector + sectors {
            self.model.begin(sector, self.next_io, value);
        }
        if zero {
            let (first, size) = (Sector(sector), sectors as u32 * 512);
            let request = if self.random.chance(500) {
                IoRequest::Discard {
                    sector: first,
                    size,
                }
            } else {
                IoRequest::WriteZeroes {
                    sector: first,
                    size,
                }
            };
            return self.submit(node, OpenKind::Write { sector, sectors }, request);
        }
        let durability = if self.random.chance(100) {
            Durability::Fua
        } else {
            Durability::Cached
        };
        let data = Block::filled(value, sectors as usize);
        self.submit(
            node,
            OpenKind::Write { sector, sectors },
            IoRequest::Write {
                sector: Sector(sector),
                data,
                durability,
            },
        );
    }

    pub(super) fn read(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let block = self.spots[self.random.below(self.spots.len() as u64) as usize];
        let sector = block * 8;
        self.submit(
            node,
            OpenKind::Read { sector },
            IoRequest::Read {
                sector: Sector(sector),
                size: 4096,
            },
        );
    }

    pub(super) fn flush(&mut self) {
        let Some(node) = usable(&self.world) else {
            return;
        };
        let flush = self.model.begin_flush();
        self.submit(node, OpenKind::Flush(flush), IoRequest::Flush);
    }

    fn submit(&mut self, node: usize, kind: OpenKind, request: IoRequest<Block>) {
        let id = IoId(self.next_io);
        self.next_io += 1;
        self.open.insert(id, Open { node, kind });
        self.world.io(node, id, request);
    }

    /// A request that will never be answered, or was answered with an error.
    pub(super) fn give_up(&mut self, id: IoId) {
        if let Some(Open {
            kind: OpenKind::Write { sector, sectors },
            ..
        }) = self.open.remove(&id)
        {
            for sector in sector..sector + sectors {
                self.model.give_up(sector, id.0);
            }
        }
    }

    pub(super) fn completed(&mut self, completion: Completion) -> Result<(), Failure> {
        let id = completion.id;
        if completion.result.is_err() {
            self.give_up(id);
            return Ok(());
        }
        let Some(open) = self.open.remove(&id) else {
            return Ok(());
        };
        match (open.kind, completion.result) {
            (OpenKind::Write { sector, sectors }, Ok(_)) => {
                self.summary.acknowledged += 1;
                for sector in sector..sector + sectors {
                    self.model.acknowledge(sector, id.0);
                }
            }
            (OpenKind::Flush(flush), Ok(_)) => self.model.acknowledge_flush(flush),
            (OpenKind::Read { sector }, Ok(Some(data))) => {
                for (offset, &value) in data.sectors().iter().enumerate() {
                    let sector = sector + offset as u64;
                    if !self.model.allows(sector, value) {
                        let expected = self.model.describe(sector);
                        return Err(Failure::Correctness(format!(
                            "read {value} from sector {sector}, but {expected}"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
