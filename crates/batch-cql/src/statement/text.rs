//! What the text of a statement says by itself, without a server.

use std::{borrow::Cow, ops::Range};

use batch_core::{Error, ErrorKind, Result};

use super::lexer::{Lexed, Open, Token, tokens};

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
    source: &'a str,
    pub(crate) kind: Kind,
    /// The keyspace, if the text names one.
    pub(crate) keyspace: Option<Cow<'a, str>>,
    pub(crate) table: Cow<'a, str>,
    table_at: usize,
    /// It has an `IF`.
    pub(crate) conditional: bool,
    /// It has a timestamp of its own.
    pub(crate) stamped: bool,
    /// It has a time to live.
    pub(crate) ttl: bool,
    /// It writes the columns that a JSON document has.
    pub(super) json: bool,
    /// It calls a function that may give another value the next time.
    pub(super) draws: bool,
    pub(super) markers: Vec<Marker<'a>>,
    pub(super) writes: Vec<Write<'a>>,
}

/// A marker in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) role: Role<'a>,
}

/// What a marker's value is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// The whole value of a column that is written.
    Value(Cow<'a, str>),
    /// What is added to a column's value, or taken from it.
    Delta,
    /// What a column of the key is equal to.
    Equal(Cow<'a, str>),
    /// What a column of the key is compared with otherwise.
    Where,
    /// What a condition compares with.
    Condition,
    Timestamp,
    Ttl,
    /// Part of something else: an element, an argument.
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

    /// The statement as it is sent: with the table's keyspace, which the text may leave out.
    pub(crate) fn qualified(&self, keyspace: Option<&str>) -> Cow<'a, str> {
        match (&self.keyspace, keyspace, self.source.split_at_checked(self.table_at)) {
            (None, Some(keyspace), Some((before, after))) => {
                let keyspace = keyspace.replace('"', "\"\"");
                Cow::Owned(format!("{before}\"{keyspace}\".{after}"))
            }
            _ => Cow::Borrowed(self.source),
        }
    }

    /// How many markers there are.
    pub(crate) fn markers(&self) -> usize {
        self.markers.len()
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

fn invalid(source: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("`{}`: {why}", excerpt(source)))
}

/// A statement's text for a message: on one line, and not too long.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut out = String::new();
    for (count, word) in text.split_whitespace().enumerate() {
        if count > 0 {
            out.push(' ');
        }
        for c in word.chars() {
            if out.len() >= LONGEST {
                out.push('…');
                return out;
            }
            out.push(c);
        }
    }
    out
}

/// Whether a function of this name gives the same value for the same arguments, always.
fn is_pure(function: &str) -> bool {
    const PURE: [&str; 16] = [
        "cast",
        "token",
        "mintimeuuid",
        "min_timeuuid",
        "maxtimeuuid",
        "max_timeuuid",
        "todate",
        "to_date",
        "totimestamp",
        "to_timestamp",
        "tounixtimestamp",
        "to_unix_timestamp",
        "dateof",
        "unixtimestampof",
        "fromjson",
        "from_json",
    ];
    let name = function.to_ascii_lowercase();
    PURE.contains(&name.as_str())
        || name.starts_with("blobas")
        || name.starts_with("blob_as_")
        || name.ends_with("asblob")
        || name.ends_with("_as_blob")
}

/// Reads the clauses. Ranges are of tokens.
struct Parser<'t, 'a> {
    tokens: &'t [Lexed<'a>],
    /// The tokens that are markers, in order.
    markers: Vec<usize>,
    text: Text<'a>,
}

