//! actix-web as its guide recommends: the server handles signals itself, and its `shutdown_timeout` bounds the stop.

use std::{io, thread, time::Duration};

use actix_web::{
    App, HttpRequest, HttpServer,
    rt::{System, time::sleep},
    web::{self, Bytes, PayloadConfig},
};
use peer_answers::{Arguments, BIG, BLOCK, GRACE, HELLO, KIB, LARGEST_ECHO, SLEPT, announce, milliseconds};

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let application = || {
        App::new()
            .app_data(PayloadConfig::new(LARGEST_ECHO))
            .route("/", web::get().to(async || HELLO))
            .route("/kib", web::get().to(async || Bytes::from_static(&KIB)))
            .route("/big", web::get().to(async || Bytes::from_static(&BIG)))
            .route("/echo", web::post().to(async |content: Bytes| content))
            .route("/stuck", web::get().to(std::future::pending::<&'static str>))
            .route("/sleep", web::get().to(rest))
            .route("/block", web::get().to(block))
    };
    System::new().block_on(async move {
        let server = HttpServer::new(application)
            .workers(arguments.threads)
            .worker_max_blocking_threads(arguments.blocking.div_ceil(arguments.threads))
            .shutdown_timeout(GRACE.as_secs())
            // Longer than any run here. The default of 5 s would close the idle connections before the measurement.
            .keep_alive(Duration::from_secs(75))
            // The default of 25,000 connections is enough for 5,000 idle connections and the active ones.
            .bind(arguments.listen)?;
        announce(server.addrs()[0])?;
        server.run().await
    })
}

async fn rest(request: HttpRequest) -> &'static str {
    sleep(milliseconds(Some(request.query_string()))).await;
    SLEPT
}

async fn block() -> &'static str {
    let _ = web::block(|| thread::sleep(BLOCK)).await;
    SLEPT
}
