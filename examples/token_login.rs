//! A command-line login: a server that lives until a browser brings it a token.
//!
//! What goes wrong elsewhere: the handler hands the token to `main`, `main` has what it wants and returns, and the
//! browser shows "connection reset" instead of "you can close this window", now and then, depending on who was
//! faster. In Go, `ListenAndServe` invites to that: it returns when `Shutdown` *begins*, not when it is done. The
//! usual cure is to sleep for a second. Others fix the port, which is taken when two logins run at once.
//!
//! Here the system chooses the port, `start` tells which, and `stop` returns when the page has gone out in full: the
//! connection is shut down for writing and read until the browser has closed it too, so nothing can overtake the page.
//! A spare connection of the browser, on which it has never sent anything, delays that by a tenth of a second at most.
//!
//! Try: `cargo run --example token_login`, then open what it prints, or `curl 'http://127.0.0.1:PORT/callback?token=abc'`
//! (an argument says for how many seconds it waits; 120 by default)

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

/// The token that a browser brings within that time.
fn log_in(time: Duration) -> Result<Option<String>, softstop::Error> {
    let (found, token) = bounded(1);
    let routes = Router::new().get("/callback", move |request: &Request| callback(request, &found));
    // Only this machine can reach it, and only as long as the login takes.
    let server = Server::builder().name("login").listen("127.0.0.1:0").routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/callback");
        println!(
            "open http://{address}/callback?token=abc (a real login: its provider, which redirects there)"
        );
    }
    // An error is a time-out here: the server keeps the sending side.
    let token = token.recv_timeout(time).ok();
    println!("{}", server.stop(StopPolicy::default()));
    Ok(token)
}

/// A real login would also compare a random `state` that it had sent along, so that nobody can slip it a token.
fn callback(request: &Request, found: &Sender<String>) -> Response {
    match request.query("token").filter(|token| !token.is_empty()) {
        Some(token) => {
            // Full: a second token while the first one is on its way. The first one counts.
            let _ = found.try_send(token.into_owned());
            Response::new(StatusCode::OK).content_type("text/html; charset=utf-8").with_body(WELCOME)
        }
        None => Response::new(StatusCode::BAD_REQUEST)
            .content_type("text/plain; charset=utf-8")
            .with_body("no token: the address should end in /callback?token=...\n"),
    }
}