impl<'t, 'a> Parser<'t, 'a> {
    fn new(source: &'a str, kind: Kind, tokens: &'t [Lexed<'a>]) -> Self {
        let mut at = Vec::new();
        let mut markers = Vec::new();
        for (index, lexed) in tokens.iter().enumerate() {
            if let Token::Marker(name) = &lexed.token {
                at.push(index);
                markers.push(Marker { name: name.clone(), role: Role::Part });
            }
        }
        let text = Text {
            source,
            kind,
            keyspace: None,
            table: Cow::Borrowed(""),
            table_at: 0,
            conditional: false,
            stamped: false,
            ttl: false,
            json: false,
            draws: false,
            markers,
            writes: Vec::new(),
        };
        Self { tokens, markers: at, text }
    }

    fn read(mut self) -> Result<Text<'a>> {
        let end = self.tokens.len();
        match self.text.kind {
            Kind::Insert => {
                self.keyword(1, "INTO", "INSERT")?;
                let after = self.table(2)?;
                let tail = self.inserted(after..end);
                self.tail(tail..end);
            }
            Kind::Update => {
                let after = self.table(1)?;
                let set = self.find(after..end, &["SET"]).unwrap_or(end);
                self.tail(after..set);
                let tail = self.find(set..end, &["WHERE", "IF"]).unwrap_or(end);
                for assignment in self.parts(set + 1..tail, is_comma) {
                    self.assigned(assignment);
                }
                self.tail(tail..end);
            }
            Kind::Delete => {
                let from = self.find(1..end, &["FROM"]).unwrap_or(1);
                self.keyword(from, "FROM", "DELETE")?;
                for selection in self.parts(1..from, is_comma) {
                    self.deleted(selection);
                }
                let after = self.table(from + 1)?;
                self.tail(after..end);
            }
        }
        Ok(self.text)
    }

    fn token(&self, at: usize) -> Option<&'t Token<'a>> {
        self.tokens.get(at).map(|lexed| &lexed.token)
    }

    fn is_symbol(&self, at: usize, symbol: char) -> bool {
        self.token(at).is_some_and(|token| token.is_symbol(symbol))
    }

    fn is_word(&self, at: usize, keyword: &str) -> bool {
        self.token(at).is_some_and(|token| token.is_word(keyword))
    }

