//! How the picture looks. Light is the default, because some renderers know no media queries. Dark overrides the colours only.
//!
//! Outcomes differ in lightness too, and each bad outcome has a mark of its own, so a reader need not see colours. Every
//! fill or its outline has a contrast of at least 3:1 to its background, every text one of 4.5:1 (WCAG 2.2, sections 1.4.3
//! and 1.4.11).

use crate::observe::recording::{Outcome, Request};

pub(super) const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI','Liberation Sans','DejaVu Sans',sans-serif;font-size:12px;fill:#1f2328}
.paper{fill:#fff}
.heading{font-size:18px;font-weight:600}
.name{font-size:13px;font-weight:600}
.quiet{fill:#59636e}
.small{font-size:10.5px}
.code{font-family:ui-monospace,'SF Mono','Liberation Mono','DejaVu Sans Mono',monospace;font-size:10.5px}
.code,.beside{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-opacity:.7}
.grid{stroke:#d9dee4}
.base{stroke:#8b949e}
.stop{stroke:#1f2328;stroke-width:1.5;stroke-dasharray:5 3}
.flag{font-weight:600}
.mark{fill:#1f2328}
.running{fill:#eef1f4}
.lameduck{fill:#f5e6a8}
.draining{fill:#cfe3fb}
.cancelling{fill:#fbd3c4}
.tint{fill-opacity:.32}
.connection{fill:#8b949e;stroke:none}
.completed{fill:#0a66c2;stroke:#0a66c2}
.refused{fill:#9a6700;stroke:#9a6700}
.gone{fill:#9b4f96;stroke:#9b4f96}
.unfinished{fill:#11806a;stroke:#11806a}
.aborted{fill:#c8420b;stroke:#c8420b}
.arriving,.handled,.written,.area,.full{stroke:none}
.waiting{fill-opacity:.2;stroke-width:1}
.written{fill-opacity:.8}
.cut,.left{fill:none;stroke-width:2}
.halo{fill:none;stroke:#fff;stroke-width:5}
.left{stroke-width:1.5}
.open{fill:#fff;stroke-width:1.5}
.good{fill:#11806a}
.bad{fill:#c8420b}
.sign{fill:none;stroke:#fff;stroke-width:2}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.paper{fill:#0d1117}
.quiet{fill:#9aa4af}
.code,.beside{stroke:#0d1117}
.grid{stroke:#262d36}
.base{stroke:#6e7681}
.stop{stroke:#e6edf3}
.mark{fill:#e6edf3}
.running{fill:#1c222a}
.lameduck{fill:#4d4113}
.draining{fill:#153a66}
.cancelling{fill:#5f2411}
.tint{fill-opacity:.35}
.connection{fill:#6e7681}
.completed{fill:#58a6ff;stroke:#58a6ff}
.refused{fill:#e3b341;stroke:#e3b341}
.gone{fill:#d48fd0;stroke:#d48fd0}
.unfinished{fill:#3fc9a8;stroke:#3fc9a8}
.aborted{fill:#ff7b4a;stroke:#ff7b4a}
.cut,.left{fill:none}
.halo{stroke:#0d1117}
.open{fill:#0d1117}
.good{fill:#3fc9a8}
.bad{fill:#ff7b4a}
.sign{fill:none;stroke:#0d1117}
}
";

/// The outcomes that the picture tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Aborted,
    Gone,
    Refused,
    Unfinished,
    Completed,
}

impl Look {
    /// The worst outcome comes first: at the bottom of a band, where a reader sees it best.
    pub(super) const ALL: [Look; 5] =
        [Look::Aborted, Look::Gone, Look::Refused, Look::Unfinished, Look::Completed];

    pub(super) fn of(request: &Request) -> Look {
        match request.outcome {
            Outcome::Completed => Look::Completed,
            Outcome::Rejected | Outcome::Refused => Look::Refused,
            Outcome::ClientGone(_) => Look::Gone,
            Outcome::Aborted(_) => Look::Aborted,
            Outcome::Unfinished(_) => Look::Unfinished,
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Look::Aborted => "aborted",
            Look::Gone => "gone",
            Look::Refused => "refused",
            Look::Unfinished => "unfinished",
            Look::Completed => "completed",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Look::Aborted => "cut off",
            Look::Gone => "client gone",
            Look::Refused => "refused or rejected",
            Look::Unfinished => "unfinished",
            Look::Completed => "completed",
        }
    }
}
