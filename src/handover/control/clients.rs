//! One client of the control socket: its request, and the answer.

use std::{
    io,
    os::unix::net::UnixStream,
    process,
    time::{Duration, Instant},
};

use crate::{
    handover::{
        Replaced, Replacement,
        channel::{Channel, Owner, Received},
        control::listener::Privacy,
        news::{News, news},
        offering::{self, hand_over_to},
        protocol::{Answer, Request, ServerLine, StatusLine},
        state::{Ended, Of, Older},
        waits_for,
    },
    isolation::journal,
};

/// How long a client may take to say what it wants.
const REQUEST: Duration = Duration::from_secs(2);
/// How often a client that waits for the end is told what the drain waits for, if that has changed.
const PROGRESS: Duration = Duration::from_secs(1);

/// Serves one client. Strangers are closed without a word.
pub(super) fn serve(of: &Of, privacy: Privacy, stream: UnixStream) {
    let Ok(mut channel) = Channel::new(stream) else { return };
    match (channel.owner(), privacy) {
        // A client of another PID namespace cannot be told by its credentials. The kernel has let the client connect, which the
        // mode of the file allows to nobody else.
        (Owner::Ours, _) | (Owner::Unknown, Privacy::Private) => {}
        (Owner::Other { uid }, _) => {
            journal::warn!("another user ({uid}) has connected to the control socket, and was turned away");
            return;
        }
        (Owner::Unknown, Privacy::Open) => {
            journal::warn!(
                "a client of the control socket was turned away: its user is not known, and others may open the socket"
            );
            return;
        }
    }
    let refused = match channel.line_until(Some(Instant::now() + REQUEST)) {
        Ok(Received::Line(line)) => match Request::parse(&line) {
            Ok(request) => {
                // An error means that the client has gone.
                _ = obey(of, channel, request);
                return;
            }
            Err(garbage) => garbage.to_string(),
        },
        Ok(Received::Garbage(garbage)) => garbage.to_string(),
        Ok(Received::Nothing) => "no request within 2 seconds".to_owned(),
        Ok(Received::Eof) | Err(_) => return,
    };
    _ = channel.say(&Answer::Refused { text: refused }.to_line());
}

fn obey(of: &Of, mut channel: Channel, request: Request) -> io::Result<()> {
    match request {
        Request::Status => status(of, &mut channel),
        Request::Reload { timeout } => reload(of, &mut channel, timeout),
        Request::Stop { grace } => stop(of, &mut channel, grace),
        Request::Takeover { pid } => {
            hand_over_to(of, channel, pid);
            Ok(())
        }
    }
}

fn status(of: &Of, channel: &mut Channel) -> io::Result<()> {
    let Of { handover, .. } = of;
    let phase = handover.role().to_owned();
    let status = StatusLine { generation: handover.generation(), pid: process::id(), phase };
    channel.say(&Answer::Status(status).to_line())?;
    for server in handover.servers() {
        let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        let line =
            ServerLine { name: server.name().to_owned(), phase: server.phase().to_string(), addresses };
        channel.say(&Answer::Server(line).to_line())?;
    }
    let text = waits_for(of);
    if !text.is_empty() {
        channel.say(&Answer::Waits { text }.to_line())?;
    }
    if let Some(Older { generation, pid, waits, .. }) = handover.older() {
        channel.say(&Answer::Older { generation, pid, text: waits }.to_line())?;
    }
    channel.say(&Answer::Done.to_line())
}

fn reload(of: &Of, channel: &mut Channel, timeout: Duration) -> io::Result<()> {
    let _speaker = of.handover.speaker();
    let (teller, news) = news();
    let begun = offering::replace(of, Replacement::default().timeout(timeout), teller);
    let mut is_listening = true;
    let outcome = begun.and_then(|()| {
        loop {
            match news.next() {
                // A client that has gone, or does not read, does not end the handover.
                Some(News::Line(text)) if is_listening => {
                    is_listening = channel.say(&Answer::News { text }.to_line()).is_ok();
                }
                Some(News::Line(_)) => {}
                Some(News::Outcome(outcome)) => return outcome,
                None => return Err(offering::outcome_unknown()),
            }
        }
    });
    channel.say(&match outcome {
        Ok(Replaced { pid, generation, drains_within: within }) => {
            Answer::Replaced { generation, pid, within }.to_line()
        }
        Err(error) => Answer::Failed { kind: error.kind(), text: error.to_string() }.to_line(),
    })
}

fn stop(of: &Of, channel: &mut Channel, grace: Option<Duration>) -> io::Result<()> {
    let _speaker = of.handover.speaker();
    let policy = of.group.policy();
    let policy = grace.map_or(policy, |grace| policy.grace(grace));
    of.group.request_stop(policy);
    channel.say(&Answer::Stopping { pid: process::id(), within: policy.max_duration() }.to_line())?;
    let mut said = String::new();
    loop {
        if let Some(ended) = of.handover.wait_ended(Instant::now() + PROGRESS) {
            return channel.say(&Answer::Stopped { is_clean: ended == Ended::Clean }.to_line());
        }
        let text = waits_for(of);
        if text != said {
            channel.say(&Answer::Waits { text: text.clone() }.to_line())?;
            said = text;
        }
    }
}
