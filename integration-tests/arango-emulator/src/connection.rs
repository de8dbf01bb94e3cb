//! Connections: they are accepted, counted, and served until they end or the emulator stops.

use std::{future::pending, io, net::SocketAddr, pin::pin, sync::Arc};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    server::Server,
    service,
    wire::{Line, Stream, Wire},
};

/// Streams that a connection may have open (`H2CommTask.cpp`).
const STREAMS: u32 = 32;

/// Listens on `address`, and says where: port 0 is any that is free.
pub(crate) async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Asks to take no more connections; what is within is told when none is taken any more.
pub(crate) type Refuse = oneshot::Sender<()>;

/// Serves connections until this is dropped, which ends them too.
pub(crate) async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    tls: Option<Arc<ServerConfig>>,
    mut refusing: oneshot::Receiver<Refuse>,
) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                // What failed to connect has nobody to answer to.
                let Ok((socket, _)) = accepted else { continue };
                let number = server.next_connection();
                connections.spawn(serve(socket, number, Arc::clone(&server), tls.clone()));
            }
            refused = &mut refusing, if listener.is_some() => {
                listener = None;
                // Who asked may not wait; who goes away without asking ends all of this.
                if let Ok(refused) = refused {
                    let _ = refused.send(());
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    socket: TcpStream,
    number: u64,
    server: Arc<Server>,
    tls: Option<Arc<ServerConfig>>,
) {
    // Small answers go out at once; where that cannot be set they go out later.
    let _ = socket.set_nodelay(true);
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(config) => match TlsAcceptor::from(config).accept(socket).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            // A client that does not trust the certificate goes away here.
            Err(_) => return,
        },
    };
    let line = Arc::new(Line::new(number));
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&line)));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().title_case_headers(true).auto_date_header(false);
    http.http2().max_concurrent_streams(STREAMS).auto_date_header(false);
    let for_service = Arc::clone(&line);
    let service = service_fn(move |request| {
        service::serve(Arc::clone(&server), Arc::clone(&for_service), request)
    });
    let mut serving = pin!(http.serve_connection(wire, service));
    // How a connection ended is seen by the client, and is often what a test asked for.
    tokio::select! {
        _ = &mut serving => return,
        () = line.left() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
