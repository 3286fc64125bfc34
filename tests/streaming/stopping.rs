//! A stop while contents come in, and routes with settings that contradict each other.

use std::{
    io::{ErrorKind, Read},
    panic::{self, Location, PanicHookInfo},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use softstop::{Phase, Request, StopPolicy, route, routing::Route};

use crate::{Channel, Served, client::HUNG, drain};

/// A server whose handler has begun to read a request. The content of the request is incomplete.
fn reading() -> (Served, crate::Client, Arc<Channel<Result<u64, ErrorKind>>>) {
    let (begun, seen) = (Channel::new(), Channel::new());
    let (tell_begun, tell_seen) = (begun.clone(), seen.clone());
    let served = Served::new(move |request: &Request| {
        let mut reader = request.reader();
        reader.read_exact(&mut [0]).unwrap();
        tell_begun.put(());
        let result = drain(reader);
        tell_seen.put(result);
        format!("{result:?}")
    });
    let client = served.post("Content-Length: 10\r\n\r\n01234");
    begun.take();
    (served, client, seen)
}

#[test]
fn an_upload_that_ends_within_the_grace_period_is_answered() {
    let (served, mut client, _) = reading();
    let handle = served.0.handle();
    handle.request_stop(StopPolicy::default().grace(HUNG));
    while handle.phase() < Phase::Draining {
        thread::yield_now();
    }
    client.send("56789");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.close), ("Ok(9)", true));
    client.assert_ended();
    let report = served.0.wait();
    assert!(report.is_clean() && report.requests.completed == 1, "{report}");
}

#[test]
fn an_upload_that_does_not_is_an_error_for_its_handler() {
    let (served, mut client, seen) = reading();
    served.0.handle().request_stop(StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(HUNG));
    assert_eq!(seen.take(), Err(ErrorKind::ConnectionAborted));
    let answer = client.answer();
    assert_eq!((answer.text(), answer.close), ("Err(ConnectionAborted)", true));
    client.assert_ended();
    assert_eq!(served.0.wait().requests.cancelled, 1);
}

#[test]
fn a_route_cannot_be_inline_and_streamed() {
    let handler = |_: &Request| "never";
    type Combine = fn(Route) -> Route;
    let rows: [(Combine, Route); 3] = [
        (|route| route.inline(), route(handler).streamed()),
        (|route| route.streamed(), route(handler).inline()),
        (|route| route.body_limit(5).inline(), route(handler).streamed()),
    ];
    for (combine, route) in rows {
        let place = Arc::new(Mutex::new(None));
        let noted = Arc::clone(&place);
        // The hook notes panics of this thread only, because other tests may run at the same time.
        let (thread, usual) = (thread::current().id(), panic::take_hook());
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if thread::current().id() == thread {
                *noted.lock().unwrap() = info.location().map(Location::file).map(str::to_owned);
            }
        }));
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| combine(route)));
        panic::set_hook(usual);
        let message = *result.unwrap_err().downcast::<&str>().unwrap();
        assert!(message.contains("both inline and streamed"), "{message}");
        assert_eq!(
            place.lock().unwrap().as_deref(),
            Some(file!()),
            "the panic names the file in which the route was made"
        );
    }
}
