//! `bench stop`: softstop's own server loses no request, and the report agrees with the server's report.

use crate::{number, report};

#[test]
fn stops_lose_nothing_under_any_load() {
    for load in ["new", "kept", "idle", "slow"] {
        let options = ["--stops", "3", "--clients", "4", "--idle-connections", "5", "--load", load];
        let report = report(0, &[&["stop"][..], &options].concat());
        assert_eq!(number(&report, "stops"), 3);
        for none in ["not_clean", "requests_lost", "requests_timed_out", "requests_dropped"] {
            assert_eq!(number(&report, none), 0, "{none}, {load}: {report:#}");
        }
        let answered = number(&report, "requests_answered");
        assert_eq!(number(&report, "server_completed"), answered, "{load}: {report:#}");
        assert_eq!(answered > 0, load != "idle", "{load}: {report:#}");
        let others = ["late", "refused", "unheard", "not_counted"];
        let others = others.iter().map(|one| number(&report, &format!("requests_{one}"))).sum::<u64>();
        assert_eq!(number(&report, "requests_sent"), answered + others, "{load}: {report:#}");
        assert_eq!((number(&report["stop"], "count"), number(&report["lag"], "count")), (3, 3));
        assert!(number(&report["lag"], "max_ns") <= number(&report["stop"], "max_ns"), "{report:#}");
    }
}
