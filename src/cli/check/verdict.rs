//! The verdicts, and all results of a run.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{
    checks::{Check, Severity},
    trial::{Finding, Unjudged},
};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Pass,
    Warn,
    Fail,
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Pass,
    Skip,
    Warn,
    Fail,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Warn => "warn",
            Verdict::Skip => "skip",
        }
    }

    pub(crate) fn mark(self) -> &'static str {
        match self {
            Verdict::Pass => "✓",
            Verdict::Fail => "✗",
            Verdict::Warn => "!",
            Verdict::Skip => "–",
        }
    }
}

/// The result of one check.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) check: &'static Check,
    pub(crate) verdict: Verdict,
    /// The observation, or the reason why the check was skipped.
    pub(crate) seen: String,
    pub(crate) finding: Option<Finding>,
    pub(crate) took: Duration,
    /// The same check had the same verdict, or a worse one, in the baseline.
    pub(crate) is_known: bool,
}

/// All results of a run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) command: Vec<String>,
    pub(crate) began: SystemTime,
    pub(crate) took: Duration,
    pub(crate) outcomes: Vec<Outcome>,
    /// The run was interrupted: the checks that follow were not run.
    pub(crate) is_interrupted: bool,
    /// The reason why the server could not be judged.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    pub(crate) fn of(check: &'static Check, found: Result<Finding, Unjudged>, took: Duration) -> Outcome {
        let (verdict, seen, finding) = match found {
            Ok(finding) => {
                let verdict = match (finding.level, check.severity) {
                    (Level::Pass, _) => Verdict::Pass,
                    (Level::Warn, _) | (Level::Fail, Severity::Warning) => Verdict::Warn,
                    (Level::Fail, Severity::Error) => Verdict::Fail,
                };
                (verdict, finding.seen.clone(), Some(finding))
            }
            Err(Unjudged::Skip(reason)) => (Verdict::Skip, reason, None),
            Err(Unjudged::NotStarted(error)) => (Verdict::Skip, error.to_string(), None),
            Err(Unjudged::Missed(what)) => (Verdict::Skip, format!("this machine is too busy: {what}"), None),
            Err(Unjudged::Interrupted) => (Verdict::Skip, "interrupted".to_owned(), None),
        };
        Outcome { check, verdict, seen, finding, took, is_known: false }
    }

    pub(crate) fn skipped(check: &'static Check, reason: String) -> Outcome {
        Outcome::of(check, Err(Unjudged::Skip(reason)), Duration::ZERO)
    }

    /// Whether this result fails the run.
    pub(crate) fn is_failure(&self) -> bool {
        self.verdict == Verdict::Fail && !self.is_known
    }
}

impl Results {
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
    }

    pub(crate) fn failures(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_failure()).count()
    }

    /// The verdict in a few words.
    pub(crate) fn summary(&self) -> String {
        let parts = [
            (self.count(Verdict::Fail), "failed"),
            (self.count(Verdict::Warn), "warned"),
            (self.count(Verdict::Pass), "passed"),
            (self.count(Verdict::Skip), "skipped"),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(count, word)| *count > 0 || *word == "failed")
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        words.join(", ")
    }
}
