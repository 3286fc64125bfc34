//! Purity is a property of types. The pure modules are the HTTP core and the decisions of a stop. A pure module names
//! no type that holds a socket, a thread or a lock, at any depth. No pure module asks for the time.

use std::collections::BTreeSet;

use super::source::{Segments, Source, Target};

/// The pure modules.
const PURE: &[&[&str]] = &[&["http"], &["stop", "drain"]];

/// The beginnings of paths in other crates that no pure type may hold.
const IMPURE: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::os",
    "std::thread",
    "std::fs",
    "std::process",
    "std::io::Std",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::Barrier",
    "std::sync::Once",
    "std::sync::mpsc",
    "std::sync::atomic",
    "std::time::SystemTime",
    "mio",
    "socket2",
    "crossbeam_channel",
    "signal_hook",
    "log",
];

/// Functions that ask the machine for the time.
const ASKS: &[&str] = &["Instant::now", "SystemTime::now"];

/// The reasons why a pure module is not pure: the chain from the module to the forbidden type or call.
fn impurities(source: &Source, pure: &[&[&str]]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, module) in &source.modules {
        if !pure.iter().any(|pure| path.iter().map(String::as_str).collect::<Vec<_>>().starts_with(pure)) {
            continue;
        }
        for named in &module.named {
            reach(source, path, named, vec![module.file.clone()], &mut BTreeSet::new(), &mut found);
        }
        for call in &module.calls {
            if ASKS.iter().any(|ask| call.join("::").ends_with(ask)) {
                found.insert(format!("{}: calls {}", module.file, call.join("::")));
            }
        }
    }
    found
}

/// Follows a path to its definition, and then to the types of the definition's fields.
fn reach(
    source: &Source,
    module: &Segments,
    named: &Segments,
    way: Vec<String>,
    seen: &mut BTreeSet<(Segments, String)>,
    found: &mut BTreeSet<String>,
) {
    match source.resolve(module, named) {
        None => {}
        Some(Target::Elsewhere(path)) => {
            let path = path.join("::");
            if IMPURE.iter().any(|impure| {
                path == *impure
                    || path.starts_with(&format!("{impure}::"))
                    || (impure.contains("::") && path.starts_with(impure))
            }) {
                found.insert(format!("{} -> {path}", way.join(" -> ")));
            }
        }
        Some(Target::Here { module, name, .. }) => {
            if module.first().is_some_and(|first| first == "sync") {
                found.insert(format!("{} -> crate::sync::{name}", way.join(" -> ")));
                return;
            }
            let Some(definition) = source.modules.get(&module).and_then(|at| at.definitions.get(&name))
            else {
                return;
            };
            if seen.insert((module.clone(), name.clone())) {
                let way = [way, vec![format!("crate::{}::{name}", module.join("::"))]].concat();
                for field in &definition.fields {
                    reach(source, &module, field, way.clone(), seen, found);
                }
            }
        }
    }
}

#[test]
fn the_http_core_and_the_drain_decisions_are_pure() {
    let source = Source::of_this_crate();
    for pure in PURE {
        let path: Segments = pure.iter().map(|part| (*part).to_owned()).collect();
        assert!(source.modules.contains_key(&path), "there is no module {}", path.join("::"));
    }
    let found = impurities(&source, PURE);
    assert!(
        found.is_empty(),
        "{} ways out of the pure modules:\n{}",
        found.len(),
        found.iter().cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_lock_two_types_away_is_found() {
    let files = [
        ("lib.rs", "mod http; mod body;"),
        ("body.rs", "use std::sync::Mutex; pub struct Pipe { state: State } struct State(Mutex<u8>);"),
        ("http.rs", "use crate::body::Pipe; fn encode(pipe: &Pipe) {}"),
    ];
    let source = Source::parse(files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let found = impurities(&source, PURE);
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["src/http.rs -> crate::body::Pipe -> crate::body::State -> std::sync::Mutex"]
    );
}

#[test]
fn asking_for_the_time_is_found() {
    let files =
        [("lib.rs", "mod http;"), ("http.rs", "use std::time; fn f() { let _ = time::Instant::now(); }")];
    let source = Source::parse(files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(impurities(&source, PURE).len(), 1);
}
