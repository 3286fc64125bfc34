//! The result as Markdown, for the comment on a pull request.

use std::fmt::Write;

use super::table::first_story;
use crate::cli::check::{
    remedies,
    verdict::{Outcome, Results, Verdict},
};

pub(super) fn text(results: &Results) -> String {
    let verdict = if results.failures() > 0 { "failed" } else { "passed" };
    let mut text =
        format!("### Graceful stop: {verdict}\n\n`{}`: {}\n\n", results.command.join(" "), results.summary());
    text += "| | check | seen |\n| --- | --- | --- |\n";
    for outcome in results.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Skip) {
        let (mark, check) = (mark(outcome.verdict), outcome.check);
        _ = writeln!(text, "| {mark} | `{}` {} | {} |", check.id, check.title, cell(&outcome.seen));
    }
    for outcome in results.outcomes.iter().filter(|outcome| outcome.verdict >= Verdict::Warn) {
        text += &story(outcome);
    }
    let skipped = results.outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Skip);
    let skipped: Vec<String> =
        skipped.map(|outcome| format!("- `{}`: {}", outcome.check.id, cell(&outcome.seen))).collect();
    if !skipped.is_empty() {
        _ = write!(
            text,
            "\n<details><summary>{} skipped</summary>\n\n{}\n\n</details>\n",
            skipped.len(),
            skipped.join("\n")
        );
    }
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Warn => "⚠️",
        Verdict::Fail => "❌",
        Verdict::Skip => "➖",
    }
}

fn story(outcome: &Outcome) -> String {
    let check = outcome.check;
    let remedy = remedies::of(check.remedy);
    let mut text = format!(
        "\n<details><summary><code>{}</code>: what it means, and what to do</summary>\n\n\
         Rule: {} ({})\n\nUsers see: {}\n\nWhy: {}\n\nRemedy: {}\n\n",
        check.id, check.rule, check.source, check.users, check.why, remedy.general
    );
    for (stack, fix) in &remedy.stacks {
        _ = writeln!(text, "- {stack}: `{}`", fix.replace('`', "'"));
    }
    if let Some((_, lines)) = first_story(outcome) {
        _ = write!(text, "\n```\n{}\n```\n", lines.join("\n"));
    }
    text + "\n</details>\n"
}

/// Shortens and escapes a text, so that the text stays in its table cell.
fn cell(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('|', "\\|").replace('<', "&lt;")
}
