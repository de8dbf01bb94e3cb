//! The socket below HTTP, where faults happen that no HTTP server would make.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// What happens to the bytes of the next answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is reset instead.
    Reset,
    /// Other bytes come first, instead of the first ones.
    Instead(Vec<u8>),
    /// So many bytes go out, then the connection is closed.
    Close { after: usize },
    /// So many bytes go out, then nothing more.
    Stall { after: usize },
    /// One byte at a time.
    Drip,
}

/// A connection's number, and the trouble that it has.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    trouble: Mutex<Option<Trouble>>,
}

impl Line {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, trouble: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the next byte on that is written.
    pub(crate) fn arm(&self, trouble: Trouble) {
        *self.lock() = Some(trouble);
    }
}

/// A connection's bytes, plain or within TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// A stream that has the trouble of its line.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    line: Arc<Line>,
}

impl Wire {
    pub(crate) fn new(stream: Stream, line: Arc<Line>) -> Self {
        Self { stream, line }
    }

    fn inner(&mut self) -> Pin<&mut (dyn Both + Send)> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let trouble = self.line.lock().clone();
        match trouble {
            None => self.inner().poll_write(context, bytes),
            Some(Trouble::Reset | Trouble::Close { after: 0 }) => Poll::Ready(Err(gone())),
            Some(Trouble::Instead(other)) => self.write_instead(context, &other, bytes),
            Some(Trouble::Close { after }) => {
                let most = &bytes[..bytes.len().min(after)];
                let written = self.inner().poll_write(context, most);
                self.count(&written, |count| Trouble::Close { after: after - count });
                written
            }
            // Nothing wakes this up again but the end of the connection.
            Some(Trouble::Stall { after: 0 }) => Poll::Pending,
            Some(Trouble::Stall { after }) => {
                let most = &bytes[..bytes.len().min(after)];
                let written = self.inner().poll_write(context, most);
                self.count(&written, |count| Trouble::Stall { after: after - count });
                written
            }
            Some(Trouble::Drip) => self.inner().poll_write(context, &bytes[..bytes.len().min(1)]),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

impl Wire {
    /// Takes note of what was written.
    fn count(&self, written: &Poll<io::Result<usize>>, left: impl FnOnce(usize) -> Trouble) {
        if let Poll::Ready(Ok(count)) = written {
            self.line.arm(left(*count));
        }
    }

    /// Writes other bytes for those that were to be written, and then closes the connection.
    fn write_instead(
        &mut self,
        context: &mut Context<'_>,
        other: &[u8],
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.inner().poll_write(context, other) {
            Poll::Ready(Ok(count)) if count < other.len() => {
                self.line.arm(Trouble::Instead(other[count..].to_vec()));
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Ok(_)) => {
                self.line.arm(Trouble::Close { after: 0 });
                Poll::Ready(Ok(bytes.len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if *self.line.lock() == Some(Trouble::Reset) {
            // With bytes unsent or not, the peer gets a reset; a socket that is gone needs none.
            let _ = self.stream.socket().set_zero_linger();
        }
    }
}
