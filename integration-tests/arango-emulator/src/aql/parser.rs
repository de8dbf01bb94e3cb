//! Tokens become a tree: statements here, expressions in a module of their own.

mod expression;

use super::{
    ast::{Expression, Name, Query, Statement, Write, WriteKind},
    lexer::{Placed, Token, tokens, unexpected},
};
use crate::errors::Failure;

/// Reads a query.
pub(crate) fn parse(text: &str) -> Result<Query, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::new(1502));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        place: 0,
        variables: Vec::new(),
        binds: Vec::new(),
        outer: 0,
        without_in: false,
    };
    let statements = parser.statements()?;
    if parser.peek() != &Token::End {
        return Err(parser.unexpected());
    }
    Ok(Query { statements, binds: parser.binds })
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    place: usize,
    /// Those that can be named here; others are collections.
    variables: Vec<String>,
    binds: Vec<String>,
    /// How many of them come from outside of this query or subquery.
    outer: usize,
    /// Before the `IN` of a write an expression ends.
    without_in: bool,
}

type Parsed<T> = Result<T, Failure>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The last one is the end, which is never passed.
        &self.tokens[self.place.min(self.tokens.len() - 1)].0
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.place += 1;
        token
    }

    fn unexpected(&self) -> Failure {
        let (token, place) = &self.tokens[self.place.min(self.tokens.len() - 1)];
        unexpected(self.text, token, *place)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Keyword(found) if *found == word);
        self.place += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.place += usize::from(found);
        found
    }

    fn want_keyword(&mut self, word: &str) -> Parsed<()> {
        if self.keyword(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn want_sign(&mut self, sign: &str) -> Parsed<()> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn want_name(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Name(_) => match self.next() {
                Token::Name(name) => Ok(name),
                _ => Err(self.unexpected()),
            },
            _ => Err(self.unexpected()),
        }
    }

    /// A word that is no keyword here, such as `COUNT` and `OPTIONS`.
    fn soft(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(word));
        self.place += usize::from(found);
        found
    }

    fn declare(&mut self, name: &str) -> Parsed<()> {
        if self.variables.iter().any(|known| known == name) {
            return Err(
                Failure::new(1511).says(format!("variable '{name}' is assigned multiple times"))
            );
        }
        self.variables.push(name.to_owned());
        Ok(())
    }

    fn bind(&mut self, name: String) -> String {
        if !self.binds.contains(&name) {
            self.binds.push(name.clone());
        }
        name
    }

    fn statements(&mut self) -> Parsed<Vec<Statement>> {
        let known = self.variables.len();
        let outer = std::mem::replace(&mut self.outer, known);
        let mut statements = Vec::new();
        // `WITH a, b` names collections for a cluster.
        if self.keyword("WITH") {
            loop {
                self.collection()?;
                if !self.sign(",") {
                    break;
                }
            }
        }
        let mut written = false;
        loop {
            if self.keyword("RETURN") {
                let distinct = self.keyword("DISTINCT");
                let value = self.expression()?;
                statements.push(Statement::Return { distinct, value });
                break;
            }
            match self.statement()? {
                Some(statement) => {
                    written |= matches!(statement, Statement::Write(_));
                    statements.push(statement);
                }
                // A query ends with what it returns, or has written something.
                None if written => break,
                None => return Err(self.unexpected()),
            }
        }
        self.variables.truncate(known);
        self.outer = outer;
        Ok(statements)
    }

    fn statement(&mut self) -> Parsed<Option<Statement>> {
        if self.keyword("FOR") {
            let variable = self.want_name()?;
            self.want_keyword("IN")?;
            let list = self.expression()?;
            self.declare(&variable)?;
            return Ok(Some(Statement::For { variable, list }));
        }
        if self.keyword("LET") {
            let variable = self.want_name()?;
            self.want_sign("=")?;
            let value = self.expression()?;
            self.declare(&variable)?;
            return Ok(Some(Statement::Let { variable, value }));
        }
        if self.keyword("FILTER") {
            return Ok(Some(Statement::Filter(self.expression()?)));
        }
        if self.keyword("SORT") {
            return self.sort().map(Some);
        }
        if self.keyword("LIMIT") {
            let first = self.expression()?;
            let zero = Expression::Literal(0.into());
            let (offset, count) =
                if self.sign(",") { (first, self.expression()?) } else { (zero, first) };
            return Ok(Some(Statement::Limit { offset, count }));
        }
        if self.keyword("COLLECT") {
            return self.collect().map(Some);
        }
        self.write()
    }

    fn sort(&mut self) -> Parsed<Statement> {
        let mut keys = Vec::new();
        loop {
            let key = self.expression()?;
            let down = self.keyword("DESC");
            if !down {
                self.keyword("ASC");
            }
            keys.push((key, down));
            if !self.sign(",") {
                return Ok(Statement::Sort(keys));
            }
        }
    }

    fn collect(&mut self) -> Parsed<Statement> {
        let mut groups = Vec::new();
        while matches!(self.peek(), Token::Name(_)) {
            let name = self.want_name()?;
            self.want_sign("=")?;
            groups.push((name, self.expression()?));
            if !self.sign(",") {
                break;
            }
        }
        let count = if self.keyword("WITH") {
            if !self.soft("COUNT") {
                return Err(self.unexpected());
            }
            self.want_keyword("INTO")?;
            Some(self.want_name()?)
        } else {
            None
        };
        // What follows sees the groups and the count alone.
        self.variables.truncate(self.outer);
        let names: Vec<String> =
            groups.iter().map(|(name, _)| name.clone()).chain(count.clone()).collect();
        for name in &names {
            self.declare(name)?;
        }
        Ok(Statement::Collect { groups, count })
    }

    fn write(&mut self) -> Parsed<Option<Statement>> {
        let kind = if self.keyword("INSERT") {
            WriteKind::Insert(self.before_in()?)
        } else if self.keyword("REMOVE") {
            WriteKind::Remove(self.before_in()?)
        } else if self.keyword("UPDATE") {
            let key = self.before_in()?;
            WriteKind::Update(key, self.with()?)
        } else if self.keyword("REPLACE") {
            let key = self.before_in()?;
            WriteKind::Replace(key, self.with()?)
        } else if self.keyword("UPSERT") {
            let example = self.before_in()?;
            self.want_keyword("INSERT")?;
            let insert = self.before_in()?;
            let replace = self.keyword("REPLACE");
            if !replace {
                self.want_keyword("UPDATE")?;
            }
            self.known("OLD");
            let change = self.before_in()?;
            WriteKind::Upsert { example, insert, change, replace }
        } else {
            return Ok(None);
        };
        if !self.keyword("INTO") {
            self.want_keyword("IN")?;
        }
        let collection = self.collection()?;
        let options = if self.soft("OPTIONS") { Some(self.expression()?) } else { None };
        self.known("OLD");
        self.known("NEW");
        Ok(Some(Statement::Write(Box::new(Write { kind, collection, options }))))
    }

    fn known(&mut self, name: &str) {
        if !self.variables.iter().any(|known| known == name) {
            self.variables.push(name.to_owned());
        }
    }

    fn with(&mut self) -> Parsed<Option<Expression>> {
        if self.keyword("WITH") { self.before_in().map(Some) } else { Ok(None) }
    }

    fn before_in(&mut self) -> Parsed<Expression> {
        let before = std::mem::replace(&mut self.without_in, true);
        let expression = self.expression();
        self.without_in = before;
        expression
    }

    fn collection(&mut self) -> Parsed<Name> {
        match self.peek().clone() {
            Token::Name(name) | Token::Literal(serde_json::Value::String(name)) => {
                self.place += 1;
                Ok(Name::Plain(name))
            }
            Token::Collection(name) => {
                self.place += 1;
                Ok(Name::Bound(self.bind(name)))
            }
            _ => Err(self.unexpected()),
        }
    }
}
