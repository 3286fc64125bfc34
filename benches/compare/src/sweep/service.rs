//! The balancer of a cell: it chooses a replica for each new connection, as kube-proxy does. Connections that exist go on.

use std::{
    net::SocketAddr,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Two replicas, and the moment from which the first one is left out.
#[derive(Debug)]
pub(super) struct Service {
    replicas: [SocketAddr; 2],
    turn: AtomicUsize,
    removal: OnceLock<Instant>,
}

impl Service {
    pub(super) fn new(replicas: [SocketAddr; 2]) -> Service {
        Service { replicas, turn: AtomicUsize::new(0), removal: OnceLock::new() }
    }

    /// Leaves the first replica out from this moment on.
    pub(super) fn remove_first(&self, at: Instant) {
        self.removal.get_or_init(|| at);
    }

    /// The replica for a new connection: each in turn, as long as there are two.
    pub(super) fn choose(&self, now: Instant) -> SocketAddr {
        let [first, second] = self.replicas;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let is_removed = self.removal.get().is_some_and(|&at| at <= now);
        if is_removed || turn % 2 == 1 { second } else { first }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_replicas_take_turns_until_one_is_removed() {
        let [first, second] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (service, now) = (Service::new([first, second]), Instant::now());
        let choose = |at| [service.choose(at), service.choose(at)];
        assert_eq!(choose(now), [first, second]);
        let removal = now + Duration::from_secs(1);
        service.remove_first(removal);
        assert_eq!(choose(now), [first, second]);
        assert_eq!(choose(removal), [second, second]);
    }
}
