//! The remedy for a failure, in each language. The file `remedies.toml` holds the texts.

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use serde::Deserialize;

/// Programs, and the beginning of the names of the stacks in `remedies.toml` that concern them.
const STACKS: [(&str, &str); 10] = [
    ("python", "python"),
    ("gunicorn", "python-gunicorn"),
    ("uvicorn", "python-uvicorn"),
    ("node", "node"),
    ("npm", "node"),
    ("npx", "node"),
    ("java", "java"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("cargo", "rust"),
];

/// The usual fix in general, and in each stack.
#[derive(Debug, Default, Clone, Deserialize, serde::Serialize)]
pub(crate) struct Remedy {
    pub(crate) general: String,
    /// The fix for each language or server, by its name.
    #[serde(default)]
    pub(crate) stacks: BTreeMap<String, String>,
}

/// The remedy for a key. Empty if the key is unknown, which a test rules out.
pub(crate) fn of(key: &str) -> &'static Remedy {
    static ALL: OnceLock<BTreeMap<String, Remedy>> = OnceLock::new();
    static NONE: OnceLock<Remedy> = OnceLock::new();
    let all = ALL.get_or_init(|| toml::from_str(include_str!("remedies.toml")).unwrap_or_default());
    all.get(key).unwrap_or_else(|| NONE.get_or_init(Remedy::default))
}

/// The beginning of the names of the stacks that concern this command. `None` if its program does not tell its language:
/// a compiled server, or a shell script.
pub(crate) fn stack(command: &[String]) -> Option<&'static str> {
    let program = Path::new(command.first()?).file_name()?.to_str()?;
    let starts = |name: &&(&str, &'static str)| program.starts_with(name.0);
    STACKS.iter().find(starts).map(|(_, stack)| *stack)
}

#[cfg(test)]
mod tests {
    use super::{super::checks::ALL, of, stack};

    #[test]
    fn the_program_tells_the_stack() {
        let stack = |command: &str| stack(&command.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(stack("/usr/bin/python3.11 app.py"), Some("python"));
        assert_eq!(stack("node server.js"), Some("node"));
        assert_eq!(stack("./server --port 1"), None);
        let remedy = of("in-flight");
        for (_, name) in super::STACKS {
            assert!(remedy.stacks.keys().any(|key| key.starts_with(name)), "{name}");
        }
    }

    #[test]
    fn every_check_has_a_remedy() {
        for check in ALL {
            assert!(!of(check.remedy).general.is_empty(), "{}: {}", check.id, check.remedy);
        }
    }
}
