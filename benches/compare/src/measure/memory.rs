//! The memory cost of an idle connection: resident memory of the process, before and after. The kernel's memory for a
//! socket is the same for all servers, and is not counted.

use std::io;

use super::{
    BASE, SERVER_CORE,
    glance::{Better, Line},
    idle,
    statistics::short,
    usage,
};
use crate::{
    process::{Launch, Place},
    servers::Server,
    table::Table,
};

/// The number of idle connections, and of the connections before the first look. The first ones pay for memory that is
/// needed only once.
const IDLE: usize = 5000;
pub(super) const WARM: usize = 16;

/// The memory of one server, in bytes.
#[derive(Debug)]
pub struct Memory {
    server: &'static str,
    alone: f64,
    for_each: f64,
}

/// Measures all servers. Servers that fail are left out, with a message on standard error.
#[must_use]
pub fn memory(servers: &[&'static Server]) -> Vec<Memory> {
    let mut measured = Vec::new();
    for server in servers {
        match measure(server) {
            Ok(memory) => measured.push(memory),
            Err(error) => eprintln!("memory, {}: left out: {error}", server.name),
        }
    }
    measured
}

fn measure(server: &'static Server) -> io::Result<Memory> {
    let running =
        Launch { server, threads: 1, core: Some(SERVER_CORE), arguments: &[], place: Place::HERE }.start()?;
    let _warm = idle::open(running.address, WARM)?;
    let alone = usage::resident_bytes(running.id())?;
    let _idle = idle::open(running.address, IDLE)?;
    let with = usage::resident_bytes(running.id())?;
    Ok(Memory { server: server.name, alone, for_each: (with - alone) / IDLE as f64 })
}

impl Memory {
    /// The row of the page's first table.
    #[must_use]
    pub fn line(measured: &[Memory]) -> Line {
        Line {
            what: "Memory of an idle connection".to_owned(),
            unit: "bytes",
            better: Better::Less,
            to_reach: "ahead, <= 512",
            values: measured.iter().map(|memory| (memory.server, memory.for_each)).collect(),
        }
    }

    #[must_use]
    pub fn table(measured: &[Memory]) -> Table {
        let base = measured.iter().find(|memory| memory.server == BASE).map(|memory| memory.for_each);
        let mut table =
            Table::new(1, &["server", "without connections, KiB", "each of 5,000, bytes", "x softstop"]);
        for Memory { server, alone, for_each } in measured {
            let ratio = base.map_or("-".to_owned(), |base| short(for_each / base));
            let cells = [server, &*short(alone / 1024.0), &*format!("{for_each:.0}"), &*ratio];
            table.row(cells.map(str::to_owned).to_vec());
        }
        table
    }
}
