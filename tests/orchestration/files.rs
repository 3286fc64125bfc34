//! The files in `deploy/` for Kubernetes and Compose: the program takes their arguments, answers their probes, and has the time
//! that it needs to stop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use yaml_rust2::{Yaml, YamlLoader};

use crate::{
    program::Program,
    support::client::{Client, get},
};

/// What a stop may take beyond its phases on a machine that hardly runs the program: 2 s for loops that do not get the processor,
/// 1 s for threads whose destructors block, 1 s for values that are dropped, 0.5 s for the last words.
const MARGIN: Duration = Duration::from_secs(5);

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(of)
}

fn read(of: &str) -> Yaml {
    let text = fs::read_to_string(path(of)).unwrap();
    let [document] = <[Yaml; 1]>::try_from(YamlLoader::load_from_str(&text).unwrap()).unwrap();
    document
}

/// The pod of the Deployment, and its only container.
fn pod(deployment: &Yaml) -> (&Yaml, &Yaml) {
    let pod = &deployment["spec"]["template"]["spec"];
    let [container] = &pod["containers"].as_vec().unwrap()[..] else { panic!("one container") };
    (pod, container)
}

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(
        text.strip_suffix('s').unwrap_or_else(|| panic!("in seconds: {text}")).parse().unwrap(),
    )
}

/// The value of an option among the arguments, or the default that the program's help tells.
fn option(name: &str, arguments: &[&str]) -> Duration {
    let given = arguments.iter().find_map(|argument| argument.strip_prefix(&format!("--{name}=")));
    if let Some(value) = given {
        return seconds(value);
    }
    let help = Program::command(&["serve", "--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, behind) = help.split_once(&format!("--{name} <DURATION>")).unwrap();
    let (_, behind) = behind.split_once("[default: ").unwrap();
    seconds(behind.split_once(']').unwrap().0)
}

/// Checks that SIGKILL comes after the stop is over, and not much later.
#[track_caller]
fn assert_time_to_stop(given: Duration, arguments: &[&str]) {
    let of = |name| option(name, arguments);
    let phases = of("lame-duck") + of("grace") + of("cancel-grace");
    assert!(of("quiet-period") <= of("grace"), "the quiet period is a part of the grace period");
    assert!(given >= phases + MARGIN, "{given:?} for a stop of {phases:?} and {MARGIN:?} to spare");
    assert!(given <= phases + 2 * MARGIN, "a program that hangs is killed in time: {given:?}, {phases:?}");
}

/// Starts the program with these arguments, but on free ports.
fn start(arguments: &[&str]) -> Program {
    let is_address = |argument: &&str| {
        ["--hello=", "--name=", "--echo=", "--admin="].iter().any(|name| argument.starts_with(name))
    };
    let mut others: Vec<&str> = arguments.iter().copied().filter(|argument| !is_address(argument)).collect();
    if arguments.iter().any(|argument| argument.starts_with("--admin=")) {
        others.push("--admin=127.0.0.1:0");
    }
    Program::start(&others)
}

#[test]
fn the_pod_has_the_time_that_its_stop_takes() {
    let deployment = read("kubernetes/deployment.yaml");
    let (pod, container) = pod(&deployment);
    let given = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    let arguments = strings(&container["args"]);
    assert_time_to_stop(Duration::from_secs(given.try_into().unwrap()), &arguments);
    assert!(container["lifecycle"].is_badvalue(), "a preStop hook would take time of its own");
    // The readiness check must have said no, and the balancers must have heard it, before the lame duck is over.
    let probe = &container["readinessProbe"];
    let number = |name: &str| u64::try_from(probe[name].as_i64().unwrap()).unwrap();
    let noticed =
        Duration::from_secs(number("periodSeconds") * number("failureThreshold") + number("timeoutSeconds"));
    assert!(option("lame-duck", &arguments) >= 3 * noticed);
}

#[test]
fn the_container_has_the_time_that_its_stop_takes() {
    let compose = read("compose.yaml");
    let service = &compose["services"]["softstop"];
    let given = seconds(service["stop_grace_period"].as_str().unwrap());
    assert_time_to_stop(given, &strings(&service["command"]));
    assert_eq!(service["stop_signal"].as_str(), Some("SIGTERM"));
}

#[test]
fn the_program_takes_the_arguments_and_answers_the_probes() {
    let deployment = read("kubernetes/deployment.yaml");
    let (_, container) = pod(&deployment);
    let mut program = start(&strings(&container["args"]));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let check = &container[probe]["httpGet"];
        let address = program.address(check["port"].as_str().unwrap());
        let status = |path: &str| Client::once(address, get(path)).status;
        assert_eq!(status(check["path"].as_str().unwrap()), 200, "{probe}");
    }
    // The stop that Kubernetes asks for: not ready, alive, and served.
    program.signal("TERM");
    program.wait_for_line("hello: closing");
    let hello = program.address("hello");
    let status = |path: &str| Client::once(hello, get(path)).status;
    assert_eq!((status("/readyz"), status("/healthz"), status("/")), (503, 200, 200));
    let compose = read("compose.yaml");
    start(&strings(&compose["services"]["softstop"]["command"])).address("echo");
}

#[test]
fn the_files_agree_with_each_other() {
    let [deployment, service, budget] =
        ["deployment", "service", "poddisruptionbudget"].map(|name| read(&format!("kubernetes/{name}.yaml")));
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    let (_, container) = pod(&deployment);
    let ports = container["ports"].as_vec().unwrap();
    let arguments = strings(&container["args"]);
    for port in ports {
        let listens =
            format!("--{}=:{}", port["name"].as_str().unwrap(), port["containerPort"].as_i64().unwrap());
        assert!(arguments.contains(&&*listens), "{listens}: {arguments:?}");
    }
    for port in service["spec"]["ports"].as_vec().unwrap() {
        assert!(ports.iter().any(|known| known["name"] == port["targetPort"]), "{port:?}");
    }
    let image = format!("softstop:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"].as_str(), Some(&*image));
    let compose = read("compose.yaml");
    assert_eq!(compose["services"]["softstop"]["image"].as_str(), Some(&*image));
}

/// The schemas come with the program, so this needs no cluster and no network.
#[test]
#[ignore = "needs kubernetes-validate (from PyPI)"]
fn the_manifests_follow_the_schemas_of_kubernetes() {
    let files: Vec<PathBuf> = fs::read_dir(path("kubernetes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    assert_eq!(files.len(), 3);
    let validated = Command::new("kubernetes-validate").arg("--strict").args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&[validated.stdout, validated.stderr].concat()).into_owned();
    assert!(validated.status.success(), "{said}");
    assert_eq!(said.matches(" passed for resource ").count(), files.len(), "{said}");
}
