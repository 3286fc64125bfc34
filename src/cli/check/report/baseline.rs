//! An earlier result. A failure that was in the earlier result is known, and does not fail the run again.

use std::{collections::HashMap, fs};

use serde::Deserialize;

use super::json::SCHEMA;
use crate::cli::check::{
    arguments::Check,
    verdict::{Results, Verdict},
};

/// The verdicts of an earlier run.
#[derive(Debug)]
pub(crate) struct Baseline {
    failed: HashMap<String, bool>,
}

#[derive(Deserialize)]
struct Report {
    schema: u32,
    checks: Vec<Earlier>,
}

#[derive(Deserialize)]
struct Earlier {
    id: String,
    verdict: String,
}

/// Reads the file, if one is named.
pub(crate) fn read(arguments: &Check) -> Result<Option<Baseline>, String> {
    let Some(path) = &arguments.baseline else { return Ok(None) };
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot read the baseline {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    if report.schema != SCHEMA {
        return Err(failed(&format!("its schema is {}, and this program writes {SCHEMA}", report.schema)));
    }
    let checks = report.checks.into_iter().map(|check| (check.id, check.verdict == "fail"));
    Ok(Some(Baseline { failed: checks.collect() }))
}

impl Baseline {
    pub(crate) fn apply(&self, results: &mut Results) {
        for outcome in &mut results.outcomes {
            outcome.is_known = outcome.verdict == Verdict::Fail
                && self.failed.get(outcome.check.id).copied().unwrap_or(false);
        }
    }
}
