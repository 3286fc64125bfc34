//! The remedy for a failure, in each language. The file `remedies.toml` holds the texts.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;

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

#[cfg(test)]
mod tests {
    use super::super::checks::ALL;

    #[test]
    fn every_check_has_a_remedy() {
        for check in ALL {
            assert!(!super::of(check.remedy).general.is_empty(), "{}: {}", check.id, check.remedy);
        }
    }
}
