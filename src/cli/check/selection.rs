//! The selection of checks: `--only` and `--skip`.

use std::collections::HashSet;

use super::checks::{ALL, Check};

#[derive(Debug)]
pub(super) struct Selection {
    /// The checks of `--only`. Empty means all checks.
    only: HashSet<String>,
    skip: HashSet<String>,
}

impl Selection {
    /// Returns an error if an identifier is unknown.
    pub(super) fn new(only: &[String], skip: &[String]) -> Result<Selection, String> {
        for id in only.iter().chain(skip) {
            if !ALL.iter().any(|check| check.id == id) {
                return Err(format!("no check is called {id:?}: see softstop check --list"));
            }
        }
        let mut selection =
            Selection { only: only.iter().cloned().collect(), skip: skip.iter().cloned().collect() };
        // Add the preconditions of the wanted checks. A precondition comes before its check in the list, so one pass
        // from the end finds all.
        for check in ALL.iter().rev() {
            if selection.only.contains(check.id) {
                selection.only.extend(check.after.iter().map(|id| (*id).to_owned()));
            }
        }
        Ok(selection)
    }

    /// Returns `None` if the check is left out, and a reason if the report lists the check as skipped.
    pub(super) fn wants(&self, check: &Check) -> Option<Option<String>> {
        if !self.only.is_empty() && !self.only.contains(check.id) {
            return None;
        }
        Some(self.skip.contains(check.id).then(|| "left out with --skip".to_owned()))
    }

    pub(super) fn count(&self) -> usize {
        ALL.iter().filter(|check| self.wants(check) == Some(None)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_brings_its_preconditions() {
        let selection = Selection::new(&["idle-thousand".to_owned()], &[]).unwrap();
        let wanted: Vec<&str> =
            ALL.iter().filter(|check| selection.wants(check).is_some()).map(|check| check.id).collect();
        assert_eq!(wanted, ["starts", "ends", "idle", "idle-thousand"]);
        assert!(Selection::new(&["nothing".to_owned()], &[]).is_err());
    }
}
