//! The attempts that are under way.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

/// Several of them in a set that polls those that were woken. A commit of one lane has one at a time:
/// that is polled by itself, and saves the set with its wakers.
pub(super) struct Attempts<F> {
    alone: Option<Pin<Box<F>>>,
    several: Option<FuturesUnordered<F>>,
    one_lane: bool,
}

impl<F: Future> Attempts<F> {
    /// None yet. Should a commit of one lane come to have several, the set takes the further ones.
    pub(super) fn new(one_lane: bool) -> Self {
        Self { alone: None, several: None, one_lane }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.alone.is_some()) + self.several.as_ref().map_or(0, FuturesUnordered::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, attempt: F) {
        if self.one_lane && self.is_empty() {
            self.alone = Some(Box::pin(attempt));
        } else {
            self.several.get_or_insert_default().push(attempt);
        }
    }

    /// The next one that ends; `None` if there is none.
    pub(super) async fn next(&mut self) -> Option<F::Output> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if let Some(alone) = &mut self.alone
            && let Poll::Ready(output) = alone.as_mut().poll(cx)
        {
            self.alone = None;
            return Poll::Ready(Some(output));
        }
        if let Some(several) = &mut self.several
            && let Poll::Ready(Some(output)) = several.poll_next_unpin(cx)
        {
            return Poll::Ready(Some(output));
        }
        if self.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}
