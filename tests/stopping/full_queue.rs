//! A stop while every worker is busy and the queue is full.

use softstop::{Request, Router, route};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start,
};

#[test]
fn what_is_in_the_queue_is_finished_and_what_has_no_room_there_is_refused() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "quick").inline())
        .get("/held", move |_: &Request| gate.pass());
    let (server, address) = start(local().loops(1).max_workers(1).max_queued(1).routes(routes));
    let [mut busy, mut queued, mut late] = [(); 3].map(|()| Client::connect(address));
    busy.send(get("/held"));
    held.wait_entered();
    // One read takes both requests. When the first is answered, the second is in the queue.
    queued.send(get("/") + &get("/held"));
    assert_eq!(queued.read_response().text(), "quick");
    let refused = late.get("/held");
    assert_eq!((refused.status, refused.says_close()), (503, false), "the queue is full");
    let report = begin_stop(&server, patient().quiet(HUNG));
    let refused = late.get("/held");
    assert_eq!((refused.status, refused.says_close()), (503, true), "the queue is still full");
    late.expect_end();
    held.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    held.wait_entered();
    held.let_one_go();
    let response = queued.read_response();
    assert_eq!((response.status, response.says_close()), (204, true));
    drop((busy, queued, late));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, report.requests.rejected), (5, 2), "{report}");
}
