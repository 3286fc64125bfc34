//! Events for the clients of this replica. All replicas follow the same stream, and the number in the stream is the id of
//! the event.
//!
//! ```text
//!   EVENTS  1 2 3 4 5 6 7 8 9
//!             |     └───┬───┘ the hub's history: what this replica has followed
//!             |         └──> every subscriber
//!             └ Last-Event-ID: 2   read 3, 4 from the stream, then 5 to 9 from the history, then what is new
//! ```
//!
//! The hub joins the history and what is new while holding its lock, so that there is no gap and no double
//! ([`Hub::resume`]). A client may come back with an id that this replica has not reached yet. The replica waits for
//! that event, because otherwise the client would get events twice.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use futures_util::StreamExt;
use softstop::{
    Body, Request, Response, StatusCode,
    events::{Event, Hub},
};
use tokio::{select, sync::watch, time::sleep};

use crate::{
    Failure,
    jobs::unavailable,
    link::{EVENTS, Link, PATIENCE},
};

/// How many events the hub holds. A client that comes back within so many events costs no request to NATS.
const HISTORY: u64 = 1000;
/// How many events are read from the stream for one request. A client that has missed more comes back for the rest.
const PAGE: u64 = 2000;
/// After an error.
const PAUSE: Duration = Duration::from_millis(250);

/// The events of all replicas.
pub(crate) struct Feed {
    hub: Hub,
    link: Arc<Link>,
    /// The number of the last event that the hub has got. `None` before the first connecting.
    reached: watch::Sender<Option<u64>>,
}

impl Feed {
    /// Follows the stream, for as long as the link is open.
    pub(crate) fn follow(link: &Arc<Link>) -> Feed {
        // The hub also holds the mark before the first event.
        let hub = Hub::builder().history(HISTORY as usize + 1).build();
        let feed = Feed { hub, link: Arc::clone(link), reached: watch::Sender::new(None) };
        link.spawn(follow(feed.hub.clone(), Arc::clone(link), feed.reached.clone()));
        feed
    }

    /// Whether the hub knows where the stream is.
    pub(crate) fn has_begun(&self) -> bool {
        self.reached.borrow().is_some()
    }

    /// Waits for that, but not longer than [`PATIENCE`].
    pub(crate) fn wait_until_begun(&self) -> Result<(), Failure> {
        match self.waits_until_reached(0) {
            true => Ok(()),
            false => Err(format!("NATS has not been reachable for {PATIENCE:?}").into()),
        }
    }

    /// The response that makes a client a subscriber: first what the client has missed, then what is new.
    pub(crate) fn subscribe(&self, request: &Request) -> Response {
        let Some(tip) = *self.reached.borrow() else { return unavailable("NATS was not reachable yet\n") };
        // An id that is no number is not from here. Such a client begins anew.
        let last = request.last_event_id().and_then(|id| id.parse().ok());
        match self.catch_up(last, tip) {
            Ok(response) => response,
            Err(error) => unavailable(&format!("the events cannot be read: {error}\n")),
        }
    }

    fn catch_up(&self, last: Option<u64>, tip: u64) -> Result<Response, Failure> {
        let mut missed = Vec::new();
        let mut last = match last {
            Some(last) if self.waits_until_reached(last) => last,
            // The stream has lost its end, for instance with its disk.
            Some(last) if self.link.wait(self.end_of_stream())? < last => {
                missed.push(Event::new("the events begin anew").name("reset").id(&tip.to_string()));
                tip
            }
            Some(last) => return Err(format!("this replica has not reached event {last} yet").into()),
            // The client learns where it begins, so that it can come back before the first event.
            None => {
                missed.push(Event::without_data().id(&tip.to_string()));
                tip
            }
        };
        // The second attempt always succeeds, unless a whole history of events has come meanwhile.
        for _ in 0..3 {
            if let Some(response) = self.hub.resume(&last.to_string(), &missed) {
                return Ok(response);
            }
            // The hub does not hold that event any more. The stream does.
            let page = self.link.wait(self.read_after(last))?;
            let first = page.first().map_or(Ok(tip + 1), number)?;
            if first > last + 1 {
                // Only after a day, or very many events.
                let gap = format!("the events {} to {} are not kept any more", last + 1, first - 1);
                missed.push(Event::new(&gap).name("gap").id(&(first - 1).to_string()));
            }
            last = page.last().map_or(Ok(tip), number)?;
            for message in &page {
                missed.push(event(message)?);
            }
            if page.len() as u64 == PAGE {
                return Ok(one_page(&missed));
            }
            if !self.waits_until_reached(last) {
                return Err(format!("this replica has not reached event {last} yet").into());
            }
        }
        Err("the events come faster than they can be read".into())
    }

