//! All requests delegated to one thread that owns the state.
//!
//! What goes wrong elsewhere: handlers send to a goroutine's channel and wait for the reply. At the stop, that
//! goroutine returns first. The handlers then wait for ever, and the server waits for the handlers. A `select` with a
//! time-out cures the hang. But the request that was given up stays in the channel, and the goroutine still carries the
//! request out. A client that was told "failed" tries again, and is charged twice.
//!
//! Here a call has a time-out and the request's context. A call that is given up before its turn is taken back and
//! never runs. The error says whether the call had begun. The program stops the owner after the server. The owner then
//! runs the calls that it has received, and hands the state back. The final sum agrees with the answers.
//!
//! Try: `cargo run --example single_owner 127.0.0.1:8080`, then
//! `curl -X POST 'http://127.0.0.1:8080/deposit?amount=5'`. `curl -X POST http://127.0.0.1:8080/audit` keeps the owner
//! busy for three seconds. Deposit something meanwhile (503, the deposit never runs), or interrupt the deposit. Then
//! run `curl -X POST http://127.0.0.1:8080/exit`.

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

/// The state that one thread owns, so the state needs no lock.
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

    // No handler can call any more. The owner runs the calls in its mailbox, and then returns the state.
    match account.stop(Instant::now() + 2 * AUDIT) {
        Some(Account { balance, deposits }) => println!("in the end: {balance} in {deposits} deposits"),
        None => println!("the owner doesn't end: {:?}", account.metrics()),
    }
    Ok(())
}

fn refuse(error: CallError) -> (StatusCode, String) {
    let status = match error {
        // The call has run or will run, so a second try would carry it out twice.
        CallError::Begun(_) | CallError::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{error}\n"))
}
