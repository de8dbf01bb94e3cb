//! Values that the server refuses, and with them the whole batch.

use batch_core::ErrorKind;
use scylla::cluster::metadata::{CollectionType, ColumnType};

use super::{cells::Cells, text::Role};
use crate::{
    row::CellRef,
    schema::table::{LONGEST_KEY, LONGEST_TTL, is_counter},
};

/// What the server refuses as a marker's value, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    kind: ErrorKind,
    null: Option<&'static str>,
    unset: Option<&'static str>,
    bounds: Bounds,
}

/// The values that a marker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    All,
    /// Those that are not too long.
    Key,
    /// And not empty.
    WholeKey,
    Timestamp,
    Ttl,
}

/// A value that the server would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) kind: ErrorKind,
    pub(super) marker: Option<u16>,
    pub(super) what: &'static str,
}

/// What the server refuses as the values of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checks {
    /// What to look at, for each marker: most take anything.
    looks: Box<[Look]>,
    checks: Box<[Check]>,
    /// The markers of the partition key, if it has several columns.
    composite: Box<[u16]>,
    /// Those of the clustering columns, if there are several.
    clustering: Box<[u16]>,
}

/// The kinds of value that a marker does not always take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    null: bool,
    unset: bool,
    value: bool,
}

impl Checks {
    /// Of the markers' roles, and of those that are the key.
    pub(super) fn new(
        mut checks: Vec<Check>,
        partition: Option<&[u16]>,
        key: Option<&[u16]>,
    ) -> Self {
        let partition = partition.unwrap_or_default();
        let key = key.unwrap_or_default();
        let clustering = key.get(partition.len()..).unwrap_or_default();
        for place in partition.iter().chain(key) {
            if let Some(check) = checks.get_mut(usize::from(*place)) {
                *check = Check::KEY;
            }
        }
        if let [place] = partition
            && let Some(check) = checks.get_mut(usize::from(*place))
        {
            check.bounds = Bounds::WholeKey;
        }
        let look = |check: &Check| Look {
            null: check.null.is_some(),
            unset: check.unset.is_some(),
            value: check.bounds != Bounds::All,
        };
        Self {
            looks: checks.iter().map(look).collect(),
            checks: checks.into(),
            composite: if partition.len() > 1 { partition.into() } else { Box::default() },
            clustering: if clustering.len() > 1 { clustering.into() } else { Box::default() },
        }
    }

    /// Looks through values as the driver writes them.
    pub(super) fn check(&self, cells: &[u8]) -> Result<(), Mistake> {
        let mut values = Cells::new(cells);
        for (marker, look) in self.looks.iter().enumerate() {
            let Some(cell) = values.next() else { return Err(Mistake::COUNT) };
            let looks = match cell {
                CellRef::Null => look.null,
                CellRef::Unset => look.unset,
                CellRef::Value(_) => look.value,
            };
            if looks {
                self.look(marker, cell)?;
            }
        }
        if !values.is_at_end() {
            return Err(Mistake::COUNT);
        }
        // Each part of a composite key has three bytes more.
        if cells.len() > LONGEST_KEY - 3 * self.composite.len() {
            Self::check_sum(
                &self.composite,
                3,
                cells,
                "the parts of the partition key have more than 65,535 bytes in sum; shorten them",
            )?;
            Self::check_sum(
                &self.clustering,
                0,
                cells,
                "the clustering columns have more than 65,535 bytes in sum; shorten them",
            )?;
        }
        Ok(())
    }

    fn look(&self, marker: usize, cell: CellRef<'_>) -> Result<(), Mistake> {
        let Some(check) = self.checks.get(marker) else { return Ok(()) };
        match check.refuses(cell) {
            None => Ok(()),
            Some(what) => {
                Err(Mistake { kind: check.kind, marker: u16::try_from(marker).ok(), what })
            }
        }
    }

    /// Refuses parts that are too long together, each with some bytes more.
    #[cold]
    fn check_sum(
        parts: &[u16],
        more: usize,
        cells: &[u8],
        what: &'static str,
    ) -> Result<(), Mistake> {
        let length = |place: &u16| match Cells::new(cells).at(*place) {
            Some(CellRef::Value(bytes)) => bytes.len() + more,
            Some(CellRef::Null | CellRef::Unset) | None => more,
        };
        if parts.iter().map(length).sum::<usize>() <= LONGEST_KEY {
            return Ok(());
        }
        Err(Mistake { kind: ErrorKind::InvalidKey, marker: parts.first().copied(), what })
    }
}

