//! What the text of a statement says by itself, without a server.

use std::{borrow::Cow, cell::RefCell, collections::VecDeque};

use batch_core::{Error, ErrorKind, Result};

use super::{
    lexer::{Open, Token, tokens},
    parser::Parser,
};
use crate::errors::excerpt;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// An INSERT, UPDATE or DELETE, read as far as planning needs it. What the grammar forbids beyond
/// that is left to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    pub(super) source: &'a str,
    pub(crate) kind: Kind,
    /// The keyspace, if the text names one.
    pub(crate) keyspace: Option<Cow<'a, str>>,
    pub(crate) table: Cow<'a, str>,
    /// Where the table's name begins.
    pub(super) table_at: usize,
    /// It has an `IF`.
    pub(crate) conditional: bool,
    /// It has a timestamp of its own.
    pub(crate) own_time: bool,
    /// It writes the columns that a JSON document has.
    pub(super) json: bool,
    pub(super) markers: Vec<Marker<'a>>,
    pub(super) writes: Vec<Write<'a>>,
    /// How many relations its `WHERE` has.
    pub(super) relations: usize,
}

/// A marker in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) role: Role<'a>,
    /// Where it begins.
    pub(super) at: usize,
}

/// What a marker's value is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// The whole value of a column that is written.
    Value(Cow<'a, str>),
    /// What is added behind a column's value.
    Append,
    /// What is otherwise added to a column's value, or taken from it.
    Delta,
    /// The index or key of an element that is written or deleted.
    Index,
    /// A JSON document.
    Json,
    /// What a column of the key is equal to.
    Equal(Cow<'a, str>),
    /// What a column of the key is compared with otherwise.
    Where,
    /// What a condition finds equal or not, which nothing can be too.
    Same,
    /// What a condition finds greater or less, or a list that it looks in.
    Compared,
    /// The index or key of an element that a condition looks at.
    Access,
    Timestamp,
    Ttl,
    /// Part of something else: a list, an argument, the value of an element.
    Part,
}

/// A column that is written, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write<'a> {
    pub(super) column: Cow<'a, str>,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The column gets a value.
    Whole,
    /// The column loses its value.
    Nothing,
    /// An element by its index or key, or a field, is written or deleted.
    Part,
    /// Something is added to the value, or taken from it.
    Change,
    /// A number is: the column is a counter.
    Count,
}

impl<'a> Text<'a> {
    /// Reads a statement.
    ///
    /// # Errors
    /// `Unsupported` for what no batch can hold, `InvalidOperation` for what is no statement.
    pub(crate) fn read(source: &'a str) -> Result<Self> {
        let tokens = tokens(source).map_err(|Open(what)| {
            invalid(source, &format!("{what} is opened and never closed; close it"))
        })?;
        let Some(first) = tokens.first() else {
            return Err(invalid(source, "there is no statement; give an INSERT, UPDATE or DELETE"));
        };
        let kind = kind(&first.token)
            .map_err(|(error, why)| Error::new(error, format!("`{}`: {why}", excerpt(source))))?;
        let end = tokens.iter().rposition(|lexed| !lexed.token.is_symbol(';')).map_or(0, |i| i + 1);
        let tokens = tokens.get(..end).unwrap_or_default();
        if tokens.iter().any(|lexed| lexed.token.is_symbol(';')) {
            let why = "there are several statements, parted by `;`; queue each by itself";
            return Err(invalid(source, why));
        }
        Parser::new(source, kind, tokens).read()
    }

    /// Whether the statement can be queued: what [`read`](Self::read) says. Statements come in runs,
    /// so each thread remembers the last ones that were right.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) fn admit(source: &str) -> Result<()> {
        const REMEMBERED: usize = 8;
        const LONGEST: usize = 1 << 12;
        thread_local! {
            static RIGHT: RefCell<VecDeque<Box<str>>> = const { RefCell::new(VecDeque::new()) };
        }
        RIGHT.with_borrow_mut(|right| {
            if right.iter().any(|text| **text == *source) {
                return Ok(());
            }
            Text::read(source)?;
            if source.len() <= LONGEST {
                right.truncate(REMEMBERED - 1);
                right.push_front(source.into());
            }
            Ok(())
        })
    }

    /// The statement as it is sent: with the table's keyspace, which the text may leave out, and
    /// with the type of each marker that stands for a column's value. So a server that has to
    /// prepare it again refuses it if the column has another type by then.
    pub(crate) fn qualified(
        &self,
        keyspace: Option<&str>,
        type_of: impl Fn(&str) -> Option<String>,
    ) -> Cow<'a, str> {
        let mut additions = Vec::new();
        if let (None, Some(keyspace)) = (&self.keyspace, keyspace) {
            additions.push((self.table_at, format!("\"{}\".", keyspace.replace('"', "\"\""))));
        }
        for marker in &self.markers {
            if let Role::Value(column) | Role::Equal(column) = &marker.role
                && let Some(typ) = type_of(column)
            {
                additions.push((marker.at, format!("({typ})")));
            }
        }
        if additions.is_empty() {
            return Cow::Borrowed(self.source);
        }
        additions.sort_by_key(|(at, _)| *at);
        let mut text = String::with_capacity(self.source.len() + 16 * additions.len());
        let mut done = 0;
        for (at, addition) in additions {
            text.push_str(self.source.get(done..at).unwrap_or_default());
            text.push_str(&addition);
            done = at;
        }
        text.push_str(self.source.get(done..).unwrap_or_default());
        Cow::Owned(text)
    }
}

/// What begins with this token, or why it cannot be in a batch.
fn kind(first: &Token<'_>) -> Result<Kind, (ErrorKind, &'static str)> {
    const WRITES: [(&str, Kind); 3] =
        [("INSERT", Kind::Insert), ("UPDATE", Kind::Update), ("DELETE", Kind::Delete)];
    const READ: &str =
        "reads cannot be batched; read one document with `get` of the store, or ask the session";
    const SCHEMA: &str =
        "only INSERT, UPDATE and DELETE can be batched; let the session carry this out by itself";
    const BEGIN: &str = "a batch cannot hold a batch; queue its statements one by one";
    const USE: &str = "only INSERT, UPDATE and DELETE can be batched; name the keyspace before the table: `ks.table`";
    const OTHERS: [(&str, &str); 18] = [
        ("SELECT", READ),
        ("BEGIN", BEGIN),
        ("APPLY", BEGIN),
        ("USE", USE),
        ("CREATE", SCHEMA),
        ("ALTER", SCHEMA),
        ("DROP", SCHEMA),
        ("TRUNCATE", SCHEMA),
        ("GRANT", SCHEMA),
        ("REVOKE", SCHEMA),
        ("LIST", SCHEMA),
        ("DESCRIBE", SCHEMA),
        ("DESC", SCHEMA),
        ("ADD", SCHEMA),
        ("COMMENT", SCHEMA),
        ("PRUNE", SCHEMA),
        ("ATTACH", SCHEMA),
        ("DETACH", SCHEMA),
    ];
    if let Some((_, kind)) = WRITES.iter().find(|(word, _)| first.is_word(word)) {
        return Ok(*kind);
    }
    match OTHERS.iter().find(|(word, _)| first.is_word(word)) {
        Some((_, why)) => Err((ErrorKind::Unsupported, why)),
        None => Err((
            ErrorKind::InvalidOperation,
            "this is no statement of CQL; give an INSERT, UPDATE or DELETE",
        )),
    }
}

pub(super) fn invalid(source: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("`{}`: {why}", excerpt(source)))
}

#[cfg(test)]
mod tests;
