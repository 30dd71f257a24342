//! Connections: taken, encrypted where that is asked for, served, bounded.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Connections of one port at one time; others wait until one ends.
const MOST_CONNECTIONS: usize = 4096;

/// How long a client may take to agree on the encryption.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may be without a request, and a request without the end of its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(120);

/// Pause after the system has refused a connection, as it does when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The answer to a client that speaks plain HTTP to a port with TLS.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 37\r\n\
    Connection: close\r\n\r\nThis port speaks TLS: use https://..\n";

/// Serves the connections of one port until `stopping`; then finishes the requests in flight.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, tls.clone(), router.clone(), stopping.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    connection.await;
                });
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Whether the client was gone before we looked.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: CancellationToken,
) {
    // Small answers must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return requests(stream, peer, router, stopping).await };
    let agreed = tokio::select! {
        () = stopping.cancelled() => return,
        agreed = tokio::time::timeout(HANDSHAKE_PATIENCE, handshake(stream, tls)) => agreed,
    };
    match agreed {
        Ok(Ok(Some(stream))) => requests(stream, peer, router, stopping).await,
        Ok(Ok(None)) => tracing::debug!(%peer, "a client speaks HTTP without TLS"),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with a client"),
        Err(_) => tracing::debug!(%peer, "a client takes too long to agree on TLS"),
    }
}

/// Agrees on TLS. A client that speaks HTTP without it is told so.
async fn handshake(
    mut stream: TcpStream,
    tls: TlsAcceptor,
) -> io::Result<Option<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut first = [0];
    // A TLS client begins with a byte that is no letter.
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    tls.accept(stream).await.map(Some)
}

async fn requests<S>(stream: S, peer: SocketAddr, router: Router, stopping: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection broke");
    }
}
