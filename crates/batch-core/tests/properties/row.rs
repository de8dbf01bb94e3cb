//! A row of cells, each with the timestamp of its write: whatever comes first, the highest wins.

use std::collections::BTreeMap;

use batch_core::{ErrorKind, Verb};
use serde_json::{Map, Value};

use crate::case::Doc;

/// What the operations on a key do to its row in sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Nothing,
    /// Some cells are written.
    Merge(Map<String, Value>),
    /// All cells are written, those not given have no value.
    Whole(Map<String, Value>),
    Delete,
}

/// What operations come to, one after another, from a row that is there or is not: their effect in
/// sum, and the error of each that has one.
pub(crate) fn fold<'s>(
    mut exists: bool,
    steps: impl IntoIterator<Item = (Verb, &'s Map<String, Value>)>,
) -> (Effect, Vec<Option<ErrorKind>>) {
    let mut effect = Effect::Nothing;
    let mut fates = Vec::new();
    for (verb, given) in steps {
        fates.push(match verb {
            Verb::Insert if exists => Some(ErrorKind::AlreadyExists),
            Verb::Replace | Verb::Update | Verb::DeleteExisting if !exists => {
                Some(ErrorKind::NotFound)
            }
            Verb::Insert | Verb::Put | Verb::Replace => {
                (exists, effect) = (true, Effect::Whole(given.clone()));
                None
            }
            Verb::Delete | Verb::DeleteExisting => {
                (exists, effect) = (false, Effect::Delete);
                None
            }
            _ => {
                effect = match effect {
                    Effect::Nothing => Effect::Merge(given.clone()),
                    Effect::Delete => Effect::Whole(given.clone()),
                    Effect::Merge(cells) => Effect::Merge(merged(cells, given)),
                    Effect::Whole(cells) => Effect::Whole(merged(cells, given)),
                };
                exists = true;
                None
            }
        });
    }
    (effect, fates)
}

fn merged(mut cells: Map<String, Value>, more: &Map<String, Value>) -> Map<String, Value> {
    cells.extend(more.clone());
    cells
}

#[derive(Debug)]
pub(crate) struct Row {
    /// What was written up to here is gone.
    deleted: i64,
    /// The latest write that made the row be there.
    marker: i64,
    cells: BTreeMap<String, (i64, Value)>,
}

impl Default for Row {
    fn default() -> Self {
        Self { deleted: i64::MIN, marker: i64::MIN, cells: BTreeMap::new() }
    }
}

impl Row {
    pub(crate) fn exists(&self) -> bool {
        self.marker > self.deleted
    }

    pub(crate) fn write(&mut self, effect: Effect, stamp: i64) {
        match effect {
            Effect::Nothing => {}
            Effect::Delete => self.deleted = self.deleted.max(stamp),
            Effect::Merge(cells) => self.merge(cells, stamp),
            Effect::Whole(cells) => {
                self.deleted = self.deleted.max(stamp - 1);
                self.merge(cells, stamp);
            }
        }
    }

    fn merge(&mut self, cells: Map<String, Value>, stamp: i64) {
        self.marker = self.marker.max(stamp);
        for (name, value) in cells {
            let cell = self.cells.entry(name).or_insert((i64::MIN, Value::Null));
            // Of two writes with one timestamp the larger bytes win.
            if (stamp, value.to_string()) > (cell.0, cell.1.to_string()) {
                *cell = (stamp, value);
            }
        }
    }

    pub(crate) fn document(&self) -> Doc {
        let live = self.cells.iter().filter(|(_, (stamp, _))| *stamp > self.deleted);
        let live = live.map(|(name, (_, value))| (name.clone(), value.clone()));
        self.exists().then(|| live.collect())
    }
}
