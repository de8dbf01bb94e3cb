//! Operations that write something in common although their keys differ, such as two rows with
//! what their partition shares. They follow one another like those on one key.

use super::{free::Together, lanes::Repeated, mechanism_of, sharded::ShardedMap};
use crate::backend::{KeyId, REFUSED, Repeats, Route, Routes};

/// The keys whose operations follow one another because of something that they share. All
/// operations on such a key do, also those that write only what is the key's own.
#[derive(Debug, Default)]
pub(super) struct Bonds {
    of_key: ShardedMap<KeyId>,
    /// What one chunk would have to take, for each thing that is shared.
    groups: ShardedMap<Group>,
}

/// All operations on keys that are bound to one another.
#[derive(Clone, Copy, Debug)]
struct Group {
    route: Route,
    together: Together,
    /// Whether they may stand in one chunk.
    is_one: bool,
}

impl Bonds {
    /// Of what was said while routing. What one key alone writes binds nothing.
    pub(super) async fn among(routes: &Routes, repeated: &Repeated) -> Self {
        let mut bonds = Self::of_keys(routes).await;
        if bonds.of_key.is_empty() {
            return bonds;
        }
        let all = u32::try_from(routes.routes.len()).unwrap_or(u32::MAX);
        let mut groups: ShardedMap<Group> = ShardedMap::with_room(routes.shared.len());
        for (place, route) in (0..all).zip(&routes.routes) {
            if let Some(shared) = bonds.of(route) {
                let repeats = mechanism_of(routes, place as usize).map(|m| m.repeats);
                let folds = repeats == Some(Repeats::Folded) && repeated.earlier(place) > 0;
                let may_repeat = repeats != Some(Repeats::Apart);
                let is_first = repeated.earlier(place) == 0;
                let bytes = u64::from(route.bytes);
                match groups.get_mut(shared.get()) {
                    None => {
                        let together = Together { counted: 1, bytes };
                        let group = Group { route: *route, together, is_one: true };
                        groups.insert(shared.get(), group);
                    }
                    Some(Group { route: first, together, is_one }) => {
                        together.bytes += bytes;
                        together.counted += u32::from(!folds);
                        *is_one &= (route.mechanism, route.group) == (first.mechanism, first.group)
                            && (is_first || may_repeat);
                    }
                }
            }
            give_way!(place, all);
        }
        bonds.groups = groups;
        bonds
    }

    /// Without what one chunk would have to take.
    pub(super) async fn of_keys(routes: &Routes) -> Self {
        Self { of_key: bound_keys(routes).await, groups: ShardedMap::default() }
    }

    /// What one chunk would have to take so that it has all that share something; `None` if they
    /// cannot stand in one.
    pub(super) fn together(&self, shared: KeyId) -> Option<Together> {
        let group = self.groups.get(shared.get())?;
        group.is_one.then_some(group.together)
    }

    /// What binds an operation to those on other keys.
    pub(super) fn of(&self, route: &Route) -> Option<KeyId> {
        if self.of_key.is_empty() || route.mechanism == REFUSED {
            return None;
        }
        self.of_key.get(route.key?.get()).copied()
    }

    /// Drops them in steps.
    pub(super) async fn free(self) {
        self.of_key.free().await;
        self.groups.free().await;
    }
}

/// What the operations on a key share with those on others.
async fn bound_keys(routes: &Routes) -> ShardedMap<KeyId> {
    if routes.shared.is_empty() {
        return ShardedMap::default();
    }
    let all = u32::try_from(routes.shared.len()).unwrap_or(u32::MAX);
    let key = |place: u32| {
        let route = routes.routes.get(place as usize);
        route.filter(|route| route.mechanism != REFUSED)?.key
    };
    // The one key that writes it; `None` if there are several.
    let mut writers: ShardedMap<Option<KeyId>> = ShardedMap::with_room(routes.shared.len());
    for (at, (place, shared)) in (0..all).zip(&routes.shared) {
        if let Some(key) = key(*place) {
            match writers.get_mut(shared.get()) {
                Some(writer) if *writer == Some(key) => {}
                Some(writer) => *writer = None,
                None => {
                    writers.insert(shared.get(), Some(key));
                }
            }
        }
        give_way!(at, all);
    }
    let mut of_key = ShardedMap::with_room(routes.shared.len());
    for (at, (place, shared)) in (0..all).zip(&routes.shared) {
        if let Some(key) = key(*place)
            && writers.get(shared.get()) == Some(&None)
        {
            of_key.insert(key.get(), *shared);
        }
        give_way!(at, all);
    }
    writers.free().await;
    of_key
}
