//! Urgent data among requests (TCP's out-of-band byte). A read ends early at its mark, though there is more behind it, and no
//! further event tells of that.

use socket2::SockRef;
use softstop::{Request, Router, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    local, start,
};

/// The loop is held while the pieces are sent, so that it is told of all of them at once.
#[test]
fn what_comes_behind_an_urgent_byte_is_read_without_a_further_event() {
    let whole = get("/");
    let (head, rest) = whole.split_at(10);
    let posted = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nco";
    let rows = [
        // Inside of a head, in front of it, inside of a content, and behind a whole request.
        (head.to_owned(), rest.to_owned(), 1),
        (String::new(), whole.clone(), 1),
        (posted.to_owned(), "nt".to_owned(), 1),
        (whole.clone(), whole.clone(), 2),
    ];
    for (before, behind, answers) in rows {
        let (gate, held) = gate();
        let routes = Router::new()
            .any("/", route(|_: &Request| "served").inline())
            .get("/held", route(move |_: &Request| gate.pass()).inline());
        let (_server, address) = start(local().loops(1).routes(routes));
        let [mut client, mut busy] = [(); 2].map(|()| Client::connect(address));
        // It waits between two requests, as a fresh one would be looked at in any case.
        assert_eq!(client.get("/").text(), "served");
        busy.send(get("/held"));
        held.wait_entered();
        client.send(&before);
        SockRef::from(&client.sender()).send_out_of_band(b"!").unwrap();
        client.send(&behind);
        held.let_one_go();
        for _ in 0..answers {
            assert_eq!(client.read_response().text(), "served", "{before:?} ! {behind:?}");
        }
        // It goes on as if nothing had been.
        assert_eq!(client.get("/").text(), "served");
    }
}
