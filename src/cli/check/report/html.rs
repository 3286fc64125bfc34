//! The result as one HTML page. The page loads no other file, and has a light and a dark style.

use std::fmt::Write;

use super::{table::first_story, timeline};
use crate::cli::check::{
    remedies,
    verdict::{Outcome, Results, Verdict},
};

const STYLE: &str = include_str!("page.css");

pub(super) fn text(results: &Results) -> String {
    let command = escape(&results.command.join(" "));
    let class = if results.failures() > 0 { "fail" } else { "pass" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Graceful stop: {summary}</title>\n<style>\n{STYLE}</style></head><body>\n\
         <h1>Graceful stop: <span class=\"{class}\">{summary}</span></h1>\n\
         <p><code>{command}</code></p>\n<p class=\"dim\">{when}, {took:.0} s, softstop {version}</p>\n",
        summary = results.summary(),
        when = humantime::format_rfc3339_seconds(results.began),
        took = results.took.as_secs_f64(),
        version = env!("CARGO_PKG_VERSION"),
    );
    if let Some(outcome) = worst(results)
        && let Some(record) = outcome.finding.as_ref().and_then(|finding| finding.record.as_ref())
        && let Some(svg) = timeline::svg(record)
    {
        _ = write!(
            page,
            "<h2>What the clients saw: <code>{}</code></h2>\n<p>{} Each bar is a request, from its beginning to its \
             end; the tick in it is the moment at which it was sent.</p>\n<p class=\"legend\"><span class=\"answered\">\
             answered</span> <span class=\"lost\">lost</span> <span class=\"error\">5xx</span> \
             <span class=\"other\">refused, late, told</span></p>\n<div class=\"wide\">{svg}</div>\n<p class=\"dim\">The server: {}.</p>\n",
            outcome.check.id,
            escape(&sentence(&outcome.seen)),
            escape(&record.how.to_string()),
        );
    }
    page += "<h2>The checks</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th><th>check</th><th>seen</th></tr></thead>\n";
    for outcome in &results.outcomes {
        _ = writeln!(
            page,
            "<tr><td class=\"{class}\">{mark} {word}</td><td><code>{id}</code><br>{title}</td><td>{seen}</td></tr>",
            class = class_of(outcome.verdict),
            mark = outcome.verdict.mark(),
            word = outcome.verdict.word(),
            id = outcome.check.id,
            title = outcome.check.title,
            seen = escape(outcome.seen.lines().next().unwrap_or_default()),
        );
    }
    page += "</table></div>\n";
    for outcome in results.outcomes.iter().filter(|outcome| outcome.verdict >= Verdict::Warn) {
        page += &story(outcome);
    }
    page + "</body></html>\n"
}

/// The check whose stop is drawn: the worst check that has stories. Among equals, the check with the most losses wins.
fn worst(results: &Results) -> Option<&Outcome> {
    let has_stories = |outcome: &&Outcome| {
        let record = outcome.finding.as_ref().and_then(|finding| finding.record.as_ref());
        record.is_some_and(|record| !record.stories.is_empty())
    };
    results.outcomes.iter().filter(has_stories).max_by_key(|outcome| {
        let finding = outcome.finding.as_ref();
        let tally = finding.map(|finding| finding.tally).unwrap_or_default();
        (outcome.verdict, tally.missing(), tally.answered)
    })
}

fn story(outcome: &Outcome) -> String {
    let check = outcome.check;
    let remedy = remedies::of(check.remedy);
    let mut text = format!(
        "<section><h3><span class=\"{}\">{}</span> <code>{}</code> {}</h3>\n<dl>\n",
        class_of(outcome.verdict),
        outcome.verdict.mark(),
        check.id,
        check.title
    );
    let rule = format!("{} ({})", check.rule, check.source);
    for (name, value) in [
        ("rule", rule.as_str()),
        ("seen", &outcome.seen),
        ("where", check.place.words()),
        ("users see", check.users),
        ("why", check.why),
        ("remedy", &remedy.general),
    ] {
        _ = writeln!(text, "<dt>{name}</dt><dd>{}</dd>", escape(value).replace('\n', "<br>"));
    }
    text += "</dl>\n";
    if let Some((_, lines)) = first_story(outcome) {
        _ = writeln!(text, "<pre>{}</pre>", escape(&lines.join("\n")));
    }
    text += "<details><summary>The remedy in each language</summary><dl>\n";
    for (stack, fix) in &remedy.stacks {
        _ = writeln!(text, "<dt>{stack}</dt><dd>{}</dd>", escape(fix));
    }
    let output =
        outcome.finding.as_ref().and_then(|finding| finding.record.as_ref()).map(|record| &record.output);
    text += "</dl></details>\n";
    if let Some(output) = output.filter(|output| !output.is_empty()) {
        _ = writeln!(
            text,
            "<details><summary>The server's last output</summary><pre>{}</pre></details>",
            escape(output)
        );
    }
    text + "</section>\n"
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
        Verdict::Skip => "skip",
    }
}

/// A text with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut letters = line.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
