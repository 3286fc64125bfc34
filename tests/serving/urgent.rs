//! Urgent data among requests (TCP's out-of-band byte). A read ends early at the urgent mark, although more bytes
//! follow. No further event reports these bytes.

use socket2::SockRef;
use softstop::{Request, Router, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    local, start,
};

/// A handler holds the loop while the client sends the pieces, so that the loop is told of all pieces at once.
#[test]
fn what_comes_behind_an_urgent_byte_is_read_without_a_further_event() {
    let whole = get("/");
    let (head, rest) = whole.split_at(10);
    let posted = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nco";
    let rows = [
        // The urgent byte comes inside a head, before a head, inside a content, and after a whole request.
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
        // The connection waits between two requests, because the loop would read from a fresh connection in any case.
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
        // The connection goes on as if it had received no urgent byte.
        assert_eq!(client.get("/").text(), "served");
    }
}
