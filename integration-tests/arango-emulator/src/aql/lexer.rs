//! The words of a query, with their places for messages.

use serde_json::{Value, json};

use crate::errors::Failure;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A keyword, in capitals.
    Keyword(&'static str),
    Name(String),
    Literal(Value),
    /// `@name`; `@@name` as `@name`, for a collection.
    Bind(String),
    Collection(String),
    Sign(&'static str),
    End,
}

/// A token and where it starts, in bytes.
pub(super) type Placed = (Token, usize);

const KEYWORDS: &[&str] = &[
    "FOR",
    "LET",
    "FILTER",
    "RETURN",
    "COLLECT",
    "SORT",
    "LIMIT",
    "ASC",
    "DESC",
    "IN",
    "WITH",
    "INTO",
    "DISTINCT",
    "REMOVE",
    "INSERT",
    "UPDATE",
    "REPLACE",
    "UPSERT",
    "NULL",
    "TRUE",
    "FALSE",
    "AND",
    "OR",
    "NOT",
    "LIKE",
    "AGGREGATE",
    "ALL",
    "NONE",
    "ANY",
    "OUTBOUND",
    "INBOUND",
    "GRAPH",
    "SHORTEST_PATH",
    "WINDOW",
];

/// The longer ones first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "=~", "!~", "&&", "||", "..", "::", "=", "<", ">", "!", "+", "-", "*",
    "/", "%", "?", ":", ",", "(", ")", "{", "}", "[", "]", ".",
];

/// Cuts a query into tokens, with an end behind the last one.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Failure> {
    let mut lexer = Lexer { text, place: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip()?;
        let start = lexer.place;
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push((token, start));
        if end {
            return Ok(tokens);
        }
    }
}

/// A syntax error, by what was found and where.
pub(super) fn unexpected(text: &str, found: &Token, place: usize) -> Failure {
    let before = &text[..place];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let rest = text[place..].trim_end();
    let near: String = rest.chars().take(32).collect();
    let near = if near.len() < rest.len() { format!("{near}...") } else { near };
    Failure::new(1501).says(format!(
        "syntax error, unexpected {} near '{near}' at position {line}:{column}",
        name(found)
    ))
}

/// A token as the grammar's messages name it.
fn name(token: &Token) -> String {
    let named = match token {
        Token::Name(_) => "identifier",
        Token::Literal(Value::String(_)) => "quoted string",
        Token::Literal(Value::Number(number)) if number.is_f64() => "number",
        Token::Literal(_) => "integer number",
        Token::Bind(_) => "bind parameter",
        Token::Collection(_) => "bind data source parameter",
        Token::End => "end of query string",
        Token::Sign("=") => "assignment",
        Token::Sign("!") | Token::Keyword("NOT") => "not operator",
        Token::Sign("&&") | Token::Keyword("AND") => "and operator",
        Token::Sign("||") | Token::Keyword("OR") => "or operator",
        Token::Sign(
            sign @ ("==" | "!=" | "<" | ">" | "<=" | ">=" | "+" | "-" | "*" | "/" | "%"),
        ) => return format!("{sign} operator"),
        Token::Sign(sign) => sign,
        Token::Keyword(
            word @ ("FOR" | "LET" | "FILTER" | "RETURN" | "COLLECT" | "SORT" | "LIMIT"),
        ) => {
            return format!("{word} declaration");
        }
        Token::Keyword(word @ ("REMOVE" | "INSERT" | "UPDATE" | "REPLACE" | "UPSERT")) => {
            return format!("{word} command");
        }
        Token::Keyword(word @ ("NULL" | "TRUE" | "FALSE")) => return word.to_ascii_lowercase(),
        Token::Keyword(word) => return format!("{word} keyword"),
    };
    named.to_owned()
}

struct Lexer<'a> {
    text: &'a str,
    place: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.place..]
    }

    /// Over spaces and comments.
    fn skip(&mut self) -> Result<(), Failure> {
        loop {
            let rest = self.rest();
            let length = if let Some(c) = rest.chars().next().filter(|c| c.is_whitespace()) {
                c.len_utf8()
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or_else(|| {
                    Failure::new(1501).says("syntax error, unterminated multi-line comment")
                })?;
                end + 2
            } else {
                return Ok(());
            };
            self.place += length;
        }
    }

    fn token(&mut self) -> Result<Token, Failure> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        match first {
            'a'..='z' | 'A'..='Z' | '_' | '$' => Ok(self.word()),
            '0'..='9' => self.number(),
            '"' | '\'' => self.quoted(first).map(|text| Token::Literal(text.into())),
            '`' | '\u{b4}' => self.quoted(first).map(Token::Name),
            '@' => self.bound(),
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).copied();
                let sign = sign
                    .ok_or_else(|| unexpected(self.text, &Token::Name(first.into()), self.place))?;
                self.place += sign.len();
                Ok(Token::Sign(sign))
            }
        }
    }

    fn identifier(&mut self) -> String {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.place += end;
        word
    }

    fn word(&mut self) -> Token {
        let word = self.identifier();
        let capitals = word.to_ascii_uppercase();
        match KEYWORDS.iter().find(|keyword| **keyword == capitals) {
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Name(word),
        }
    }

    fn bound(&mut self) -> Result<Token, Failure> {
        let start = self.place;
        self.place += 1;
        let collection = self.rest().starts_with('@');
        if collection {
            self.place += 1;
        }
        let name = self.identifier();
        match (name.is_empty(), collection) {
            (true, _) => Err(unexpected(self.text, &Token::Name("@".into()), start)),
            (false, true) => Ok(Token::Collection(format!("@{name}"))),
            (false, false) => Ok(Token::Bind(name)),
        }
    }

    fn number(&mut self) -> Result<Token, Failure> {
        let rest = self.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(rest);
        let mut whole = true;
        // Two dots are a range.
        if rest[end..].starts_with('.') && digits(&rest[end + 1..]) > 0 {
            end += 1 + digits(&rest[end + 1..]);
            whole = false;
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[end + 1 + sign..]);
            if exponent > 0 {
                end += 1 + sign + exponent;
                whole = false;
            }
        }
        let number = &rest[..end];
        let integer = number.parse::<i64>().ok().filter(|_| whole);
        let value = match integer {
            Some(integer) => json!(integer),
            None => json!(number.parse::<f64>().map_err(|_| Failure::new(1501))?),
        };
        self.place += end;
        Ok(Token::Literal(value))
    }

    fn quoted(&mut self, quote: char) -> Result<String, Failure> {
        let start = self.place;
        self.place += quote.len_utf8();
        let mut text = String::new();
        let mut chars = self.text[self.place..].char_indices();
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.place += offset + c.len_utf8();
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escaped)) = chars.next() else { break };
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let unit = u32::from_str_radix(&digits, 16).ok();
                    unit.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                other => other,
            });
        }
        Err(unexpected(self.text, &Token::Literal("".into()), start))
    }
}
