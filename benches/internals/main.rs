//! What the parts cost that no user gets to see: where `micro` has to take the difference of two ways through the public
//! API, this measures the part itself.
//!
//! `cargo bench --bench internals --features internals [-- FILTER]`, for instance `-- deadlines`; each is compared with the
//! run before. The feature opens `softstop::internals`, which exists for this alone. Wait groups and contexts are public,
//! and measured in `micro`.
//!
//! Where one thread wakes another (`mailbox/round trip`, `pool`), the figure is one of two, several times apart: the one of
//! two threads that share a core, or the one of a core that has to be woken, as the scheduler likes. To compare two runs of
//! these, hold them on one core: `taskset -c 0 cargo bench ...`.

#![allow(missing_docs, clippy::unwrap_used)]

mod deadlines;
mod drain;
mod mailbox;
mod pool;
mod router;
mod table;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    mailbox::bench(&mut criterion);
    deadlines::bench(&mut criterion);
    table::bench(&mut criterion);
    router::bench(&mut criterion);
    pool::bench(&mut criterion);
    drain::bench(&mut criterion);
    criterion.final_summary();
}
