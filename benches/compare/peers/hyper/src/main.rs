//! hyper as its guides recommend: a task for each connection, and hyper-util's `GracefulShutdown`.

use std::{convert::Infallible, error::Error, future::pending, thread};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use peer_answers::{Arguments, BIG, BLOCK, GRACE, HELLO, KIB, SLEPT, announce, milliseconds};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .max_blocking_threads(arguments.blocking)
        .enable_all()
        .build()?
        .block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    announce(listener.local_addr()?)?;
    let graceful = GracefulShutdown::new();
    // Sends the answers to pipelined requests together. The option is off by default, and is hyper's fastest way.
    let mut http = http1::Builder::new();
    http.pipeline_flush(true);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true)?;
                let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // An error ends only this connection, and the client sees it.
                    let _ = watched.await;
                });
            }
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    let _ = timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let content = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Bytes::from_static(HELLO.as_bytes()),
        (&Method::GET, "/kib") => Bytes::from_static(&KIB),
        (&Method::GET, "/big") => Bytes::from_static(&BIG),
        (&Method::GET, "/sleep") => {
            sleep(milliseconds(request.uri().query())).await;
            Bytes::from_static(SLEPT.as_bytes())
        }
        (&Method::GET, "/block") => {
            let _ = tokio::task::spawn_blocking(|| thread::sleep(BLOCK)).await;
            Bytes::from_static(SLEPT.as_bytes())
        }
        (&Method::GET, "/stuck") => pending().await,
        (&Method::POST, "/echo") => match request.into_body().collect().await {
            Ok(content) => content.to_bytes(),
            Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
        },
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    Ok(Response::new(Full::new(content)))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
