//! The result as JSON. The schema is in docs/check.md; its version changes when a field is removed or changes its meaning.

use serde::Serialize;

use super::table::first_story;
use crate::cli::check::{
    checks::{Place, Severity},
    client::Tally,
    interval::interval,
    remedies::{self, Remedy},
    verdict::{Outcome, Results, Verdict},
};

pub(super) const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    program: &'static str,
    version: &'static str,
    command: &'a [String],
    began: String,
    took_seconds: f64,
    verdict: Verdict,
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    summary: Summary,
    checks: Vec<Check<'a>>,
}

#[derive(Serialize)]
struct Summary {
    passed: usize,
    failed: usize,
    warned: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct Check<'a> {
    id: &'static str,
    title: &'static str,
    rule: &'static str,
    source: &'static str,
    severity: Severity,
    place: Place,
    verdict: Verdict,
    known: bool,
    seen: &'a str,
    took_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Tally>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_rate: Option<Rate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Advice>,
}

#[derive(Serialize)]
struct Rate {
    rate: f64,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct Advice {
    users_see: &'static str,
    why: &'static str,
    remedy: &'static Remedy,
}

pub(super) fn text(results: &Results) -> serde_json::Result<String> {
    let worst = results.outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Skip);
    let report = Report {
        schema: SCHEMA,
        program: "softstop",
        version: env!("CARGO_PKG_VERSION"),
        command: &results.command,
        began: humantime::format_rfc3339_seconds(results.began).to_string(),
        took_seconds: results.took.as_secs_f64(),
        verdict: worst,
        interrupted: results.is_interrupted,
        failure: results.failure.as_deref(),
        summary: Summary {
            passed: results.count(Verdict::Pass),
            failed: results.count(Verdict::Fail),
            warned: results.count(Verdict::Warn),
            skipped: results.count(Verdict::Skip),
        },
        checks: results.outcomes.iter().map(check).collect(),
    };
    serde_json::to_string_pretty(&report)
}

fn check(outcome: &Outcome) -> Check<'_> {
    let check = outcome.check;
    let tally = outcome.finding.as_ref().map(|finding| finding.tally).filter(|tally| tally.let_in() > 0);
    let rate = tally.map(|tally| {
        let (low, high) = interval(tally.missing(), tally.let_in());
        Rate { rate: tally.missing() as f64 / tally.let_in() as f64, low, high }
    });
    let advice = (outcome.verdict >= Verdict::Warn).then(|| Advice {
        users_see: check.users,
        why: check.why,
        remedy: remedies::of(check.remedy),
    });
    Check {
        id: check.id,
        title: check.title,
        rule: check.rule,
        source: check.source,
        severity: check.severity,
        place: check.place,
        verdict: outcome.verdict,
        known: outcome.is_known,
        seen: &outcome.seen,
        took_seconds: outcome.took.as_secs_f64(),
        stops: outcome.finding.as_ref().map(|finding| finding.stops),
        requests: tally,
        loss_rate: rate,
        story: first_story(outcome).map(|(_, lines)| lines),
        advice,
    }
}
