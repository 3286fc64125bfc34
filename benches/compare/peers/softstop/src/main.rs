//! softstop with the routes of the other servers. `--place inline` runs the handlers that need not wait on the event
//! loops. `--place pool` runs all handlers on the worker pool, whose queue holds `--queue N` requests.

use std::thread;

use peer_answers::{
    Arguments, BIG, BLOCK, GRACE, HELLO, KIB, LARGEST_ECHO, PAUSE, PIECE, SLEPT, STREAMED, announce,
    milliseconds, value,
};
use softstop::{
    Body, Error, Group, IntoResponse, Request, Response, Router, Server, StatusCode, StopPolicy, route,
    routing::Route,
};

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let place = match value::<String>("--place").as_deref() {
        None | Some("pool") => Place::Pool,
        Some("inline") => Place::Inline,
        Some(other) => panic!("--place {other}: inline or pool"),
    };
    let mut builder = Server::builder()
        .listen(arguments.listen.to_string())
        .loops(arguments.threads)
        .max_workers(arguments.blocking)
        .routes(routes(&place));
    if let Some(queue) = value("--queue") {
        builder = builder.max_queued(queue);
    }
    let server = builder.build();
    let handle = server.handle();
    Group::new()
        .policy(StopPolicy::default().grace(GRACE))
        .stop_on_signals()
        .server(server)
        .task("announce", move |_| announce(handle.socket_addrs()[0]))
        .run()?;
    Ok(())
}

enum Place {
    Inline,
    Pool,
}

impl Place {
    fn route<R: IntoResponse>(&self, handler: impl Fn(&Request) -> R + Send + Sync + 'static) -> Route {
        match self {
            Place::Inline => route(handler).inline(),
            Place::Pool => route(handler),
        }
    }
}

fn routes(place: &Place) -> Router {
    let echo = place.route(|request: &Request| request.shared_body());
    Router::new()
        .get("/", place.route(|_| HELLO))
        .get("/kib", place.route(|_| &KIB[..]))
        .get("/big", place.route(|_| &BIG[..]))
        .post("/echo", echo.body_limit(LARGEST_ECHO as u64))
        .get("/sleep", |request: &Request| {
            match request.context().sleep(milliseconds(request.query_string())) {
                Ok(()) => SLEPT.to_owned(),
                Err(cause) => format!("woken early: {cause}"),
            }
        })
        .get("/stream", stream)
        .get("/block", |_: &Request| {
            thread::sleep(BLOCK);
            SLEPT
        })
}

/// Sends a piece from time to time, on a thread that the stop waits for.
fn stream(request: &Request) -> Response {
    let (sender, body) = Body::stream(4096);
    let begun = request.server().detach("stream", move |context| {
        let stopping = context.stopping();
        for _ in 0..STREAMED {
            if sender.send(PIECE).is_err() || stopping.sleep(PAUSE).is_err() {
                return;
            }
        }
    });
    match begun {
        Ok(()) => Response::new(StatusCode::OK).with_body(body),
        Err(_) => Response::new(StatusCode::SERVICE_UNAVAILABLE),
    }
}
