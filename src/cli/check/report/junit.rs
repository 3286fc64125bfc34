//! The result as JUnit XML, which every CI system reads.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::table::first_story;
use crate::cli::check::{
    remedies,
    verdict::{Outcome, Results, Verdict},
};

pub(super) fn text(results: &Results) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new("softstop check");
    suite.set_time(results.took);
    suite.add_property(("command", results.command.join(" ").as_str()));
    for outcome in &results.outcomes {
        suite.add_test_case(case(outcome));
    }
    let mut report = Report::new("softstop check");
    report.set_time(results.took);
    report.add_test_suite(suite);
    report.to_string()
}

fn case(outcome: &Outcome) -> TestCase {
    let check = outcome.check;
    let status = match outcome.verdict {
        // JUnit has no warning, so the text contains the warning.
        Verdict::Pass | Verdict::Warn => TestCaseStatus::success(),
        Verdict::Fail if outcome.is_known => TestCaseStatus::success(),
        Verdict::Skip => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(outcome.seen.as_str());
            status
        }
        Verdict::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_type(check.id)
                .set_message(outcome.seen.as_str())
                .set_description(description(outcome));
            status
        }
    };
    let mut case = TestCase::new(check.id, status);
    case.set_classname("softstop.check").set_time(outcome.took);
    let word = if outcome.verdict == Verdict::Warn { "warning: " } else { "" };
    case.set_system_out(format!("{}\n{word}{}", check.title, outcome.seen));
    case
}

fn description(outcome: &Outcome) -> String {
    let check = outcome.check;
    let story = first_story(outcome).map(|(_, lines)| lines.join("\n")).unwrap_or_default();
    format!(
        "{}\nrule: {} ({})\nseen: {}\nusers see: {}\nwhy: {}\nremedy: {}\n{story}",
        check.title,
        check.rule,
        check.source,
        outcome.seen,
        check.users,
        check.why,
        remedies::of(check.remedy).general,
    )
}
