//! The queue of effects, with the gate that makes them wait for durable meta-data.
//!
//! Invariant: once a gated meta-data write is in the queue, no later effect that anybody outside
//! could observe (a packet, a completion, a disk write, a reply) leaves before that write is on
//! stable storage. So a crash never finds a promise made that the disk does not know of.
//! Pings and their answers pass: liveness must not depend on the disk (spec 50 section 14.1).

use alloc::collections::VecDeque;

use crate::effect::Effect;
use crate::input::MetaOp;
use drbd_wire::Body;

enum Held<B> {
    Effect(Effect<B>),
    Wait { op: MetaOp, done: Progress },
}

#[derive(PartialEq, Eq)]
enum Progress {
    Running,
    Durable,
}

pub(crate) struct Outbox<B> {
    ready: VecDeque<Effect<B>>,
    held: VecDeque<Held<B>>,
}

impl<B> Outbox<B> {
    pub(crate) const fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, effect: Effect<B>) {
        if self.held.is_empty() || passes_gate(&effect) {
            self.ready.push_back(effect);
        } else {
            self.held.push_back(Held::Effect(effect));
        }
    }

    /// Makes everything that is pushed from now on wait for `op`.
    pub(crate) fn close_gate(&mut self, op: MetaOp) {
        self.held.push_back(Held::Wait {
            op,
            done: Progress::Running,
        });
    }

    /// `op` is durable (or has failed for good).
    pub(crate) fn open_gate(&mut self, finished: MetaOp) {
        for held in &mut self.held {
            if let Held::Wait { op, done } = held
                && *op == finished
            {
                *done = Progress::Durable;
            }
        }
        while let Some(front) = self.held.pop_front() {
            match front {
                Held::Effect(effect) => self.ready.push_back(effect),
                Held::Wait {
                    done: Progress::Durable,
                    ..
                } => {}
                wait @ Held::Wait { .. } => {
                    self.held.push_front(wait);
                    break;
                }
            }
        }
    }

    /// How much waits for meta-data to become durable.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn pop(&mut self) -> Option<Effect<B>> {
        self.ready.pop_front()
    }
}

fn passes_gate<B>(effect: &Effect<B>) -> bool {
    match effect {
        Effect::Meta { .. } | Effect::Log { .. } | Effect::Changed => true,
        Effect::Send { packet, .. } => matches!(packet.body, Body::Ping | Body::PingAck),
        _ => false,
    }
}
