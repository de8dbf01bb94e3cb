//! Commits that go on though their futures were dropped. What follows one of them waits for what
//! it has not done yet on the same keys, so that batches that follow one another keep the order.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt as _;
use tokio::sync::{OnceCell, watch};

use super::{Work, errors};
use crate::{
    Result,
    backend::{KeyId, REFUSED, Routes},
    plan::{Keeps, Planned, ShardedMap, free_list, free_routes, give_way, mechanism_of, route_all},
    table::Status,
};

/// Those of one store that have not ended.
#[derive(Debug, Default)]
pub(crate) struct DetachedCommits {
    /// Looked at by each commit, so that it takes no lock where there is none of them.
    count: AtomicUsize,
    list: Mutex<Vec<Arc<DetachedCommit>>>,
}

#[derive(Debug)]
struct DetachedCommit {
    work: Arc<Work>,
    /// Found when somebody asks.
    ids: OnceCell<Ids>,
    ended: watch::Sender<bool>,
}

impl DetachedCommits {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<DetachedCommit>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is one.
    pub(super) fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// From now on this commit goes on by itself.
    pub(super) fn add(&self, work: &Arc<Work>) {
        let work = Arc::clone(work);
        let ended = watch::Sender::new(false);
        self.list().push(Arc::new(DetachedCommit { work, ids: OnceCell::new(), ended }));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// This commit has settled all its jobs, whether it was detached or not.
    pub(super) fn end(&self, work: &Work) {
        if !self.is_any() {
            return;
        }
        let mut list = self.list();
        if let Some(place) = list.iter().position(|commit| std::ptr::eq(&*commit.work, work)) {
            let commit = list.swap_remove(place);
            self.count.fetch_sub(1, Ordering::AcqRel);
            drop(list);
            commit.ended.send_replace(true);
        }
    }

    /// Waits until none of those that run by now stands in the way of what was planned.
    pub(super) async fn let_by(&self, planned: &Planned) {
        let routes = &planned.routes;
        if routes.shared.is_empty() && routes.routes.iter().all(|route| route.key.is_none()) {
            return;
        }
        let before = self.list().clone();
        for commit in before {
            if commit.is_in_the_way_of(planned).await {
                // The sender is held here, so the channel does not close.
                let _ = commit.ended.subscribe().wait_for(|ended| *ended).await;
            }
            // The last one that waited for a large commit gives its ids back in steps.
            if let Some(ids) = Arc::into_inner(commit).and_then(|commit| commit.ids.into_inner()) {
                ids.free().await;
            }
        }
    }
}

impl DetachedCommit {
    async fn is_in_the_way_of(&self, planned: &Planned) -> bool {
        let find = async || {
            let found = AssertUnwindSafe(Ids::of_queue(&self.work)).catch_unwind().await;
            found.unwrap_or_else(|panic| Err(errors::panicked("routing", panic)))
        };
        // What cannot be told may be any key.
        let Ok(ids) = self.ids.get_or_try_init(find).await else {
            return true;
        };
        let routes = &planned.routes;
        // What has ended stays so: each id is looked at once.
        let mut looked_at = [(); 2].map(|()| ShardedMap::with_room(routes.routes.len()));
        let mut has_to_end = |id: KeyId, place: u32| {
            let is_stamped = is_stamped(routes, place);
            let [unstamped, stamped] = &mut looked_at;
            let looked_at = if is_stamped { stamped } else { unstamped };
            looked_at.insert(id.get(), ()).is_none() && self.has_to_end(ids, id, is_stamped)
        };
        let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
        for (place, route) in (0..all).zip(&routes.routes) {
            if let Some(key) = route.key
                && ids.has(key)
                && has_to_end(key, place)
            {
                return true;
            }
            give_way!(place, all);
        }
        let all = u32::try_from(routes.shared.len()).unwrap_or(u32::MAX);
        for (at, (place, shared)) in (0..all).zip(&routes.shared) {
            if ids.has(*shared) && has_to_end(*shared, *place) {
                return true;
            }
            give_way!(at, all);
        }
        let [unstamped, stamped] = looked_at;
        unstamped.free().await;
        stamped.free().await;
        false
    }

    /// Whether one of its operations on what has this id has to end before one that follows.
    fn has_to_end(&self, ids: &Ids, id: KeyId, follower_is_stamped: bool) -> bool {
        ids.operations(id).any(|operation| match self.work.table.status(operation.index) {
            // It may yet get a later timestamp than the one that follows.
            Status::Queued => true,
            // And so may one whose chunk is cut.
            Status::Sent => {
                !(operation.is_stamped && follower_is_stamped) || self.work.may_be_stamped_anew()
            }
            Status::Applied | Status::NotApplied | Status::Accepted | Status::Unknown => false,
        })
    }
}

/// Whether timestamps decide between this operation and one on its key of another commit.
fn is_stamped(routes: &Routes, place: u32) -> bool {
    mechanism_of(routes, place as usize).is_some_and(|mechanism| mechanism.is_stamped())
}

/// What the operations of a commit are ordered by.
#[derive(Debug)]
struct Ids {
    /// The last operation of each id, as a place in the list.
    last: ShardedMap<u32>,
    list: Vec<WithId>,
}

#[derive(Clone, Copy, Debug)]
struct WithId {
    index: u32,
    is_stamped: bool,
    /// The place of the one before it that has the same id.
    before: Option<u32>,
}

impl Ids {
    /// Routes the queue of a commit once more: one that is not detached has no use for its ids.
    async fn of_queue(work: &Work) -> Result<Self> {
        let queue = work.queue();
        let routes = route_all(&*work.shared.backend, queue, work.terms, Keeps::Nothing).await?;
        let open = |(index, _): &&(u32, _)| !work.table.status(*index).is_terminal();
        if let Some((_, error)) = routes.refused.iter().find(open) {
            // It may be sent all the same, by what it was routed by before.
            return Err(error.clone());
        }
        let room = routes.routes.len() + routes.shared.len();
        let mut ids = Self { last: ShardedMap::with_room(room), list: Vec::with_capacity(room) };
        for (index, route) in (0..queue.len()).zip(&routes.routes) {
            if let Some(key) = route.key.filter(|_| route.mechanism != REFUSED) {
                ids.add(key, index, is_stamped(&routes, index));
            }
            give_way!(index, queue.len());
        }
        let all = u32::try_from(routes.shared.len()).unwrap_or(u32::MAX);
        for (at, (index, shared)) in (0..all).zip(&routes.shared) {
            ids.add(*shared, *index, is_stamped(&routes, *index));
            give_way!(at, all);
        }
        free_routes(routes).await;
        Ok(ids)
    }

    fn add(&mut self, id: KeyId, index: u32, is_stamped: bool) {
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let before = self.last.insert(id.get(), place);
        self.list.push(WithId { index, is_stamped, before });
    }

    fn has(&self, id: KeyId) -> bool {
        self.last.get(id.get()).is_some()
    }

    async fn free(self) {
        self.last.free().await;
        free_list(self.list).await;
    }

    /// The operations that have an id, the last one first.
    fn operations(&self, id: KeyId) -> impl Iterator<Item = &WithId> {
        let at = |place: u32| self.list.get(place as usize);
        let last = self.last.get(id.get()).and_then(|place| at(*place));
        std::iter::successors(last, move |operation| at(operation.before?))
    }
}
