//! The listener: HTTP/1.1 connections, each request in a task of its own, and connections that are torn down on order.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http_body_util::BodyExt;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{
    service,
    shared::Shared,
    wire::{Body, Outcome},
};

/// Accepts connections until told to stop.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Accepting fails when the process is out of files; the caller sees it, and the next connection may do better.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let connection = serve(stream, Arc::clone(&shared));
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small answers, many of them: never wait for more to send.
    let _best_effort = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&reset);
    let service = service_fn(move |request| Box::pin(respond(Arc::clone(&shared), Arc::clone(&flag), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Acquire) {
        // Without lingering, closing sends RST: what a caller sees when AWS's end vanishes.
        let _best_effort = stream.set_zero_linger();
    } else {
        let _best_effort = stream.shutdown().await;
    }
}

async fn respond(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<hyper::Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let id = shared.request_id();
    let outcome = tokio::spawn(service::answer(shared, parts, body)).await.map_err(io::Error::other)?;
    match outcome {
        Outcome::Answer(reply) => Ok(reply.into_response(&id)),
        Outcome::Reset => {
            reset.store(true, Ordering::Release);
            Err(io::Error::other("reset on order"))
        }
    }
}
