//! `bench stop`: softstop's own server loses no request, and the report agrees with the server's report.

use crate::{number, report};

#[test]
fn stops_lose_nothing_under_any_load() {
    for load in ["new", "kept", "idle", "slow"] {
        let options = ["--stops", "3", "--clients", "4", "--idle-connections", "5", "--load", load];
        let report = report(0, &[&["stop"][..], &options].concat());
        assert_eq!(number(&report, "stops"), 3);
        assert_eq!((number(&report, "requests_lost"), number(&report, "not_clean")), (0, 0), "{report:#}");
        let answered = number(&report, "requests_answered");
        assert_eq!(number(&report, "server_completed"), answered, "{load}: {report:#}");
        assert_eq!(answered > 0, load != "idle", "{load}: {report:#}");
        let sent = number(&report, "requests_sent");
        assert_eq!(sent, answered + number(&report, "requests_refused"), "{load}: {report:#}");
        assert_eq!((number(&report["stop"], "count"), number(&report["lag"], "count")), (3, 3));
        assert!(number(&report["lag"], "max_ns") <= number(&report["stop"], "max_ns"), "{report:#}");
    }
}
