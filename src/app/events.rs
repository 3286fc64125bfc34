//! Server-sent events (WHATWG HTML, section 9.2): a one-way stream of events for a browser's `EventSource`, which
//! connects again by itself and says which event it saw last.
//!
//! [`Event`] is one event, and [`Hub`] sends each event to all subscribers. A complete program needs no more than this:
//!
//! ```
//! use softstop::{Request, Router, events::{Event, Hub}};
//!
//! let hub = Hub::builder().history(100).build();
//! let (subscribe, publish) = (hub.clone(), hub.clone());
//! let router = Router::new()
//!     .get("/events", move |request: &Request| subscribe.subscribe(request))
//!     .post("/events", move |request: &Request| {
//!         publish.publish(&Event::new(&String::from_utf8_lossy(request.body())));
//!     });
//! # let _ = router;
//! ```

mod event;
mod hub;

pub use self::{
    event::Event,
    hub::{Hub, HubBuilder},
};
