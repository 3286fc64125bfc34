//! Jobs over HTTP: a 202 is a promise, because the stream has stored the job before.

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind},
};
use softstop::{IntoResponse, Request, Response, StatusCode};

use crate::{
    Failure,
    link::{EVENTS, EVENTS_PREFIX, JOBS, JOBS_SUBJECT, Link},
};

/// Longer jobs are refused, because they are surely a mistake.
const LONGEST: u64 = 600_000;
/// A key is a UUID or a hash, and not a text.
const LONGEST_KEY: usize = 128;

/// Where a job is.
enum State {
    Done(String),
    Open,
}

/// Stores a job, and answers when it is stored: 202, with the address of the job.
///
/// A 503 does not say that the job is not stored, only that nothing is known of it. The client repeats the request with
/// the same `Idempotency-Key`, and gets the address of the one job.
pub(crate) fn submit(request: &Request, link: &Link) -> Response {
    let job = str::from_utf8(request.body()).ok().and_then(|text| text.trim().parse().ok());
    let Some(milliseconds) = job.filter(|&milliseconds: &u64| milliseconds <= LONGEST) else {
        let text = format!("expected content: how long the job takes, in milliseconds, at most {LONGEST}\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let mut headers = HeaderMap::new();
    if let Some(key) = request.header("Idempotency-Key") {
        if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = format!("expected Idempotency-Key: 1 to {LONGEST_KEY} visible ASCII characters\n");
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
        // The stream ignores a message with an id that it knows, and answers with the number of the first one.
        headers.insert(NATS_MESSAGE_ID, key);
    }
    if !link.is_ready() {
        return unavailable("NATS is not reachable: the job is not stored\n");
    }
    let publish = async {
        let content = milliseconds.to_string().into();
        let stored = link.jetstream.publish_with_headers(JOBS_SUBJECT, headers, content).await?.await?;
        Ok::<_, Failure>(stored.sequence)
    };
    match link.wait(publish) {
        Ok(number) => (StatusCode::ACCEPTED, format!("job {number} is stored\n"))
            .into_response()
            .header("Location", &format!("/jobs/{number}")),
        Err(error) => {
            unavailable(&format!("the job may be stored or not, repeat with the same key: {error}\n"))
        }
    }
}

/// What has become of a job.
pub(crate) fn look(request: &Request, link: &Link) -> Response {
    let number = request.param("number").and_then(|number| number.parse().ok());
    let Some(number) = number else {
        return (StatusCode::NOT_FOUND, "expected the number of a job\n").into_response();
    };
    if !link.is_ready() {
        return unavailable("NATS is not reachable\n");
    }
    match link.wait(find(number, link)) {
        Ok(Some(State::Done(how))) => format!("{how}\n").into_response(),
        Ok(Some(State::Open)) => format!("job {number} waits, or is in work\n").into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such job\n").into_response(),
        Err(error) => unavailable(&format!("{error}\n")),
    }
}

async fn find(number: u64, link: &Link) -> Result<Option<State>, Failure> {
    let events = link.jetstream.get_stream_no_info(EVENTS).await?;
    match events.get_last_raw_message_by_subject(&format!("{EVENTS_PREFIX}.{number}")).await {
        Ok(event) => return Ok(Some(State::Done(String::from_utf8_lossy(&event.payload).into_owned()))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
        Err(error) => return Err(error.into()),
    }
    match link.jetstream.get_stream_no_info(JOBS).await?.get_raw_message(number).await {
        Ok(_) => Ok(Some(State::Open)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The answer while NATS does not answer. The client comes back, perhaps to another replica.
pub(crate) fn unavailable(text: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text.to_owned()).into_response().header("Retry-After", "1")
}
