//! What a stop demands of a loop. All loops follow the same timeline, and each of them acts on its own connections.

use super::{EventLoop, LoopMessage};
use crate::{
    engine::{
        net::{
            connection::{Connection, Flow},
            table::slot_of,
        },
        run::Run,
    },
    stop::{Action, Cause, Context, OnStop, Timeline},
};

impl EventLoop {
    /// Does what the stop demands by now.
    pub(super) fn follow_stop(&mut self, timeline: Timeline) {
        for action in self.loop_context.drain.advance(timeline, self.loop_context.now) {
            match action {
                Action::Announce(phase) => self.loop_context.run.entered(phase),
                Action::Hint => {
                    self.cancel(|run| &run.soft);
                    for token in self.table.tokens() {
                        let Some(connection) = self.table.get_mut(token) else { continue };
                        match connection.on_drain(&mut self.loop_context) {
                            // The review follows, and sets the deadlines in order of time.
                            Flow::Wait => {}
                            flow => self.settle(token, flow),
                        }
                    }
                }
                Action::EndListening => self.end_listening(),
                Action::RejectCancelled => self.reject(|on_stop| on_stop == OnStop::Cancel),
                Action::RejectWaiting => {
                    // The connections of the other routes were told by `RejectCancelled`.
                    self.reject(|on_stop| on_stop != OnStop::Cancel);
                    self.loop_context.dispatcher.discard_waiting();
                }
                Action::CancelHandlers => self.cancel(|run| &run.hard),
                Action::Review => {
                    self.close_kept_listeners();
                    self.review_deadlines();
                }
                Action::CutOff => self.close_all(),
            }
        }
    }

    /// Tells the connections that have a request of such a route in flight: the handler is about to be cancelled.
    fn reject(&mut self, of_route: fn(OnStop) -> bool) {
        for token in self.table.tokens() {
            let is_meant = |connection: &mut Connection| connection.on_stop().is_some_and(of_route);
            if self.table.get_mut(token).is_some_and(is_meant) {
                self.deal_with(token, Connection::on_cancel);
            }
        }
    }

    /// Ends a context. The callbacks that handlers have registered with the context run here.
    fn cancel(&self, context: impl FnOnce(&Run) -> &Context) {
        self.loop_context.in_user_code(|loop_context| context(&loop_context.run).cancel(Cause::Stopping));
    }

    /// Sets the deadline of every connection anew: takes all deadlines out of their lists first, then sets them in order of time.
    /// So each deadline belongs at the tail of its list, and thousands cost no more than to sort them.
    fn review_deadlines(&mut self) {
        let mut waiting = Vec::new();
        for token in self.table.tokens() {
            self.deadlines.set(slot_of(token), None);
            let connection = self.table.get_mut(token);
            waiting.push((connection.and_then(|connection| connection.deadline(&self.loop_context)), token));
        }
        waiting.sort_unstable_by_key(|(deadline, _)| deadline.map(|(_, at)| at));
        for (deadline, token) in waiting {
            self.deadlines.set(slot_of(token), deadline);
        }
    }

    /// Closes the listeners, the connections, and the connections that are in the mailbox.
    pub(super) fn close_all(&mut self) {
        self.drop_listeners();
        for message in self.inbox.exchange(Vec::new()) {
            if let LoopMessage::Accepted(stream, peer, in_flight) = message {
                self.add(stream, peer, in_flight);
            }
        }
        for token in self.table.tokens() {
            if let Some(connection) = self.table.get_mut(token) {
                let reason = connection.standing().reason_at_the_end();
                self.close(token, reason);
            }
        }
    }
}
