//! The body of an answer, which may not come whole.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::wire::Then;

/// Why a body ends early.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Bytes, of which all come, or so many.
pub(crate) struct Payload {
    bytes: Bytes,
    limit: Option<(usize, Then)>,
    /// What is waited for before the cut.
    gone: Gone,
}

/// Returns when the bytes before the cut went out.
pub(crate) type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Payload {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, limit: None, gone: Box::pin(std::future::ready(())) }
    }

    /// So many bytes come, of all that were announced; and when they are `gone`, what is to happen
    /// then.
    pub(crate) fn until(mut self, bytes: usize, then: Then, gone: Gone) -> Self {
        self.limit = Some((bytes, then));
        self.gone = gone;
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        match self.limit {
            None => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes))))),
            Some((0, Then::Stall)) => Poll::Pending,
            Some((0, Then::Close)) => {
                ready!(self.gone.as_mut().poll(context));
                Poll::Ready(Some(Err("the body is cut here".into())))
            }
            Some((count, then)) => {
                let count = count.min(self.bytes.len());
                let first = self.bytes.split_to(count);
                self.limit = Some((0, then));
                Poll::Ready(Some(Ok(Frame::data(first))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len().try_into().unwrap_or(u64::MAX))
    }
}