    /// Waits a moment for this replica to get as far in the stream. False if it does not.
    fn waits_until_reached(&self, number: u64) -> bool {
        let mut reached = self.reached.subscribe();
        let there = async { reached.wait_for(|it| it.is_some_and(|it| it >= number)).await.map(drop) };
        self.link.wait(there).is_ok()
    }

    async fn end_of_stream(&self) -> Result<u64, Failure> {
        let info = self.link.jetstream.get_stream(EVENTS).await?.get_info().await?;
        Ok(info.state.last_sequence)
    }

    /// The events after this one that are in the stream now, at most a page of them.
    async fn read_after(&self, last: u64) -> Result<Vec<Message>, Failure> {
        let stream = self.link.jetstream.get_stream_no_info(EVENTS).await?;
        let from_there = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            ack_policy: AckPolicy::None,
            memory_storage: true,
            inactive_threshold: PATIENCE * 5,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(from_there).await?;
        let mut batch = consumer.fetch().max_messages(PAGE as usize).messages().await?;
        let mut page = Vec::new();
        while let Some(message) = batch.next().await {
            page.push(message?);
        }
        Ok(page)
    }
}

/// Hands every event of the stream to the hub, in order and once, over all connections.
async fn follow(hub: Hub, link: Arc<Link>, reached: watch::Sender<Option<u64>>) {
    loop {
        let connection = link.ready().await;
        let result = select! {
            () = link.lost(connection) => continue,
            result = follow_once(&hub, &link, &reached) => result,
        };
        if let Err(error) = result {
            println!("the events cannot be followed: {error}");
            sleep(PAUSE).await;
        }
    }
}

async fn follow_once(hub: &Hub, link: &Link, reached: &watch::Sender<Option<u64>>) -> Result<(), Failure> {
    let stream = link.jetstream.get_stream(EVENTS).await?;
    let known = *reached.borrow();
    let last = match known {
        Some(last) => last,
        None => {
            let state = &stream.cached_info().state;
            // The event before the first one of the history. Without it, the hub would not know clients that have seen
            // everything.
            let before =
                state.last_sequence.saturating_sub(HISTORY).max(state.first_sequence.saturating_sub(1));
            hub.publish(&Event::without_data().id(&before.to_string()));
            reached.send_replace(Some(before));
            before
        }
    };
    let from_there = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
        ..pull::OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(from_there).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        hub.publish(&event(&message)?);
        reached.send_replace(Some(number(&message)?));
    }
    Err("the consumer has ended".into())
}

fn event(message: &Message) -> Result<Event, Failure> {
    Ok(Event::new(&String::from_utf8_lossy(&message.payload)).id(&number(message)?.to_string()))
}

fn number(message: &Message) -> Result<u64, Failure> {
    Ok(message.info()?.stream_sequence)
}

/// A page of events, and the end of the response. An `EventSource` comes back by itself, with the id of the last event.
fn one_page(missed: &[Event]) -> Response {
    let text: String = missed.iter().map(Event::encode).collect();
    Response::new(StatusCode::OK)
        .content_type("text/event-stream")
        .header("Cache-Control", "no-store")
        .with_body(Body::from(text))
}
