//! `softstop serve`: the group of three servers, the files that describe its stop, and the exit status.

mod admin;
mod check;
mod control;
pub(crate) mod keep_alive;
pub(crate) mod orchestration;
mod orphans;
mod pid_file;
pub(crate) mod supervisor;

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;

use softstop::{Group, Router, Server, StopPolicy, observe::Recorder, report::GroupReport};

use admin::Controlled;

pub(crate) use self::control::ControlOptions;
use super::{UNCLEAN, arguments::Serve, destination::Destination, services, words::say};

pub(crate) fn serve(options: &Serve) -> ExitCode {
    let supervisor = match supervisor::prepare(&options.supervisor) {
        Ok(supervisor) => supervisor,
        Err(error) => return fail(error),
    };
    // Opened before the servers start, so that an unwritable path is an error at once.
    let files = destination(options.report.as_deref())
        .and_then(|report| Ok((report, destination(options.timeline.as_deref())?)));
    let (report_file, timeline_file) = match files {
        Ok(files) => files,
        Err(error) => return fail(error),
    };
    let recorder = timeline_file.is_some().then(Recorder::new);
    let policy = StopPolicy::default()
        .lame_duck(options.lame_duck)
        .grace(options.grace)
        .cancel_grace(options.cancel_grace)
        .quiet(options.quiet_period);
    let group = options.control.signals(Group::new().policy(policy), policy, &supervisor);
    let exit = options.exit_route.then(|| (group.handle(), policy));
    let not_ready = options.orchestration.ready_status.into();
    let server = |name, address, routes| server(name, address, routes, options, recorder.as_ref());
    let servers = [
        server("hello", &options.hello, services::hello(not_ready, exit)),
        server("name", &options.name, services::name(not_ready)),
        server("echo", &options.echo, services::echo(not_ready)),
    ];
    let controlled = servers.iter().map(Server::handle).collect();
    let mut group = servers.into_iter().fold(group, Group::server);
    let admin = options.orchestration.admin.as_deref().map(|address| {
        admin::server(address, group.handle(), Controlled { servers: controlled, policy, not_ready })
    });
    let admin_handle = admin.as_ref().map(Server::handle);
    if let Some(admin) = admin {
        group = group.then().server(admin);
    }
    if options.control.check {
        return match check::check(options, &group) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        };
    }
    let pid_file = match options.control.pid_file() {
        Ok(pid_file) => pid_file,
        Err(error) => return fail(error),
    };
    // Last, because from now on the old process waits for this one.
    let takeover = match options.control.takeover() {
        Ok(takeover) => takeover,
        Err(error) => {
            if let Some(file) = pid_file {
                file.remove();
            }
            return fail(error);
        }
    };
    let group = options.control.prepare(group, takeover, pid_file.clone(), admin_handle);
    let outcome = supervisor.attend(group).run();
    if let Some(file) = pid_file {
        file.remove();
    }
    let mut written = Ok(());
    if let (Some(recorder), Some(file)) = (recorder, timeline_file) {
        written = file.write(recorder.recording().to_svg().into_bytes());
    }
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            log_report(error.report());
            written = written.and(write(report_file, &error));
            if let Err(error) = written {
                fail(error);
            }
            return fail(error);
        }
    };
    written = written.and(write(report_file, &report));
    let (is_clean, is_written) = (report.is_clean(), written.is_ok());
    say(move || {
        log_report(&report);
        match written {
            // If standard error cannot be written either, the program has no other way to tell.
            Err(error) => _ = writeln!(io::stderr(), "softstop: {error}"),
            Ok(()) if is_clean => log::info!("everything closed successfully"),
            Ok(()) => log::warn!("not everything could be finished: see above"),
        }
    });
    match (is_written, is_clean) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(UNCLEAN),
    }
}

/// Logs the report of each server that ran. A server that did not stop cleanly is a warning.
fn log_report(report: &GroupReport) {
    let ran = report.servers.iter().filter(|server| server.was_running());
    let level = |is_clean| if is_clean { log::Level::Info } else { log::Level::Warn };
    let texts: Vec<_> = ran.map(|server| (level(server.is_clean()), server.to_string())).collect();
    say(move || {
        for (level, text) in texts {
            text.lines().for_each(|line| log::log!(level, "{line}"));
        }
    });
}

fn server(name: &str, address: &str, routes: Router, options: &Serve, recorder: Option<&Recorder>) -> Server {
    let mut builder = Server::builder().name(name).listen(address).routes(routes);
    if let Some(loops) = options.loops {
        builder = builder.loops(loops.into());
    }
    if let Some(workers) = options.max_workers {
        builder = builder.max_workers(workers.into());
    }
    builder = options.keep_alive.apply(builder);
    if let Some(age) = options.orchestration.max_connection_age {
        builder = builder.max_connection_age(age);
    }
    if let Some(recorder) = recorder {
        builder = builder.observer(recorder.clone());
    }
    builder.build()
}

fn destination(path: Option<&Path>) -> Result<Option<Destination>, String> {
    path.map(Destination::open).transpose()
}

/// Writes a report as JSON, if there is a file for it.
fn write(destination: Option<Destination>, report: &impl Serialize) -> Result<(), String> {
    let Some(destination) = destination else { return Ok(()) };
    let json = serde_json::to_vec_pretty(report).map_err(|error| error.to_string())?;
    destination.write(json)
}

fn fail(error: impl Display) -> ExitCode {
    let words = format!("softstop: {error}");
    // If standard error cannot be written either, the program has no other way to tell.
    say(move || _ = writeln!(io::stderr(), "{words}"));
    ExitCode::FAILURE
}
