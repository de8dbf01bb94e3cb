//! The clauses of a statement: which columns it writes and how, and what its markers are for.

use std::{borrow::Cow, ops::Range};

use batch_core::Result;

use super::{
    lexer::{Lexed, Token},
    text::{How, Kind, Marker, Role, Text, Write, invalid},
};

/// Reads the clauses. Ranges are of tokens.
pub(super) struct Parser<'t, 'a> {
    tokens: &'t [Lexed<'a>],
    /// The tokens that are markers, in order.
    markers: Vec<usize>,
    text: Text<'a>,
}

impl<'t, 'a> Parser<'t, 'a> {
    pub(super) fn new(source: &'a str, kind: Kind, tokens: &'t [Lexed<'a>]) -> Self {
        let mut at = Vec::new();
        let mut markers = Vec::new();
        for (index, lexed) in tokens.iter().enumerate() {
            if let Token::Marker(name) = &lexed.token {
                at.push(index);
                markers.push(Marker { name: name.clone(), role: Role::Part, at: lexed.at });
            }
        }
        let text = Text {
            source,
            kind,
            keyspace: None,
            table: Cow::Borrowed(""),
            table_at: 0,
            conditional: false,
            own_time: false,
            json: false,
            markers,
            writes: Vec::new(),
            relations: 0,
        };
        Self { tokens, markers: at, text }
    }

    pub(super) fn read(mut self) -> Result<Text<'a>> {
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

    /// The place of the marker that a range is, whether types are written before it or not.
    fn only_marker(&self, range: &Range<usize>) -> Option<usize> {
        let mut at = range.start;
        while let Some((_, after)) = self.inside(at..range.end) {
            at = after;
        }
        let bare = at + 1 == range.end && matches!(self.token(at), Some(Token::Marker(_)));
        bare.then_some(at)
    }

    /// Reads the columns and values of an INSERT; gives the place after them.
    fn inserted(&mut self, within: Range<usize>) -> usize {
        let Range { start, end } = within;
        if self.is_word(start, "JSON") {
            self.text.json = true;
            let tail = self.find(start..end, &["IF", "USING"]).unwrap_or(end);
            self.role(start + 1, Role::Json);
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
        let equals = self.outside(start..end).find(|at| self.is_symbol(*at, '='));
        let (Some(column), Some(equals)) = (self.name(start), equals) else { return };
        if let Some((delta, appended)) = self.change(&column, equals, end) {
            if let Some(at) = self.only_marker(&delta) {
                self.role(at, if appended { Role::Append } else { Role::Delta });
            }
            let number = delta.len() == 1
                && matches!(self.token(delta.start), Some(Token::Literal(text))
                    if text.starts_with(|c: char| c.is_ascii_digit()));
            let how = if number { How::Count } else { How::Change };
            self.text.writes.push(Write { column, how });
        } else if equals == start + 1 {
            self.valued(column, equals + 1..end);
        } else {
            self.indexed(start..equals);
            self.text.writes.push(Write { column, how: How::Part });
        }
    }

    /// What is added to a column's value or taken from it, and whether it is added behind.
    fn change(&self, column: &str, equals: usize, end: usize) -> Option<(Range<usize>, bool)> {
        let value = equals + 1..end;
        let (plus, minus) = (|at| self.is_symbol(at, '+'), |at| self.is_symbol(at, '-'));
        if plus(equals - 1) || minus(equals - 1) {
            return Some((value, plus(equals - 1)));
        }
        let is_column = |at: usize| self.name(at).is_some_and(|name| name == column);
        if is_column(value.start) && (plus(value.start + 1) || minus(value.start + 1)) {
            return Some((value.start + 2..end, plus(value.start + 1)));
        }
        let behind = self.outside(value.clone()).skip(1);
        let at = behind.filter(|at| plus(*at)).find(|at| is_column(*at + 1))?;
        Some((value.start..at, false))
    }

    /// Reads the index or key of `column[key]`.
    fn indexed(&mut self, element: Range<usize>) {
        let brackets: Vec<_> = self.outside(element).skip(1).take(2).collect();
        if let [open, close] = brackets[..]
            && self.is_symbol(open, '[')
            && let Some(at) = self.only_marker(&(open + 1..close))
        {
            self.role(at, Role::Index);
        }
    }

    /// Reads a column, an element or a field that a DELETE names.
    fn deleted(&mut self, selection: Range<usize>) {
        if let Some(column) = self.name(selection.start) {
            let how = if selection.len() == 1 { How::Nothing } else { How::Part };
            self.indexed(selection);
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
                self.conditions(clause);
            } else {
                let where_ = self.is_word(start, "WHERE");
                for part in self.parts(clause, is_and) {
                    if where_ {
                        self.text.relations += 1;
                        self.related(part);
                    } else {
                        self.attribute(&part);
                    }
                }
            }
            rest = end..rest.end;
        }
    }

    /// Reads what conditions compare with.
    fn conditions(&mut self, clause: Range<usize>) {
        let outside: Vec<usize> = self.outside(clause.clone()).collect();
        let mut open = None;
        for at in clause {
            let is_outside = outside.binary_search(&at).is_ok();
            if is_outside {
                open = Some(at);
            }
            let role = if !is_outside {
                let access = open.is_some_and(|open| self.is_symbol(open, '['));
                if access { Role::Access } else { Role::Part }
            } else {
                let sign = self.before_types(at);
                let is_order = |at: usize| ['<', '>'].iter().any(|sign| self.is_symbol(at, *sign));
                if self.is_symbol(sign, '=') && !is_order(sign.wrapping_sub(1)) {
                    Role::Same
                } else {
                    Role::Compared
                }
            };
            self.role(at, role);
        }
    }

    /// The place before a value and the types that are written before it, as in `= (text)?`.
    fn before_types(&self, value: usize) -> usize {
        let mut before = value.wrapping_sub(1);
        while self.is_symbol(before, ')')
            && let Some(opening) = (0..before).rev().find(|at| self.is_symbol(*at, '('))
        {
            before = opening.wrapping_sub(1);
        }
        before
    }

    /// Reads `TIMESTAMP value` or `TTL value`.
    fn attribute(&mut self, attribute: &Range<usize>) {
        let role = if self.is_word(attribute.start, "TIMESTAMP") {
            self.text.own_time = true;
            Role::Timestamp
        } else if self.is_word(attribute.start, "TTL") {
            Role::Ttl
        } else {
            return;
        };
        if let Some(at) = self.only_marker(&(attribute.start + 1..attribute.end)) {
            self.role(at, role);
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
        relation.for_each(|at| self.role(at, Role::Where));
    }

    fn equal(&mut self, name: usize, value: Range<usize>) {
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
