//! The new process, once its servers serve: carries out what [`NewState`] decides, on a thread of its own.

use std::{
    os::fd::{AsFd, OwnedFd},
    process,
    sync::Arc,
    thread,
    time::Instant,
};

use super::{
    HandoverEvent, Takeover,
    channel::{Bell, Channel, Received, readable},
    control,
    protocol::{ControlSocket, FromNew, FromOld, NewAction, NewInput, NewState, OldProcess},
    state::{Of, Older},
};
use crate::{engine::net::Lent, error::Error, isolation::journal};

/// Says `ready`, and sees the takeover through on a thread of its own.
pub(super) fn take_over(
    of: &Of,
    mut takeover: Takeover,
    control: ControlSocket,
    taken: Vec<usize>,
    over: Arc<Bell>,
) -> Result<(), Error> {
    takeover.restore_stderr();
    let Takeover { channel, state, generation, old_pid, old_process, .. } = takeover;
    let mut succession =
        Succession { of: of.clone(), channel, state, generation, old_pid, old_process, over };
    let ready = FromNew::Ready { control, taken };
    let speaker = of.handover.speaker();
    let body = move || {
        let _speaker = speaker;
        let action = succession.state.step(NewInput::Initialised);
        if action == NewAction::SayReady {
            // If old is gone, its end is the next thing to be read.
            _ = succession.channel.say(&ready.to_line());
        } else {
            succession.act(action);
        }
        succession.follow();
    };
    let thread = thread::Builder::new().name("takeover".to_owned()).spawn(body);
    thread.map(drop).map_err(|error| Error::io("no thread for the takeover", error))
}

struct Succession {
    of: Of,
    channel: Channel,
    state: NewState,
    generation: u32,
    old_pid: u32,
    old_process: Option<Arc<OwnedFd>>,
    over: Arc<Bell>,
}

impl Succession {
    /// Until old has ended, or this group has.
    fn follow(&mut self) {
        while !matches!(self.state, NewState::Serving(OldProcess::Gone) | NewState::Ending | NewState::Failed)
        {
            let Some(input) = self.next_input() else {
                // So that old can tell this end from an accident.
                _ = self.channel.say(&FromNew::Stopped.to_line());
                return;
            };
            let action = self.state.step(input);
            self.act(action);
        }
    }

    /// `None` when the group has ended.
    fn next_input(&mut self) -> Option<NewInput> {
        loop {
            match self.channel.next_line() {
                Some(Received::Line(line)) => {
                    let said = |message| NewInput::Said(message, Instant::now());
                    return Some(FromOld::parse(&line).map_or_else(NewInput::Garbage, said));
                }
                Some(Received::Garbage(garbage)) => return Some(NewInput::Garbage(garbage)),
                _ => {}
            }
            match readable([self.channel.as_fd(), self.over.as_fd()], None) {
                Ok([_, true]) => return None,
                Ok([true, false]) => match self.channel.fill() {
                    Ok(0) | Err(_) => return Some(NewInput::Eof),
                    Ok(_) => {}
                },
                Ok([false, false]) => {}
                Err(error) => {
                    journal::warn!("cannot wait for the old process: {error}");
                    return Some(NewInput::Eof);
                }
            }
        }
    }

    fn act(&mut self, action: NewAction) {
        let handover = Arc::clone(&self.of.handover);
        match action {
            NewAction::TakeCharge => {
                let until = match &self.state {
                    NewState::Serving(OldProcess::Draining { until }) => *until,
                    _ => Instant::now(),
                };
                let (generation, pid) = (self.generation.saturating_sub(1), self.old_pid);
                // Two groups of one process may hand over to each other, and a process cannot wait for its own end.
                let process = self.old_process.take().filter(|_| pid != process::id());
                self.take_charge(Some(Older { generation, pid, until, process, waits: String::new() }));
                // If old is gone, its end is the next thing to be read.
                _ = self.channel.say(&FromNew::Charged.to_line());
            }
            NewAction::TakeChargeShared => {
                journal::error!("the old process (pid {}) makes no sense: this one serves on", self.old_pid);
                self.take_charge(None);
            }
            NewAction::TakeChargeAlone => {
                journal::warn!("the old process (pid {}) is gone: this one serves alone", self.old_pid);
                self.have_alone();
                self.take_charge(None);
            }
            NewAction::HaveAlone => self.have_alone(),
            NewAction::OldEnded => {
                self.have_alone();
                if let Some(Older { generation, pid, .. }) = handover.older_ended() {
                    journal::info!("generation {generation} (pid {pid}) has ended");
                    handover.tell(HandoverEvent::OlderEnded { generation, pid });
                }
            }
            NewAction::Note(text) => handover.note_older(text),
            NewAction::Stop(text) => {
                journal::error!("the old process serves on, and this one stops: {text}");
                self.of.group.request_stop(self.of.group.policy());
            }
            // These belong to the beginning of a takeover.
            NewAction::Nothing
            | NewAction::Meet { .. }
            | NewAction::KeepListener(_)
            | NewAction::KeepControl(..)
            | NewAction::KeepStderr
            | NewAction::Initialise
            | NewAction::SayReady
            | NewAction::Fail(_) => {}
        }
    }

    /// No other process has the listeners any more, so a stop of this one closes them without a loss.
    fn have_alone(&self) {
        self.of.handover.servers().iter().for_each(|server| server.lend_listeners(Lent::No));
    }

    fn take_charge(&self, older: Option<Older>) {
        let from = older.as_ref().map(|older| older.pid);
        self.of.handover.takes_charge(older);
        control::answer(&self.of, &self.over);
        let generation = self.generation;
        journal::info!("generation {generation} is in charge");
        self.of.handover.tell(HandoverEvent::InCharge { generation, from });
    }
}
