//! The shipped files agree with each other and with softstop's defaults. These tests need no balancer.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use softstop::Timeouts;

use crate::{program::Program, support::HUNG};

/// The path of a file below `deploy/`.
pub(crate) fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// The value after the first `key` outside of comments, such as `500ms`, `0.5s`, `60s` or `2`.
#[track_caller]
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let after = lines.find_map(|line| line.split_once(key)).unwrap_or_else(|| panic!("no {key:?}")).1;
    after.split([' ', ';', '}', ',']).next().unwrap()
}

#[track_caller]
fn duration(text: &str) -> Duration {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        unit => panic!("{text:?}: no unit of time: {unit:?}"),
    };
    Duration::from_secs_f64(number.parse::<f64>().unwrap() * unit)
}

fn read(file: &str) -> String {
    fs::read_to_string(shipped(file)).unwrap()
}

#[test]
fn each_balancer_closes_idle_connections_before_softstop_does() {
    let idle = Timeouts::default().get_idle();
    for (file, key) in [
        ("nginx/softstop.conf", "keepalive_timeout "),
        ("haproxy/haproxy.cfg", "timeout http-keep-alive "),
        ("envoy/envoy.yaml", "idle_timeout: "),
        ("caddy/Caddyfile", "keepalive "),
        ("traefik/softstop.yaml", "idleConnTimeout: "),
    ] {
        let kept = duration(value(&read(file), key));
        assert!(kept + Duration::from_secs(10) <= idle, "{file}: {kept:?} of {idle:?}");
    }
}

#[test]
fn each_lame_duck_is_longer_than_the_checks_take() {
    for (file, times, fails) in [
        ("haproxy/haproxy.cfg", &["inter ", "timeout check "][..], Some("fall ")),
        ("envoy/envoy.yaml", &[" interval: ", "- timeout: ", "update_merge_window: "], None),
        ("caddy/Caddyfile", &["health_interval ", "health_timeout "], None),
        ("traefik/softstop.yaml", &["interval: ", "timeout: "], None),
    ] {
        let text = read(file);
        let (_, command) = text.split_once("softstop serve --lame-duck ").unwrap();
        let lame_duck = duration(command.split_whitespace().next().unwrap());
        let times: Vec<Duration> = times.iter().map(|key| duration(value(&text, key))).collect();
        // The first of the times is the interval. The check runs that often before it counts.
        let fails: u32 = fails.map_or(1, |key| value(&text, key).parse().unwrap());
        let needed = times[0] * fails + times[1..].iter().sum::<Duration>();
        assert!(lame_duck > needed, "{file}: {lame_duck:?} for {needed:?}");
    }
}

#[test]
fn the_idle_time_out_can_be_set() {
    let mut program = Program::start(&["--idle-timeout", "200ms"]);
    let mut connection = TcpStream::connect(program.address("hello")).unwrap();
    // The default is longer than this.
    connection.set_read_timeout(Some(HUNG)).unwrap();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0, "the server closes");
    program.signal("TERM");
    assert!(program.wait().0.success());
}
