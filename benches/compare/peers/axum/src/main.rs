//! axum as its examples recommend: `axum::serve` and `with_graceful_shutdown`.

use std::{error::Error, future::pending, thread};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, WebSocketUpgrade, ws::WebSocket},
    routing::{get, post},
    serve::ListenerExt,
};
use peer_answers::{Arguments, BIG, BLOCK, GRACE, HELLO, KIB, LARGEST_ECHO, SLEPT, announce, milliseconds};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .max_blocking_threads(arguments.blocking)
        .enable_all()
        .build()?
        .block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(arguments.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let (stop, stopping) = oneshot::channel();
    let serving = axum::serve(listener, routes()).with_graceful_shutdown(async move {
        terminate.recv().await;
        let _ = stop.send(());
    });
    // axum does not bound its stop, so this function does.
    tokio::select! {
        served = serving.into_future() => served?,
        () = async { let _ = stopping.await; sleep(GRACE).await } => {}
    }
    Ok(())
}

fn routes() -> Router {
    Router::new()
        .route("/", get(async || HELLO))
        .route("/kib", get(async || Bytes::from_static(&KIB)))
        .route("/big", get(async || Bytes::from_static(&BIG)))
        .route("/echo", post(async |content: Bytes| content).layer(DefaultBodyLimit::max(LARGEST_ECHO)))
        .route("/stuck", get(pending::<()>))
        .route("/upgrade", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(read_to_the_end)))
        .route(
            "/sleep",
            get(async |RawQuery(query): RawQuery| {
                sleep(milliseconds(query.as_deref())).await;
                SLEPT
            }),
        )
        .route(
            "/block",
            get(async || {
                let _ = tokio::task::spawn_blocking(|| thread::sleep(BLOCK)).await;
                SLEPT
            }),
        )
}

/// Reads until the client ends, as the usual examples do.
async fn read_to_the_end(mut socket: WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
