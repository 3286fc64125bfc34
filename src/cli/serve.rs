//! `softstop serve`: the group of three, and the exit status.

use std::process::ExitCode;

use softstop::{Group, Router, Server, StopPolicy};

use super::{arguments::Serve, services};

/// Something was cut off by the stop.
const UNCLEAN: u8 = 2;

pub(crate) fn serve(options: &Serve) -> ExitCode {
    let policy = StopPolicy::default().grace(options.grace);
    let group = Group::new().policy(policy).stop_on_signals();
    let exit = options.exit_route.then(|| (group.handle(), policy));
    let outcome = group
        .server(server("hello", &options.hello, services::hello(exit), options))
        .server(server("name", &options.name, services::name(), options))
        .server(server("echo", &options.echo, services::echo(), options))
        .run();
    match outcome {
        Ok(report) => {
            let level = if report.is_clean() { log::Level::Info } else { log::Level::Warn };
            report.to_string().lines().for_each(|line| log::log!(level, "{line}"));
            if report.is_clean() {
                log::info!("everything closed successfully");
                ExitCode::SUCCESS
            } else {
                log::warn!("not everything could be finished: see above");
                ExitCode::from(UNCLEAN)
            }
        }
        Err(error) => {
            eprintln!("softstop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn server(name: &str, address: &str, routes: Router, options: &Serve) -> Server {
    let mut builder = Server::builder().name(name).listen(address).routes(routes);
    if let Some(loops) = options.loops {
        builder = builder.loops(loops.into());
    }
    if let Some(workers) = options.workers {
        builder = builder.workers(workers.into());
    }
    builder.build()
}
