//! The socket below HTTP, where faults happen that no HTTP server would make.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, watch},
};
use tokio_rustls::server::TlsStream;

use crate::frames::{Frames, Out};

/// What happens to the bytes of the next answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is reset instead.
    Reset,
    /// Other bytes come instead, and then the connection is closed.
    Instead(Vec<u8>),
    /// So many bytes go out, counted from the end of the head if it is `within` it still; and `then`.
    Until { head: Option<Head>, left: usize, then: Then },
    /// One byte at a time.
    Drip { rested: bool },
}

/// What happens when enough bytes went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    Stall,
}

/// The last bytes of a head that is not over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head([u8; 4]);

impl Head {
    /// Where the head ends in `bytes`: behind its empty line.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, byte) in bytes.iter().enumerate() {
            self.0.rotate_left(1);
            self.0[3] = *byte;
            if &self.0 == b"\r\n\r\n" {
                return Some(place + 1);
            }
        }
        None
    }
}

/// A connection's number, and the trouble that it has.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    trouble: Mutex<Option<Trouble>>,
    leaves: Notify,
    /// What of HTTP/2's frames went out.
    out: watch::Sender<Out>,
}

impl Line {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            trouble: Mutex::new(None),
            leaves: Notify::new(),
            out: watch::Sender::new(Out::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the next byte on that is written.
    pub(crate) fn arm(&self, trouble: Trouble) {
        *self.lock() = Some(trouble);
    }

    /// The connection takes no more requests, and ends with those that it has. On HTTP/2 the client
    /// is told: this returns when that went out.
    pub(crate) async fn leave(&self) {
        self.leaves.notify_one();
        let _ = self.out.subscribe().wait_for(|out| out.goaway).await;
    }

    /// Returns when it is to [leave](Self::leave).
    pub(crate) async fn left(&self) {
        self.leaves.notified().await;
    }

    /// What returns when so many more bytes of bodies went out, on HTTP/2.
    pub(crate) fn gone(&self, bytes: usize) -> impl Future<Output = ()> + Send + 'static {
        let mut out = self.out.subscribe();
        let all = out.borrow().data + bytes;
        async move {
            // Who asks is of the connection, and ends with it.
            let _ = out.wait_for(|out| out.data >= all).await;
        }
    }

    /// Whether nothing more can be said here.
    fn is_over(&self) -> bool {
        matches!(
            *self.lock(),
            Some(Trouble::Reset | Trouble::Until { head: None, left: 0, then: Then::Close })
        )
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
    frames: Frames,
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

type Written = Poll<io::Result<usize>>;

impl Wire {
    pub(crate) fn new(stream: Stream, line: Arc<Line>) -> Self {
        Self { stream, line, frames: Frames::default() }
    }

    fn inner(&mut self) -> Pin<&mut (dyn Both + Send)> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket),
            Stream::Tls(stream) => Pin::new(&mut **stream),
        }
    }

    /// Writes other bytes for those that were to be written, and then closes the connection.
    fn write_instead(&mut self, context: &mut Context<'_>, other: &[u8]) -> Written {
        let count = ready!(self.inner().poll_write(context, other))?;
        let rest = other[count..].to_vec();
        let over = Trouble::Until { head: None, left: 0, then: Then::Close };
        self.line.arm(if rest.is_empty() { over } else { Trouble::Instead(rest) });
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn write_until(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        mut head: Option<Head>,
        left: usize,
        then: Then,
    ) -> Written {
        let before = head;
        // Of what is written now, so much belongs to the head.
        let in_head = head.as_mut().map_or(0, |head| head.end(bytes).unwrap_or(bytes.len()));
        let over = before.is_none() || head.is_some_and(|head| &head.0 == b"\r\n\r\n");
        let most = if over { bytes.len().min(in_head.saturating_add(left)) } else { bytes.len() };
        if most == 0 {
            ready!(self.inner().poll_flush(context))?;
            return match then {
                Then::Close => Poll::Ready(Err(gone())),
                // Nothing wakes this up again but the end of the connection.
                Then::Stall => Poll::Pending,
            };
        }
        let count = ready!(self.inner().poll_write(context, &bytes[..most]))?;
        let behind = count.saturating_sub(in_head);
        let head = match before {
            // Less was written than was looked at: what was not will be looked at again.
            Some(mut head) if count < in_head || !over => {
                head.end(&bytes[..count]);
                Some(head)
            }
            _ => None,
        };
        let left = left - behind;
        self.line.arm(Trouble::Until { head, left, then });
        if head.is_none() && left == 0 {
            // Who reads now learns that the connection is over.
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.is_over() {
            ready!(self.inner().poll_flush(context))?;
            return Poll::Ready(Ok(()));
        }
        self.inner().poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Written {
        let trouble = self.line.lock().clone();
        match trouble {
            None => {
                let count = ready!(self.inner().poll_write(context, bytes))?;
                self.frames.add(&bytes[..count]);
                self.line.out.send_if_modified(|out| {
                    let before = std::mem::replace(out, self.frames.out());
                    before != *out
                });
                Poll::Ready(Ok(count))
            }
            Some(Trouble::Reset) => Poll::Ready(Err(gone())),
            Some(Trouble::Instead(other)) => self.write_instead(context, &other),
            Some(Trouble::Until { head, left, then }) => {
                self.write_until(context, bytes, head, left, then)
            }
            Some(Trouble::Drip { rested: false }) => {
                // Others run between two bytes: the client has time to read the one before.
                self.line.arm(Trouble::Drip { rested: true });
                ready!(self.inner().poll_flush(context))?;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Trouble::Drip { rested: true }) => {
                self.line.arm(Trouble::Drip { rested: false });
                self.inner().poll_write(context, &bytes[..bytes.len().min(1)])
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
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
