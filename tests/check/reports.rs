//! The reports for machines, and the HTML page.

use std::fs;

use crate::run::{check, example, temporary};

#[test]
fn every_report_tells_of_the_failure_and_its_story() {
    let paths = ["junit.xml", "summary.md", "page.html", "badge.svg"].map(temporary);
    let [junit, markdown, html, badge] = paths.each_ref().map(|path| path.to_str().unwrap());
    let options = [
        "--only",
        "accept-queue,sigint",
        "--stops",
        "1",
        "--junit",
        junit,
        "--markdown",
        markdown,
        "--html",
        html,
        "--badge",
        badge,
    ];
    let run = check(&options, &[&example("faulty"), "{port}", "full-queue"]);
    assert_eq!(run.status, Some(2), "{}", run.text);
    for expected in ["✗ FAIL", "accept-queue", "remedy", "sent ", "got a reset", "1 failed"] {
        assert!(run.text.contains(expected), "{expected}: {}", run.text);
    }
    assert!(!run.text.contains('\u{1b}'), "no colours, because the output is no terminal");
    let found = run.checks().iter().find(|check| check["id"] == "accept-queue").unwrap();
    assert_eq!((run.json["schema"].as_u64(), found["requests"]["lost"].as_u64()), (Some(1), Some(5)));
    assert!(found["loss_rate"]["low"].as_f64().unwrap() > 0.5, "{found}");
    assert!(found["advice"]["remedy"]["stacks"]["go"].is_string(), "{found}");
    let [junit, markdown, html, badge] = paths.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        text
    });
    let document = roxmltree::Document::parse(&junit).unwrap();
    let failures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
    assert_eq!(failures.len(), 1, "{junit}");
    assert_eq!(failures[0].parent().unwrap().attribute("name"), Some("accept-queue"));
    assert!(markdown.contains("| ❌ | `accept-queue`"), "{markdown}");
    roxmltree::Document::parse(&badge).unwrap();
    let begin = html.find("<svg").unwrap();
    let end = html.find("</svg>").unwrap() + "</svg>".len();
    let timeline = roxmltree::Document::parse(&html[begin..end]).unwrap();
    let lost = timeline.descendants().filter(|node| node.attribute("class") == Some("lost")).count();
    assert_eq!(lost, 5, "{}", &html[begin..end]);
    assert!(!html.contains("http://") && !html.contains("src="), "the page loads nothing from elsewhere");
}
