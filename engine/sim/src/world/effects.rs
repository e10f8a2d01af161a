//! What the cores want done: disks, meta-data, helpers, answers.

use drbd_core::Resource;
use drbd_core::effect::{DiskIo, Effect, HelperSubject, MetaIo, MetaOrder};
use drbd_core::input::{DiskError, Payload};

use super::{Completion, Event, MetaStep, World};
use crate::block::Block;
use crate::disk::{Completed, Fate, MetaDataArea};
use crate::story::Line;

impl World {
    pub(super) fn drain(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node]
            .core
            .as_mut()
            .and_then(Resource::next_effect)
        {
            self.effect(node, effect);
        }
        self.arm(node);
    }

    fn arm(&mut self, node: usize) {
        let Some(at) = self.nodes[node]
            .core
            .as_ref()
            .and_then(Resource::next_timeout)
        else {
            return;
        };
        let at = at.as_nanos().max(self.now);
        if self.nodes[node].timer.is_none_or(|armed| at < armed) {
            self.nodes[node].timer = Some(at);
            let life = self.nodes[node].life;
            self.at(at, Event::Timer { node, life });
        }
    }

    fn effect(&mut self, node: usize, effect: Effect<Block>) {
        let life = self.nodes[node].life;
        match effect {
            Effect::Reply { ticket, reply } => {
                self.nodes[node].replies.insert(ticket.0, reply);
            }
            Effect::Complete { id, result, .. } => {
                self.completions.push(Completion { node, id, result })
            }
            Effect::Disk { op, io, .. } => {
                self.check_overlap(node, &io);
                self.nodes[node].data_io.insert(op, io);
                let before = self.nodes[node].disk.completed();
                let done = Event::DiskDone {
                    node,
                    life,
                    op,
                    before,
                };
                self.after(20, 600, done);
            }
            Effect::Meta { op, order, io, .. } => {
                let idle = self.nodes[node].meta_io.is_empty();
                self.nodes[node]
                    .meta_io
                    .push_back(MetaStep { op, order, io });
                if idle {
                    self.begin_meta(node);
                }
            }
            Effect::OpenLink { link, .. } => {
                self.net.sides[node].wanted = Some(link);
                self.maybe_establish();
            }
            Effect::CloseLink { link } => {
                if self.net.sides[node].wanted == Some(link) {
                    self.net.sides[node].wanted = None;
                }
                if self.net.sides[node].up == Some(link) {
                    self.drop_sockets(node);
                }
            }
            Effect::Send {
                link,
                socket,
                packet,
                payload,
            } => self.send(node, link, socket, packet, payload),
            Effect::Helper { run, event, about } => {
                let subject = match about {
                    HelperSubject::Minor(minor) => format!("minor-{minor}"),
                    HelperSubject::Resource => format!("r{node}"),
                };
                let command = format!("helper command: <helper> {event} {subject}");
                self.tell(node, &command);
                let exit = self.nodes[node].helper_exits.get(event).copied();
                let done = Event::HelperDone {
                    node,
                    life,
                    run,
                    command,
                    exit: exit.unwrap_or(0),
                };
                self.after(100, 5_000, done);
            }
            Effect::SetAccess { access, .. } => self.nodes[node].access = access,
            Effect::Log { scope, text, .. } => self.story.push(Line {
                at: self.now,
                node,
                scope: Some(scope),
                text,
            }),
            Effect::SetSize { .. } | Effect::CloseDisk { .. } | Effect::Changed => {}
        }
    }

    /// Nobody orders two writes to the same sector that are in flight together.
    fn check_overlap(&mut self, node: usize, io: &DiskIo<Block>) {
        let Some((start, end)) = written_range(io) else {
            return;
        };
        let clash = self.nodes[node].data_io.values().any(|other| {
            written_range(other)
                .is_some_and(|(other_start, other_end)| start < other_end && other_start < end)
        });
        if clash {
            let text =
                format!("node {node}: two writes to sectors {start}..{end} in flight together");
            self.violation.get_or_insert(text);
        }
    }

    pub(super) fn carry_out(
        &mut self,
        node: usize,
        io: &DiskIo<Block>,
        before: Completed,
    ) -> Result<Option<Block>, DiskError> {
        let state = &mut self.nodes[node];
        if state.faults.hit(io) {
            // An error says nothing about what reached the medium.
            state.disk.data_io(io, Fate::Torn, &mut self.random);
            return Err(DiskError::Io);
        }
        state.disk.data_io(io, Fate::Done, &mut self.random);
        Ok(match *io {
            DiskIo::Read { sector, size } => Some(state.disk.read(sector, size)),
            DiskIo::Flush => {
                state.disk.flush(before);
                None
            }
            _ => None,
        })
    }

    /// The turn of the first meta-data operation has come.
    pub(super) fn begin_meta(&mut self, node: usize) {
        let (life, before) = (self.nodes[node].life, self.nodes[node].disk.completed());
        self.after(20, 400, Event::MetaDone { node, life, before });
    }

    pub(super) fn carry_out_meta(
        &mut self,
        node: usize,
        order: MetaOrder,
        io: &MetaIo,
        before: Completed,
    ) -> Result<(), DiskError> {
        let state = &mut self.nodes[node];
        if order == MetaOrder::AfterDataFlush {
            state.disk.flush(before);
        }
        if state.faults.meta_data == MetaDataArea::Unwritable {
            return Err(DiskError::Io);
        }
        state.disk.meta_io(io, Fate::Done, &mut self.random);
        Ok(())
    }

    /// The first meta-data operation of a dying node. Its flush comes first: without it nothing
    /// of the operation is on disk.
    pub(super) fn interrupt(&mut self, node: usize, step: &MetaStep) {
        let disk = &mut self.nodes[node].disk;
        if step.order == MetaOrder::AfterDataFlush {
            if self.random.chance(300) {
                return;
            }
            disk.flush(disk.completed());
        }
        disk.meta_io(&step.io, Fate::Torn, &mut self.random);
    }
}

fn written_range(io: &DiskIo<Block>) -> Option<(u64, u64)> {
    match io {
        DiskIo::Write { sector, data, .. } => {
            Some((sector.0, sector.0 + u64::from(data.size()) / 512))
        }
        DiskIo::Discard { sector, size } | DiskIo::WriteZeroes { sector, size } => {
            Some((sector.0, sector.0 + u64::from(*size) / 512))
        }
        DiskIo::Read { .. } | DiskIo::Flush => None,
    }
}