    fn name(&self, at: usize) -> Option<Cow<'a, str>> {
        self.token(at)?.name()
    }

    fn keyword(&self, at: usize, keyword: &str, verb: &str) -> Result<()> {
        if self.is_word(at, keyword) {
            return Ok(());
        }
        let why = format!("this {verb} has no {keyword} where one belongs; see the CQL grammar");
        Err(invalid(self.text.source, &why))
    }

    /// Reads the table's name; gives the place after it.
    fn table(&mut self, at: usize) -> Result<usize> {
        let place = self.tokens.get(at).map(|lexed| lexed.at);
        let (Some(name), Some(place)) = (self.name(at), place) else {
            return Err(invalid(self.text.source, "there is no table's name where one belongs"));
        };
        self.text.table_at = place;
        if !self.is_symbol(at + 1, '.') {
            self.text.table = name;
            return Ok(at + 1);
        }
        let Some(table) = self.name(at + 2) else {
            return Err(invalid(self.text.source, "there is no table's name after the keyspace"));
        };
        self.text.keyspace = Some(name);
        self.text.table = table;
        Ok(at + 3)
    }

    /// The first of these keywords outside of brackets.
    fn find(&self, within: Range<usize>, keywords: &[&str]) -> Option<usize> {
        let is_keyword = |token: &Token<'_>| keywords.iter().any(|word| token.is_word(word));
        self.outside(within).find(|at| self.token(*at).is_some_and(is_keyword))
    }

    /// The places of tokens that are outside of brackets, which open ones are too.
    fn outside(&self, within: Range<usize>) -> impl Iterator<Item = usize> + use<'t, 'a> {
        let tokens = self.tokens;
        let mut depth = 0_usize;
        within.filter(move |at| {
            let symbol = match tokens.get(*at) {
                Some(Lexed { token: Token::Symbol(symbol), .. }) => *symbol,
                _ => ' ',
            };
            if matches!(symbol, ')' | ']' | '}') {
                depth = depth.saturating_sub(1);
            }
            let outside = depth == 0;
            if matches!(symbol, '(' | '[' | '{') {
                depth += 1;
            }
            outside
        })
    }

    /// What is between the tokens that part, outside of brackets.
    fn parts(&self, within: Range<usize>, part: fn(&Token<'_>) -> bool) -> Vec<Range<usize>> {
        if within.is_empty() {
            return Vec::new();
        }
        let mut start = within.start;
        let mut parts = Vec::new();
        for at in self.outside(within.clone()) {
            if self.token(at).is_some_and(part) {
                parts.push(start..at);
                start = at + 1;
            }
        }
        parts.push(start..within.end);
        parts
    }

    /// The range inside of the brackets that a range begins with, and the place after them.
    fn inside(&self, within: Range<usize>) -> Option<(Range<usize>, usize)> {
        let start = within.start;
        if !self.is_symbol(start, '(') {
            return None;
        }
        let close = self.outside(within).nth(1).filter(|at| self.is_symbol(*at, ')'))?;
        Some((start + 1..close, close + 1))
    }

    fn role(&mut self, at: usize, role: Role<'a>) {
        if let Ok(index) = self.markers.binary_search(&at)
            && let Some(marker) = self.text.markers.get_mut(index)
        {
            marker.role = role;
        }
    }

    /// The place of the marker that a range is, whether its type is written before it or not.
    fn only_marker(&self, range: &Range<usize>) -> Option<usize> {
        let typed = self.inside(range.clone()).map(|(_, after)| after);
        let at = typed.unwrap_or(range.start);
        let bare = at + 1 == range.end && matches!(self.token(at), Some(Token::Marker(_)));
        bare.then_some(at)
    }

    /// Looks for functions that may give another value the next time.
    fn look_for_draws(&mut self, range: &Range<usize>) {
        self.text.draws |= range.clone().any(|at| {
            let operator = ["IN", "KEY", "CONTAINS", "LIKE", "BETWEEN", "AND"];
            match self.token(at) {
                _ if !self.is_symbol(at + 1, '(') => false,
                // A user's own function may do anything, whatever its name.
                Some(_) if at > range.start && self.is_symbol(at - 1, '.') => true,
                Some(Token::Word(word)) => {
                    !is_pure(word) && !operator.iter().any(|own| word.eq_ignore_ascii_case(own))
                }
                Some(Token::Quoted(_)) => true,
                _ => false,
            }
        });
    }

    /// Reads the columns and values of an INSERT; gives the place after them.
    fn inserted(&mut self, within: Range<usize>) -> usize {
        let Range { start, end } = within;
        if self.is_word(start, "JSON") {
            self.text.json = true;
            let tail = self.find(start..end, &["IF", "USING"]).unwrap_or(end);
            self.look_for_draws(&(start + 1..tail));
            return tail;
        }
        let Some((names, after)) = self.inside(start..end) else { return start };
        let Some((values, after)) = self.inside(after + 1..end) else { return after };
        let names = self.parts(names, is_comma);
        let values = self.parts(values, is_comma);
        for (name, value) in names.into_iter().zip(values) {
            if let Some(column) = self.name(name.start) {
                self.valued(column, value);
            }
        }
        after
    }

    /// A column gets a value.
    fn valued(&mut self, column: Cow<'a, str>, value: Range<usize>) {
        self.look_for_draws(&value);
        if let Some(at) = self.only_marker(&value) {
            self.role(at, Role::Value(column.clone()));
        }
        let nothing = value.len() == 1 && self.is_word(value.start, "NULL");
        let how = if nothing { How::Nothing } else { How::Whole };
        self.text.writes.push(Write { column, how });
    }

    /// Reads `column = value`, `column = column + value`, `column[key] = value`, `column += value`.
    fn assigned(&mut self, assignment: Range<usize>) {
        let Range { start, end } = assignment;
        let Some(column) = self.name(start) else { return };
        let equals = self.outside(start..end).find(|at| self.is_symbol(*at, '='));
        let Some(equals) = equals else { return };
        let value = equals + 1..end;
        let has_column = |at| self.name(at).is_some_and(|name| name == column);
        let changes_itself = |at: usize| {
            let beside = [at.wrapping_sub(1), at + 1];
            let changes = |at: usize| {
                value.contains(&at) && (self.is_symbol(at, '+') || self.is_symbol(at, '-'))
            };
            has_column(at) && beside.into_iter().any(changes)
        };
        let short = equals > start + 1
            && (self.is_symbol(equals - 1, '+') || self.is_symbol(equals - 1, '-'));
        let changed = match short {
            true => Some(value.clone()),
            false => self
                .outside(value.clone())
                .find(|at| changes_itself(*at))
                .map(|at| if at == value.start { at + 2..end } else { value.start..at - 1 }),
        };
        if let Some(delta) = changed {
            self.look_for_draws(&delta);
            if let Some(at) = self.only_marker(&delta) {
                self.role(at, Role::Delta);
            }
            let number = delta.len() == 1
                && matches!(self.token(delta.start), Some(Token::Literal(text))
                    if text.starts_with(|c: char| c.is_ascii_digit()));
            let how = if number { How::Count } else { How::Change };
            self.text.writes.push(Write { column, how });
        } else if equals == start + 1 {
            self.valued(column, value);
        } else {
            self.look_for_draws(&(start..end));
            self.text.writes.push(Write { column, how: How::Part });
        }
    }

    /// Reads a column, an element or a field that a DELETE names.
    fn deleted(&mut self, selection: Range<usize>) {
        if let Some(column) = self.name(selection.start) {
            let how = if selection.len() == 1 { How::Nothing } else { How::Part };
            self.look_for_draws(&selection);
            self.text.writes.push(Write { column, how });
        }
    }

    /// Reads USING, WHERE and IF, in any order.
    fn tail(&mut self, within: Range<usize>) {
        let is_clause =
            |token: &Token<'_>| ["USING", "WHERE", "IF"].iter().any(|clause| token.is_word(clause));
        let mut rest = within;
        while let Some(start) = self.find(rest.clone(), &["USING", "WHERE", "IF"]) {
            let mut behind = self.outside(start + 1..rest.end);
            let next = behind.find(|at| self.token(*at).is_some_and(is_clause));
            let end = next.unwrap_or(rest.end);
            let clause = start + 1..end;
            if self.is_word(start, "IF") {
                self.text.conditional = true;
                clause.for_each(|at| self.role(at, Role::Condition));
            } else {
                let where_ = self.is_word(start, "WHERE");
                for part in self.parts(clause, is_and) {
                    if where_ { self.related(part) } else { self.attribute(&part) }
                }
            }
            rest = end..rest.end;
        }
    }

    /// Reads `TIMESTAMP value` or `TTL value`.
    fn attribute(&mut self, attribute: &Range<usize>) {
        let (start, value) = (attribute.start, attribute.start + 1);
        if self.is_word(start, "TIMESTAMP") {
            self.text.stamped = true;
            self.role(value, Role::Timestamp);
        } else if self.is_word(start, "TTL") {
            self.text.ttl = true;
            self.role(value, Role::Ttl);
        }
    }

    /// Reads `column = value` or `(column, …) = (value, …)`, and what compares otherwise.
    fn related(&mut self, relation: Range<usize>) {
        if let Some((inner, after)) = self.inside(relation.clone()) {
            if after == relation.end {
                return self.related(inner);
            }
            if self.is_symbol(after, '=')
                && let Some((values, end)) = self.inside(after + 1..relation.end)
                && end == relation.end
            {
                let names = self.parts(inner, is_comma);
                let values = self.parts(values, is_comma);
                for (name, value) in names.into_iter().zip(values) {
                    self.equal(name.start, value);
                }
                return;
            }
        } else if self.is_symbol(relation.start + 1, '=') {
            return self.equal(relation.start, relation.start + 2..relation.end);
        }
        self.look_for_draws(&relation);
        relation.for_each(|at| self.role(at, Role::Where));
    }

    fn equal(&mut self, name: usize, value: Range<usize>) {
        self.look_for_draws(&value);
        match (self.only_marker(&value), self.name(name)) {
            (Some(at), Some(column)) => self.role(at, Role::Equal(column)),
            _ => value.for_each(|at| self.role(at, Role::Part)),
        }
    }
}

fn is_comma(token: &Token<'_>) -> bool {
    token.is_symbol(',')
}

fn is_and(token: &Token<'_>) -> bool {
    token.is_word("AND")
}
