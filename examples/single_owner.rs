//! All requests delegated to one thread that owns the state.
//!
//! What goes wrong elsewhere: handlers send to a goroutine's channel and wait for the reply. At the stop that goroutine
//! returns first, and the handlers wait for ever; the server waits for the handlers. A `select` with a time-out cures
//! the hang, but the request that was given up still lies in the channel, and is carried out for nobody: the client
//! that was told "failed" tries again, and is charged twice.
//!
//! Here a call has a time-out and the request's context. Given up before its turn, it is taken back and never runs; the
//! error says which of the two it was. The owner is stopped after the server, runs what it has been sent, and hands
//! the state back: the sum at the end is exactly what the answers said.
//!
//! Try: `cargo run --example single_owner 127.0.0.1:8080`, then `curl -X POST 'http://127.0.0.1:8080/deposit?amount=5'`;
//! `curl -X POST http://127.0.0.1:8080/audit` keeps the owner busy for three seconds: deposit something meanwhile
//! (503, it never runs), or interrupt the deposit; then `curl -X POST http://127.0.0.1:8080/exit`

use std::{
    env,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use softstop::{
    Request, Router, Server, StatusCode, StopPolicy,
    patterns::{CallError, Owner},
};

/// How long a handler waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an audit takes.
const AUDIT: Duration = Duration::from_secs(3);

/// What the one thread owns. No lock anywhere.
#[derive(Default)]
struct Account {
    balance: u64,
    deposits: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let account = Arc::new(Owner::builder("account").capacity(64).start(Account::default())?);
    let (depositing, auditing) = (Arc::clone(&account), Arc::clone(&account));
    let deposit = move |request: &Request| {
        let amount = request.query("amount").and_then(|amount| amount.parse().ok());
        let amount: u64 = amount.ok_or((StatusCode::BAD_REQUEST, "what amount?\n".to_owned()))?;
        let call = move |account: &mut Account| {
            account.balance += amount;
            account.deposits += 1;
            account.balance
        };
        let balance = depositing.call(request.context(), PATIENCE, call).map_err(refuse)?;
        Ok::<_, (StatusCode, String)>(format!("the balance is {balance}\n"))
    };
    let audit = move |_: &Request| {
        let call = |account: &mut Account| {
            thread::sleep(AUDIT); // stands for work that can't be interrupted
            println!("audited: {} in {} deposits", account.balance, account.deposits);
        };
        let told = auditing.tell(call).map_err(CallError::from);
        told.map(|()| (StatusCode::ACCEPTED, "begun\n")).map_err(refuse)
    };
    let exit = |request: &Request| {
        request.server().request_stop(StopPolicy::default());
        "good bye\n"
    };
    let routes = Router::new().post("/deposit", deposit).post("/audit", audit).post("/exit", exit);
    let server = Server::builder().name("single owner").listen(address).routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/deposit");
    }
    println!("{}", server.wait());

    // Nobody calls any more. What is in the mailbox still runs, and then the state is ours.
    match account.stop(Instant::now() + 2 * AUDIT) {
        Some(Account { balance, deposits }) => println!("in the end: {balance} in {deposits} deposits"),
        None => println!("the owner doesn't end: {:?}", account.metrics()),
    }
    Ok(())
}

fn refuse(error: CallError) -> (StatusCode, String) {
    let status = match error {
        // It ran, or will: to try again would be to do it twice.
        CallError::Begun(_) | CallError::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n"))
}
