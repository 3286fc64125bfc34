//! A command-line login: a server that lives until a browser brings a token.
//!
//! What goes wrong elsewhere: the handler hands the token to `main`, and `main` returns. Now and then the browser shows
//! "connection reset" instead of "you can close this window", because the end of the process is faster than the
//! response. Go's `ListenAndServe` invites this mistake, because `ListenAndServe` returns when `Shutdown` *begins*. The
//! usual cure is to sleep for a second. Other programs fix the port, which is taken when two logins run at once.
//!
//! Here the system chooses the port, and the server knows the port once `start` returns. `stop` returns when the whole
//! page is sent: the server shuts the connection down for writing, and reads until the browser has closed too. So no
//! reset can overtake the page. A spare connection on which the browser has sent nothing delays the stop by a tenth of
//! a second at most.
//!
//! Try: `cargo run --example token_login`, then open the printed address, or run
//! `curl 'http://127.0.0.1:PORT/callback?token=abc'`. (An argument sets how many seconds the program waits; the default
//! is 120.)

use std::{env, error::Error, process::ExitCode, time::Duration};

use crossbeam_channel::{Sender, bounded};
use softstop::{Request, Response, Router, Server, StatusCode, StopPolicy};

const WELCOME: &str =
    "<!doctype html><title>Logged in</title><p>You are logged in and can close this window.</p>\n";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let seconds = env::args().nth(1).map_or(Ok(120), |seconds| seconds.parse())?;
    Ok(match log_in(Duration::from_secs(seconds))? {
        Some(token) => {
            println!("token: {token}");
            ExitCode::SUCCESS
        }
        None => {
            println!("nobody has logged in within {seconds} s");
            ExitCode::FAILURE
        }
    })
}

/// Waits for the token that a browser brings, for at most `time`.
fn log_in(time: Duration) -> Result<Option<String>, softstop::Error> {
    let (found, token) = bounded(1);
    let routes = Router::new().get("/callback", move |request: &Request| callback(request, &found));
    // Only this machine can reach the server, and only while the login lasts.
    let server = Server::builder().name("login").listen("127.0.0.1:0").routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/callback");
        println!(
            "open http://{address}/callback?token=abc (a real login: its provider, which redirects there)"
        );
    }
    // An error means a time-out here, because the server keeps the sender alive.
    let token = token.recv_timeout(time).ok();
    println!("{}", server.stop(StopPolicy::default()));
    Ok(token)
}

/// A real login would also compare a random `state` that the login had sent along, so that an attacker cannot inject a
/// token.
fn callback(request: &Request, found: &Sender<String>) -> Response {
    match request.query("token").filter(|token| !token.is_empty()) {
        Some(token) => {
            // A full channel means that a second token came while the first one is on its way. The first token counts.
            let _ = found.try_send(token.into_owned());
            Response::new(StatusCode::OK).content_type("text/html; charset=utf-8").with_body(WELCOME)
        }
        None => Response::new(StatusCode::BAD_REQUEST)
            .content_type("text/plain; charset=utf-8")
            .with_body("no token: the address should end in /callback?token=...\n"),
    }
}
