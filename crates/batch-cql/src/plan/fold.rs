//! Folding: all operations of a commit on one key become one write, and the client derives the
//! outcome of each.
//!
//! Nothing on a CQL server keeps two requests to one key in order: all statements of a batch share
//! a timestamp, and a condition's write takes the server's time. So the operations are walked
//! through here, once for each state the row may be in at the start. If the first one is no
//! condition, both walks agree, and one plain write does it. Else one walk's effect is sent with
//! its condition, and the refusal of the condition proves that the other walk is the true one.

use batch_core::Verb;

use crate::{
    row::{CellRef, Row},
    schema::Known,
};

/// What an operation came to in a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied,
    AlreadyExists,
    NotFound,
}

/// What the operations on a key do to its row in sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// The given columns are written.
    Merge,
    /// All columns are written, those not given have no value.
    Whole,
    Delete,
}

/// A walk through the operations on a key, from one state of its row.
#[derive(Debug)]
pub(crate) struct Walk {
    exists: bool,
    pub(crate) effect: Effect,
    /// Whether the row is there by itself in the end, and not by its columns alone: the last thing that made it
    /// sure of that was an `INSERT`, which also ends what time that row had to live.
    pub(crate) is_marked: bool,
    /// The columns that [`Effect::Merge`] and [`Effect::Whole`] write.
    pub(crate) row: Row,
    /// One for each operation.
    pub(crate) fates: Vec<Fate>,
}

impl Walk {
    /// From a row that is there or is not, in a table of so many columns.
    pub(crate) fn from(exists: bool, columns: usize) -> Self {
        let mut row = Row::default();
        row.clear(columns);
        Self { exists, effect: Effect::Nothing, is_marked: false, row, fates: Vec::new() }
    }

    /// The next operation, with the columns that it gives. Those that the partition's rows share
    /// stay as an operation before it left them, whatever becomes of the row.
    pub(crate) fn step(&mut self, verb: Verb, columns: usize, given: &Row, known: &Known) {
        let fate = match verb {
            Verb::Insert if self.exists => Fate::AlreadyExists,
            Verb::Replace | Verb::Update | Verb::DeleteExisting if !self.exists => Fate::NotFound,
            Verb::Insert | Verb::Put | Verb::Replace => {
                self.row.keep(|place| known.is_shared(place));
                self.take(columns, given);
                (self.exists, self.effect) = (true, Effect::Whole);
                Fate::Applied
            }
            Verb::Delete | Verb::DeleteExisting => {
                self.row.keep(|place| known.is_shared(place));
                (self.exists, self.effect) = (false, Effect::Delete);
                Fate::Applied
            }
            // Upsert and update.
            _ => {
                // What is written after a deletion has no other columns.
                self.effect = match self.effect {
                    Effect::Delete | Effect::Whole => Effect::Whole,
                    Effect::Nothing | Effect::Merge => Effect::Merge,
                };
                self.take(columns, given);
                self.exists = true;
                Fate::Applied
            }
        };
        if fate == Fate::Applied {
            self.is_marked = match verb {
                Verb::Insert | Verb::Put | Verb::Upsert => true,
                Verb::Delete | Verb::DeleteExisting => false,
                _ => self.is_marked,
            };
        }
        self.fates.push(fate);
    }

    /// Whether it writes columns that the partition's rows share.
    pub(crate) fn writes_shared(&self, known: &Known) -> bool {
        known.statics().any(|place| !self.row.is_unset(place))
    }

    fn take(&mut self, columns: usize, given: &Row) {
        for place in 0..columns {
            match given.cell(place) {
                CellRef::Unset => {}
                CellRef::Null => self.row.set_null(place),
                CellRef::Value(bytes) => self.row.copy(place, bytes),
            }
        }
    }
}
