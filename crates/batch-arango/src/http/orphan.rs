//! An answer that comes when nobody waits for it any more: it may have opened something on the server.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::timeout;

use super::Reply;
use crate::cleaning::Cleaning;

/// The longest that is waited for the server to forget what nobody needs any more, and for an answer
/// that says what that is.
pub(crate) const LONGEST_CLEANING: Duration = Duration::from_secs(1);

/// What is done with an answer that nobody waits for.
#[derive(Clone)]
pub(crate) struct Adopt {
    read: Arc<dyn Fn(Reply) + Send + Sync>,
    cleaning: Cleaning,
}

impl Adopt {
    /// `read` may begin further tasks of `cleaning`.
    pub(crate) fn new(cleaning: &Cleaning, read: impl Fn(Reply) + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), cleaning: cleaning.clone() }
    }
}

impl fmt::Debug for Adopt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adopt")
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Reply, E>> + Send>>;

/// A request that is under way. Dropped, it goes on for a while if somebody adopts its answer.
pub(super) struct Orphan<E: Send + 'static> {
    answer: Option<Answer<E>>,
    adopt: Option<Adopt>,
}

impl<E: Send + 'static> Orphan<E> {
    pub(super) fn new(answer: impl Future<Output = Result<Reply, E>> + Send + 'static) -> Self {
        Self { answer: Some(Box::pin(answer)), adopt: None }
    }

    /// From now on it has been sent.
    pub(super) fn adopted(&mut self, adopt: Option<Adopt>) {
        self.adopt = adopt;
    }
}

impl<E: Send + 'static> Future for Orphan<E> {
    type Output = Result<Reply, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        let answered = ready!(answer.as_mut().poll(context));
        self.answer = None;
        Poll::Ready(answered)
    }
}

impl<E: Send + 'static> Drop for Orphan<E> {
    fn drop(&mut self) {
        if let (Some(answer), Some(adopt)) = (self.answer.take(), self.adopt.take()) {
            let Adopt { read, cleaning } = adopt;
            cleaning.spawn(async move {
                if let Ok(Ok(reply)) = timeout(LONGEST_CLEANING, answer).await {
                    read(reply);
                }
            });
        }
    }
}
