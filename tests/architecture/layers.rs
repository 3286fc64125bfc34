//! Folders are layers, and a folder uses only folders below it. The tests follow re-exports to the origin of a name.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Segments, Source, Target};

/// The layers, from the bottom up. Each row is one layer, and the folders in a row do not use each other.
const LAYERS: &[&[&str]] = &[
    &["environment", "error", "listen_address", "peer", "refused", "rounded", "sync"],
    &["isolation"],
    &["stop"],
    &["body"],
    &["http"],
    &["observe", "metrics"],
    &["app"],
    &["config"],
    &["engine"],
    &["server"],
    &["group"],
    &["handover"],
    &["patterns", "deploy"],
];

/// Uses that point upwards for a reason: the file, the used folder, and the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("app/request.rs", "server", "Request::server: a handler may stop the server that calls the handler"),
    ("app/request/exchange.rs", "server", "the exchange of a request stores the request's server"),
];

/// The crate's front: modules that export from every layer.
const FRONT: &[&str] = &["report", "routing", "serialize", "internals"];

/// A use that points upwards.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Upward {
    from: String,
    to: String,
    chain: String,
}

fn layer_of(module: &Segments) -> Option<usize> {
    let first = module.first()?;
    LAYERS.iter().position(|layer| layer.contains(&first.as_str()))
}

/// Every use of one top-level module by another, with the file and the chain of files that shows the use.
fn arrows(source: &Source) -> BTreeMap<(String, String), Vec<(String, String)>> {
    let mut arrows: BTreeMap<(String, String), Vec<(String, String)>> = BTreeMap::new();
    for (path, module) in &source.modules {
        let Some(from) = path.first() else { continue };
        // A path without `crate` or `super` begins with an imported name. The test looks at that name's `use` line
        // instead.
        let explicit =
            |named: &&Segments| matches!(named.first().map(String::as_str), Some("crate" | "super"));
        for named in module.named.iter().filter(explicit) {
            let Some(Target::Here { module: to, name, steps }) = source.resolve(path, named) else {
                continue;
            };
            let Some(folder) = to.first() else { continue };
            if folder != from {
                let through: String =
                    steps.iter().map(|step| format!(" -> exported again by {step}")).collect();
                let defined = source.modules.get(&to).map_or("?", |module| module.file.as_str());
                let chain =
                    format!("{}: use {}{through} -> {name} in {defined}", module.file, named.join("::"));
                arrows.entry((from.clone(), folder.clone())).or_default().push((module.file.clone(), chain));
            }
        }
    }
    arrows
}

fn upward(source: &Source, exceptions: &[(&str, &str, &str)]) -> BTreeSet<Upward> {
    let is_front = |name: &String| FRONT.contains(&name.as_str());
    let mut found = BTreeSet::new();
    for ((from, to), uses) in arrows(source) {
        if is_front(&from) {
            continue;
        }
        let layers = (layer_of(&vec![from.clone()]), layer_of(&vec![to.clone()]));
        let points_down = matches!(layers, (Some(above), Some(below)) if below < above);
        for (file, chain) in uses {
            let is_excepted =
                exceptions.iter().any(|(from, folder, _)| file.ends_with(from) && to == *folder);
            if !points_down && !is_excepted {
                found.insert(Upward { from: from.clone(), to: to.clone(), chain });
            }
        }
    }
    found
}

/// The folders that can be reached from themselves. Exceptions do not count.
fn circles(source: &Source, exceptions: &[(&str, &str, &str)]) -> BTreeSet<String> {
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((from, to), uses) in arrows(source) {
        let counts = |(file, _): &(String, String)| {
            !exceptions.iter().any(|(from, folder, _)| file.ends_with(from) && to == *folder)
        };
        if uses.iter().any(counts) && !FRONT.contains(&from.as_str()) {
            next.entry(from).or_default().insert(to);
        }
    }
    let reaches = |start: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(at) = open.pop() {
            for to in next.get(&at).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen.contains(start)
    };
    next.keys().filter(|folder| reaches(folder)).cloned().collect()
}

#[test]
fn use_points_downwards() {
    let found = upward(&Source::of_this_crate(), EXCEPTIONS);
    let chains: Vec<String> =
        found.iter().map(|arrow| format!("{} -> {}: {}", arrow.from, arrow.to, arrow.chain)).collect();
    assert!(found.is_empty(), "{} uses point upwards:\n{}", chains.len(), chains.join("\n"));
}

#[test]
fn no_folders_form_a_circle() {
    let found = circles(&Source::of_this_crate(), EXCEPTIONS);
    assert!(found.is_empty(), "these folders can be reached from themselves: {found:?}");
}

#[test]
fn every_exception_is_needed() {
    for exception in EXCEPTIONS {
        let others: Vec<_> = EXCEPTIONS.iter().copied().filter(|other| other != exception).collect();
        let found = upward(&Source::of_this_crate(), &others);
        assert!(!found.is_empty(), "{exception:?} is not needed any more: remove it");
    }
}

#[test]
fn every_folder_has_a_layer() {
    for module in Source::of_this_crate().modules.keys() {
        let Some(first) = module.first() else { continue };
        let is_known = FRONT.contains(&first.as_str()) || layer_of(module).is_some();
        assert!(is_known, "src/{first} stands in no layer: add it to LAYERS");
    }
}

fn planted(files: &[(&str, &str)]) -> Source {
    Source::parse(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

#[test]
fn a_planted_upward_use_is_found_through_two_exports() {
    let source = planted(&[
        ("lib.rs", "mod http; mod server; pub use self::server::Server;"),
        ("server/mod.rs", "mod running; pub use running::Server; use crate::http::Head;"),
        ("server/running.rs", "pub struct Server;"),
        ("http/mod.rs", "mod head; pub use head::Head;"),
        ("http/head.rs", "use crate::{Server as Host}; pub struct Head(Host);"),
    ]);
    let found: Vec<Upward> = upward(&source, &[]).into_iter().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].chain,
        "src/http/head.rs: use crate::Server -> exported again by src/lib.rs -> exported again by \
         src/server/mod.rs -> Server in src/server/running.rs"
    );
    assert_eq!(circles(&source, &[]), BTreeSet::from(["http".to_owned(), "server".to_owned()]));
    let excepted = [("http/head.rs", "server", "because")];
    assert!(upward(&source, &excepted).is_empty() && circles(&source, &excepted).is_empty());
}

#[test]
fn a_path_in_the_code_counts_like_an_import_and_a_test_does_not_count() {
    let source = planted(&[
        ("lib.rs", "mod stop; mod group;"),
        ("group.rs", "pub struct Group;"),
        (
            "stop.rs",
            "fn of(group: crate::group::Group) {} #[cfg(test)] mod tests { use crate::group::Group; }",
        ),
    ]);
    assert_eq!(upward(&source, &[]).len(), 1);
}