impl Mistake {
    const COUNT: Self = Self {
        kind: ErrorKind::InvalidOperation,
        marker: None,
        what: "there are not as many values as markers; give one for each",
    };
}

impl Check {
    pub(super) const FREE: Self =
        Self { kind: ErrorKind::InvalidOperation, null: None, unset: None, bounds: Bounds::All };
    const KEY: Self = Self {
        kind: ErrorKind::InvalidKey,
        null: Some("a part of the key is null; give a value"),
        unset: Some("a part of the key is not given; give a value"),
        bounds: Bounds::Key,
    };
    const WHERE: Self = Self {
        null: Some("null is compared with a part of the key; give a value"),
        unset: Some("what a part of the key is compared with is not given; give a value"),
        ..Self::FREE
    };

    /// For a marker of a type.
    pub(super) fn of(role: &Role<'_>, typ: Option<&ColumnType<'_>>) -> Self {
        let is_counter = typ.is_some_and(is_counter);
        let is_collection = matches!(typ, Some(ColumnType::Collection { .. }));
        let is_list =
            matches!(typ, Some(ColumnType::Collection { typ: CollectionType::List(_), .. }));
        let unset = Some("what a condition compares with is not given; give a value, or null");
        match role {
            // `IN` takes a list of keys, which may be longer than each.
            Role::Equal(_) | Role::Where if is_collection => Self::WHERE,
            Role::Equal(_) | Role::Where => Self { bounds: Bounds::Key, ..Self::WHERE },
            Role::Index => Self {
                null: Some("the index or key of an element is null; give a value"),
                unset: Some("the index or key of an element is not given; give a value"),
                ..Self::FREE
            },
            Role::Json => Self {
                null: Some("null is no JSON document; give an object"),
                unset: Some("the JSON document is not given; give an object"),
                ..Self::FREE
            },
            Role::Same => Self { unset, ..Self::FREE },
            Role::Compared => Self {
                null: Some("nothing is greater or less than null; give a value"),
                unset,
                ..Self::FREE
            },
            Role::Access => Self {
                null: Some("the index or key of an element is null; give a value"),
                ..Self::FREE
            },
            Role::Append | Role::Delta if is_counter => {
                Self { null: Some("a counter cannot count by null; give a number"), ..Self::FREE }
            }
            Role::Append if is_list => Self {
                unset: Some("what is appended to a list is not given; give a list, or null"),
                ..Self::FREE
            },
            Role::Timestamp => Self {
                null: Some("a timestamp cannot be null; leave it unset or give microseconds"),
                bounds: Bounds::Timestamp,
                ..Self::FREE
            },
            Role::Ttl => Self { bounds: Bounds::Ttl, ..Self::FREE },
            Role::Value(_) | Role::Append | Role::Delta | Role::Part => Self::FREE,
        }
    }

    fn refuses(self, cell: CellRef<'_>) -> Option<&'static str> {
        match cell {
            CellRef::Null => self.null,
            CellRef::Unset => self.unset,
            CellRef::Value(bytes) => self.bounds.exclude(bytes),
        }
    }
}

impl Bounds {
    fn exclude(self, bytes: &[u8]) -> Option<&'static str> {
        let out = match self {
            Self::All => false,
            Self::WholeKey if bytes.is_empty() => {
                return Some("the partition key is empty; give a value");
            }
            Self::Key | Self::WholeKey => bytes.len() > LONGEST_KEY,
            Self::Timestamp => bytes == i64::MIN.to_be_bytes(),
            Self::Ttl => {
                let seconds = bytes.try_into().map(i32::from_be_bytes);
                let is_out =
                    |seconds| u32::try_from(seconds).map_or(true, |seconds| seconds > LONGEST_TTL);
                seconds.is_ok_and(is_out)
            }
        };
        out.then_some(match self {
            Self::All | Self::Key | Self::WholeKey => {
                "a part of the key has more than 65,535 bytes; shorten it"
            }
            Self::Timestamp => "the timestamp is below what the server takes; give a later one",
            Self::Ttl => "a time to live is 0 to 630,720,000 seconds (20 years)",
        })
    }
}
