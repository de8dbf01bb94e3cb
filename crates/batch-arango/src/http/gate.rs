//! A request body that leaves only once the sender has said so.
//!
//! A server acts on a request when it has all of its body. So the body is what is held back until a
//! connection is there to take it: whatever fails before has not reached the store, for certain.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// Why a body ends without its bytes: who would have released it is gone.
#[derive(Debug)]
struct NeverReleased;

impl std::fmt::Display for NeverReleased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request was given up before its body left")
    }
}

impl std::error::Error for NeverReleased {}

/// The sender's side of a gate.
#[derive(Debug)]
pub(super) struct Gate {
    /// Says that a connection asks for the body. Fails if the request has ended without.
    pub(super) asked: oneshot::Receiver<()>,
    /// Lets the body go.
    pub(super) release: oneshot::Sender<()>,
}

/// The body's side.
#[derive(Debug)]
pub(super) struct GatedBody {
    bytes: Bytes,
    asked: Option<oneshot::Sender<()>>,
    released: oneshot::Receiver<()>,
}

/// A body behind a gate.
pub(super) fn gated(bytes: Bytes) -> (Gate, GatedBody) {
    let (asks, asked) = oneshot::channel();
    let (release, released) = oneshot::channel();
    (Gate { asked, release }, GatedBody { bytes, asked: Some(asks), released })
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(asked) = self.asked.take() {
            // Nobody listens any more: the release fails too, just below.
            let _ = asked.send(());
        }
        match Pin::new(&mut self.released).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Some(Err(Box::new(NeverReleased)))),
            Poll::Ready(Ok(())) => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
