//! The files in deploy/: their times against the policy that they ask for, and systemd's own opinion.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::program::PROGRAM;

fn shipped(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The longest stop with the options in this text, by the defaults of the program where there is no option.
fn longest_stop(text: &str) -> Duration {
    let option = |name: &str, default: u64| {
        let after = text
            .lines()
            .filter(|line| !line.trim_start().starts_with(['#', ';']))
            .find_map(|line| line.split(name).nth(1));
        let value =
            after.map(|after| after.trim_start_matches([' ', '=']).split_whitespace().next().unwrap());
        value.map_or(Duration::from_secs(default), |value| humantime::parse_duration(value).unwrap())
    };
    option("--lame-duck", 0) + option("--grace", 5) + option("--cancel-grace", 1)
}

fn setting<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("{name} is missing")).trim()
}

const UNITS: [&str; 3] = ["softstop.service", "softstop-notify-reload.service", "softstop-activated.service"];

/// A machine that does not let the program run can add two seconds: see `Server::stop`.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn nothing_is_killed_within_the_time_of_its_policy() {
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().unwrap());
    for unit in UNITS {
        let text = shipped(&format!("systemd/{unit}"));
        assert!(seconds(setting(&text, "TimeoutStopSec=")) >= longest_stop(&text) + SLACK, "{unit}");
    }
    let s6 = Duration::from_millis(shipped("s6/softstop/timeout-kill").trim().parse().unwrap());
    assert!(s6 >= longest_stop(&shipped("s6/softstop/run")) + SLACK);
    let supervisord = shipped("supervisord/softstop.conf");
    assert!(seconds(setting(&supervisord, "stopwaitsecs=")) >= longest_stop(&supervisord) + SLACK);
    let runit = shipped("runit/softstop/run");
    let patience = runit.split("sv -w ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(seconds(patience) >= longest_stop(&runit) + SLACK);
    assert_eq!(longest_stop("x --lame-duck=10s --grace 20s"), Duration::from_secs(31), "the test can count");
}

#[test]
fn the_units_let_the_program_do_what_it_needs() {
    for unit in UNITS {
        let text = shipped(&format!("systemd/{unit}"));
        let families = setting(&text, "RestrictAddressFamilies=");
        for family in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"] {
            assert!(families.split(' ').any(|allowed| allowed == family), "{unit}: {family}");
        }
        assert_eq!(setting(&text, "KillMode="), "mixed");
        assert!(setting(&text, "Type=").starts_with("notify"), "{unit}");
        assert_eq!(setting(&text, "CapabilityBoundingSet="), "", "{unit}");
    }
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_reads_the_units() {
    let folder = std::env::temp_dir().join(format!("softstop-units-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let version = Command::new("systemd-analyze").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    for unit in UNITS.into_iter().chain(["softstop-activated.socket"]) {
        // systemd looks whether the program is there.
        let text = shipped(&format!("systemd/{unit}")).replace("/usr/bin/softstop", PROGRAM);
        fs::write(folder.join(unit), text).unwrap();
    }
    for unit in UNITS {
        let output = Command::new("systemd-analyze").arg("verify").arg(folder.join(unit)).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let about_this: Vec<&str> = said.lines().filter(|line| line.contains("softstop")).collect();
        // systemd 252 does not know this type, and says nothing else about the unit.
        let is_expected = |line: &&&str| {
            version < 253 && line.ends_with("Failed to parse service type, ignoring: notify-reload")
        };
        let unexpected: Vec<_> = about_this.iter().filter(|line| !is_expected(line)).collect();
        assert!(unexpected.is_empty(), "{unit}: {unexpected:#?}");
        assert_eq!(unit.contains("reload") && version < 253, !about_this.is_empty(), "{unit}: {said}");
    }
    fs::remove_dir_all(folder).unwrap();
}
