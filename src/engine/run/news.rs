//! Events that concern the whole server, on their way to the observer. A loop tells the observer of them, in order. The thread that
//! asks for a stop never does.
//!
//! An observer is a user's code, and may block. The thread that asks for a stop may be the one that listens to signals, so it
//! only leaves its news here. The first loop that comes by tells all there is; loops that come meanwhile leave theirs, too,
//! and go on. So an observer that blocks holds one loop, and the others stop as usual.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{Occupation, Run};
use crate::{
    observe::Event,
    stop::{ListenerEnd, Phase, StopPolicy},
    sync::lock,
};

/// Stops that wait to be told. Who asks more often while no loop can tell is not told of.
const MOST_STOPS: usize = 64;

/// What an observer is told of the whole server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    Started { at: Instant },
    StopAsked { policy: StopPolicy, at: Instant },
    PhaseEntered { phase: Phase, since: Instant },
    ListenerClosed { rescued: u64, end: ListenerEnd },
    Stopped { at: Instant },
}

/// Where news wait.
#[derive(Default)]
pub(super) struct Desk {
    /// Whether there may be any: looked at in every turn, so outside of the lock.
    has_any: AtomicBool,
    pile: Mutex<Pile>,
}

#[derive(Default)]
struct Pile {
    waiting: VecDeque<News>,
    /// Whether a loop is telling just now.
    is_being_told: bool,
}

impl Run {
    /// Leaves news for the next loop that comes by. Never blocks.
    pub(crate) fn announce(&self, news: News) {
        if !self.config.is_observed() {
            return;
        }
        let mut pile = lock(&self.news.pile);
        match news {
            News::StopAsked { .. } if pile.waiting.len() >= MOST_STOPS => return,
            _ => {}
        }
        pile.waiting.push_back(news);
        self.news.has_any.store(true, Ordering::Release);
    }

    /// For a loop: tells the observer what there is, unless another loop is telling already.
    pub(crate) fn tell_news(&self, loop_number: usize) {
        if !self.news.has_any.load(Ordering::Acquire) {
            return;
        }
        {
            let mut pile = lock(&self.news.pile);
            if std::mem::replace(&mut pile.is_being_told, true) {
                return;
            }
        }
        loop {
            let next = {
                let mut pile = lock(&self.news.pile);
                let next = pile.waiting.pop_front();
                if next.is_none() {
                    pile.is_being_told = false;
                    self.news.has_any.store(false, Ordering::Release);
                }
                next
            };
            let Some(news) = next else { return };
            let tell = || self.config.observe(&news.event());
            self.loops[loop_number].occupied(Occupation::Observer, tell);
        }
    }
}

impl News {
    fn event(self) -> Event<'static> {
        match self {
            News::Started { at } => Event::Started { at },
            News::StopAsked { policy, at } => Event::StopAsked { policy, at },
            News::PhaseEntered { phase, since } => Event::PhaseEntered { phase, since },
            News::ListenerClosed { rescued, end } => Event::ListenerClosed { rescued, end },
            News::Stopped { at } => Event::Stopped { at },
        }
    }
}
