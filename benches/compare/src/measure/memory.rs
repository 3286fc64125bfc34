//! What a connection costs that does nothing: resident memory of the process, before and after. What the kernel holds
//! for a socket is the same for all, and not in it.

use std::io;

use super::{BASE, SERVER_CORE, idle, statistics::short, usage};
use crate::{process::Launch, servers::Server, table::Table};

/// Idle connections, and how many there are before the first look, so that what is needed once is not counted.
const IDLE: usize = 5000;
const WARM: usize = 16;

/// Bytes for each idle connection.
#[must_use]
pub fn memory_table(servers: &[&'static Server]) -> Table {
    let mut rows = Vec::new();
    for server in servers {
        match measure(server) {
            Ok((alone, each)) => rows.push((server.name, alone, each)),
            Err(error) => eprintln!("memory, {}: left out: {error}", server.name),
        }
    }
    let base = rows.iter().find(|row| row.0 == BASE).map(|row| row.2);
    let mut table =
        Table::new(1, &["server", "without connections, KiB", "each of 5,000, bytes", "x softstop"]);
    for (name, alone, each) in rows {
        let ratio = base.map_or("-".to_owned(), |base| short(each / base));
        table.row(vec![name.to_owned(), short(alone / 1024.0), format!("{each:.0}"), ratio]);
    }
    table
}

fn measure(server: &'static Server) -> io::Result<(f64, f64)> {
    let running = Launch { server, threads: 1, core: Some(SERVER_CORE), arguments: &[] }.start()?;
    let _warm = idle::open(running.address, WARM)?;
    let alone = usage::resident_bytes(running.id())?;
    let _idle = idle::open(running.address, IDLE)?;
    let with = usage::resident_bytes(running.id())?;
    Ok((alone, (with - alone) / IDLE as f64))
}
