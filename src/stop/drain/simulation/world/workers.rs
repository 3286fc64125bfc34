//! The workers, and the handlers that they call.

use super::{Activity, State, World, WorldEvent};
use crate::stop::drain::simulation::{HandlerPlan, Milliseconds, milliseconds};

impl World<'_> {
    pub(super) fn work(&mut self) {
        while self.running.len() < self.scenario.workers
            && let Some(number) = self.jobs.pop_front()
        {
            let State::Open(Activity::Waiting(handler)) = self.connections[number].state else {
                panic!("a worker has begun a request that is not waiting");
            };
            self.connections[number].state = State::Open(Activity::Handling);
            self.running.push((number, handler, self.now));
            if let Some(after) = self.returns_after(handler) {
                self.after(milliseconds(after), WorldEvent::HandlerReturns(number));
            }
        }
    }

    /// Tells the running handlers that a stop has begun, or that their contexts are cancelled.
    pub(super) fn tell_handlers(&mut self) {
        for (number, handler, _) in self.running.clone() {
            let is_about_it = match handler {
                HandlerPlan::OnHint(_) => !self.cancelled,
                HandlerPlan::OnCancel(_) => self.cancelled,
                _ => false,
            };
            if is_about_it && let Some(after) = self.returns_after(handler) {
                self.after(milliseconds(after), WorldEvent::HandlerReturns(number));
            }
        }
    }

    fn returns_after(&self, handler: HandlerPlan) -> Option<Milliseconds> {
        match handler {
            HandlerPlan::Inline => Some(0),
            HandlerPlan::Takes(after) => Some(after),
            HandlerPlan::OnHint(after) => self.hinted.then_some(after),
            HandlerPlan::OnCancel(after) => self.cancelled.then_some(after),
            HandlerPlan::Never => None,
        }
    }
}
