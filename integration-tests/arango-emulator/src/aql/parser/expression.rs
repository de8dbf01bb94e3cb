//! Expressions, by the precedence of their operators.

use serde_json::Value;

use super::{
    super::{
        ast::{Expression, Key, Name, Operator},
        functions,
        lexer::Token,
    },
    Parsed, Parser,
};

/// Binary operators, those that bind least first.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or), ("OR", Operator::Or)],
    &[("&&", Operator::And), ("AND", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("LIKE", Operator::Like),
        ("IN", Operator::In),
        ("NOT", Operator::NotIn),
    ],
    &[
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
    ],
    &[("..", Operator::Range)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Modulo)],
];

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        let condition = self.binary(0)?;
        if !self.sign("?") {
            return Ok(condition);
        }
        if self.sign(":") {
            let other = self.expression()?;
            return Ok(Expression::Choice(Box::new(condition), None, Box::new(other)));
        }
        let then = self.within(Self::expression)?;
        self.want_sign(":")?;
        let other = self.expression()?;
        Ok(Expression::Choice(Box::new(condition), Some(Box::new(then)), Box::new(other)))
    }

    /// Within brackets of any kind, `IN` is an operator again.
    fn within<T>(&mut self, parse: fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let before = std::mem::replace(&mut self.without_in, false);
        let parsed = parse(self);
        self.without_in = before;
        parsed
    }

    fn binary(&mut self, level: usize) -> Parsed<Expression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators)? {
            let right = self.binary(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Parsed<Option<Operator>> {
        let (Token::Sign(found) | Token::Keyword(found)) = *self.peek() else { return Ok(None) };
        let Some((_, operator)) = operators.iter().find(|(name, _)| *name == found) else {
            return Ok(None);
        };
        if self.without_in && matches!(operator, Operator::In | Operator::NotIn) {
            return Ok(None);
        }
        self.place += 1;
        if *operator == Operator::NotIn {
            self.want_keyword("IN")?;
        }
        Ok(Some(*operator))
    }

    fn unary(&mut self) -> Parsed<Expression> {
        if self.sign("!") || self.keyword("NOT") {
            return Ok(Expression::Not(Box::new(self.unary()?)));
        }
        if self.sign("-") {
            return Ok(Expression::Negative(Box::new(self.unary()?)));
        }
        if self.sign("+") {
            return Ok(Expression::Positive(Box::new(self.unary()?)));
        }
        let start = self.primary()?;
        self.postfix(start)
    }

    fn postfix(&mut self, mut value: Expression) -> Parsed<Expression> {
        loop {
            if self.sign(".") {
                value = match self.next() {
                    Token::Name(name) => Expression::Attribute(Box::new(value), name),
                    // What is a keyword elsewhere is a name here.
                    Token::Keyword(_) => {
                        let name = self.word_before();
                        Expression::Attribute(Box::new(value), name)
                    }
                    Token::Bind(name) => {
                        let name = self.bind(name);
                        Expression::BoundAttribute(Box::new(value), name)
                    }
                    _ => {
                        self.place -= 1;
                        return Err(self.unexpected());
                    }
                };
            } else if self.sign("[") {
                if self.sign("*") {
                    self.want_sign("]")?;
                    let rest = self.postfix(Expression::Current)?;
                    return Ok(Expression::Expand(Box::new(value), Box::new(rest)));
                }
                let index = self.within(Self::expression)?;
                self.want_sign("]")?;
                value = Expression::Index(Box::new(value), Box::new(index));
            } else {
                return Ok(value);
            }
        }
    }

    /// The token before this place as it was written.
    fn word_before(&self) -> String {
        let start = self.tokens[self.place - 1].1;
        let rest = &self.text[start..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest[..end].to_owned()
    }

    fn primary(&mut self) -> Parsed<Expression> {
        match self.peek().clone() {
            Token::Literal(value) => {
                self.place += 1;
                Ok(Expression::Literal(value))
            }
            Token::Keyword(word @ ("NULL" | "TRUE" | "FALSE")) => {
                self.place += 1;
                Ok(Expression::Literal(match word {
                    "TRUE" => Value::Bool(true),
                    "FALSE" => Value::Bool(false),
                    _ => Value::Null,
                }))
            }
            Token::Bind(name) => {
                self.place += 1;
                Ok(Expression::Bind(self.bind(name)))
            }
            Token::Collection(name) => {
                self.place += 1;
                Ok(Expression::Collection(Name::Bound(self.bind(name))))
            }
            Token::Name(name) => {
                self.place += 1;
                self.named(name)
            }
            Token::Sign("(") => {
                self.place += 1;
                let inner = self.within(|parser| match parser.peek() {
                    Token::Keyword(
                        "FOR" | "LET" | "RETURN" | "FILTER" | "INSERT" | "UPDATE" | "REPLACE"
                        | "REMOVE" | "UPSERT",
                    ) => parser.statements().map(Expression::Subquery),
                    _ => parser.expression(),
                })?;
                self.want_sign(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                self.place += 1;
                self.within(|parser| parser.list("]")).map(Expression::Array)
            }
            Token::Sign("{") => {
                self.place += 1;
                self.within(Self::object)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A call, a variable, or a collection.
    fn named(&mut self, mut name: String) -> Parsed<Expression> {
        while self.sign("::") {
            name = format!("{name}::{}", self.want_name()?);
        }
        if self.sign("(") {
            let arguments = self.within(|parser| parser.list(")"))?;
            let name = name.to_ascii_uppercase();
            functions::check(&name, arguments.len())?;
            return Ok(Expression::Call(name, arguments));
        }
        if self.variables.contains(&name) {
            return Ok(Expression::Variable(name));
        }
        Ok(Expression::Collection(Name::Plain(name)))
    }

    fn list(&mut self, end: &str) -> Parsed<Vec<Expression>> {
        let mut items = Vec::new();
        loop {
            if self.sign(end) {
                return Ok(items);
            }
            items.push(self.expression()?);
            if !self.sign(",") {
                self.want_sign(end)?;
                return Ok(items);
            }
        }
    }

    fn object(&mut self) -> Parsed<Expression> {
        let mut entries = Vec::new();
        loop {
            if self.sign("}") {
                return Ok(Expression::Object(entries));
            }
            let key = match self.next() {
                Token::Name(name) => {
                    if !matches!(self.peek(), Token::Sign(":")) {
                        // `{name}` is `{name: name}`.
                        let value = self.named(name.clone())?;
                        entries.push((Key::Plain(name), value));
                        if !self.sign(",") {
                            self.want_sign("}")?;
                            return Ok(Expression::Object(entries));
                        }
                        continue;
                    }
                    Key::Plain(name)
                }
                Token::Literal(Value::String(name)) => Key::Plain(name),
                Token::Keyword(_) => Key::Plain(self.word_before()),
                Token::Bind(name) => Key::Bound(self.bind(name)),
                Token::Sign("[") => {
                    let key = self.expression()?;
                    self.want_sign("]")?;
                    Key::Computed(key)
                }
                _ => {
                    self.place -= 1;
                    return Err(self.unexpected());
                }
            };
            self.want_sign(":")?;
            entries.push((key, self.expression()?));
            if !self.sign(",") {
                self.want_sign("}")?;
                return Ok(Expression::Object(entries));
            }
        }
    }
}
