//! CQL text as tokens: what is a name, a marker, a string, and what is none of the language.

use std::borrow::Cow;

/// A token of CQL, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or an unquoted name, as it is written.
    Word(&'a str),
    /// A quoted name, without its quotes.
    Quoted(Cow<'a, str>),
    /// A marker, with its name if it has one.
    Marker(Option<Cow<'a, str>>),
    /// A string, a number, a date, a UUID or the first part of one.
    Literal(&'a str),
    /// Anything else.
    Symbol(char),
}

impl<'a> Token<'a> {
    /// Whether it is this keyword.
    pub(super) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        matches!(self, Self::Symbol(own) if *own == symbol)
    }

    /// The name that it is: unquoted ones are lower case in CQL.
    pub(super) fn name(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Word(word) => Some(lower_case(word)),
            Self::Quoted(name) => Some(name.clone()),
            Self::Marker(_) | Self::Literal(_) | Self::Symbol(_) => None,
        }
    }
}

fn lower_case(word: &str) -> Cow<'_, str> {
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(word.to_ascii_lowercase())
    } else {
        Cow::Borrowed(word)
    }
}

/// A token and the place in the text where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lexed<'a> {
    pub(super) token: Token<'a>,
    pub(super) at: usize,
}

/// What is opened in the text and never closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open(pub(super) &'static str);

/// A bracket that is open. In braces a colon parts key and value, once in each entry.
#[derive(Clone, Copy)]
struct Bracket {
    brace: bool,
    parted: bool,
}

/// The tokens of a text, without white space and comments.
pub(super) fn tokens(text: &str) -> Result<Vec<Lexed<'_>>, Open> {
    let mut lexer =
        Lexer { text, at: 0, brackets: Vec::new(), out: Vec::with_capacity(text.len() / 4) };
    while lexer.step()? {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    brackets: Vec<Bracket>,
    out: Vec<Lexed<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, token: Token<'a>, length: usize) {
        self.out.push(Lexed { token, at: self.at });
        self.at += length;
    }

    /// Reads a token or skips what is none; false at the end.
    fn step(&mut self) -> Result<bool, Open> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(false) };
        match first {
            _ if first.is_whitespace() => self.at += first.len_utf8(),
            '-' if rest.starts_with("--") => self.skip_line(),
            '/' if rest.starts_with("//") => self.skip_line(),
            '/' if rest.starts_with("/*") => {
                let inner = rest.get(2..).unwrap_or_default();
                let end = inner.find("*/").ok_or(Open("a comment `/*`"))?;
                self.at += end + 4;
            }
            '\'' => {
                let (_, length) = quoted(rest, '\'').ok_or(Open("a string `'`"))?;
                self.push(Token::Literal(rest.get(..length).unwrap_or_default()), length);
            }
            '$' if rest.starts_with("$$") => {
                let inner = rest.get(2..).unwrap_or_default();
                let length = inner.find("$$").ok_or(Open("a string `$$`"))? + 4;
                self.push(Token::Literal(rest.get(..length).unwrap_or_default()), length);
            }
            '"' => {
                let (name, length) = quoted(rest, '"').ok_or(Open("a name `\"`"))?;
                self.push(Token::Quoted(name), length);
            }
            '?' => self.push(Token::Marker(None), 1),
            ':' => self.colon()?,
            'a'..='z' | 'A'..='Z' => {
                let word = leading(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                self.push(Token::Word(word), word.len());
            }
            '0'..='9' => {
                let number = leading(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                self.push(Token::Literal(number), number.len());
            }
            symbol => self.symbol(symbol),
        }
        Ok(true)
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find(['\n', '\r']).map_or(rest.len(), |end| end + 1);
    }

    fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' | '[' | '{' => {
                self.brackets.push(Bracket { brace: symbol == '{', parted: false });
            }
            ')' | ']' | '}' => {
                self.brackets.pop();
            }
            ',' => {
                if let Some(bracket) = self.brackets.last_mut() {
                    bracket.parted = false;
                }
            }
            _ => {}
        }
        self.push(Token::Symbol(symbol), symbol.len_utf8());
    }

    /// A colon parts key and value in braces, or it begins a marker's name.
    fn colon(&mut self) -> Result<(), Open> {
        let entry_begins =
            matches!(self.out.last(), None | Some(Lexed { token: Token::Symbol('{' | ','), .. }));
        if let Some(bracket) = self.brackets.last_mut()
            && bracket.brace
            && !bracket.parted
            && !entry_begins
        {
            bracket.parted = true;
            self.push(Token::Symbol(':'), 1);
            return Ok(());
        }
        let rest = self.rest();
        let after = rest.get(1..).unwrap_or_default();
        let name = after.trim_start();
        let before = rest.len() - name.len();
        if name.starts_with('"') {
            let (name, length) = quoted(name, '"').ok_or(Open("a marker's name `\"`"))?;
            self.push(Token::Marker(Some(name)), before + length);
        } else if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = leading(name, |c| c.is_ascii_alphanumeric() || c == '_');
            self.push(Token::Marker(Some(lower_case(word))), before + word.len());
        } else {
            self.push(Token::Symbol(':'), 1);
        }
        Ok(())
    }
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What is between the quote that the text begins with and the next single one, and the length
/// with the quotes. A doubled quote stands for one.
fn quoted(text: &str, quote: char) -> Option<(Cow<'_, str>, usize)> {
    let inner = text.get(1..)?;
    let mut from = 0;
    loop {
        let end = from + inner.get(from..)?.find(quote)?;
        let after = end + 1;
        if inner.get(after..).is_some_and(|rest| rest.starts_with(quote)) {
            from = after + 1;
            continue;
        }
        let between = inner.get(..end)?;
        let name = if from == 0 {
            Cow::Borrowed(between)
        } else {
            let mut doubled = [0; 2];
            doubled.fill(u8::try_from(quote).ok()?);
            Cow::Owned(between.replace(std::str::from_utf8(&doubled).ok()?, &quote.to_string()))
        };
        return Some((name, end + 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Token<'_>> {
        tokens(text).unwrap().into_iter().map(|lexed| lexed.token).collect()
    }

    fn word(text: &str) -> Token<'_> {
        Token::Word(text)
    }

    fn marker(name: &str) -> Token<'_> {
        Token::Marker(Some(name.into()))
    }

    #[test]
    fn comments_and_white_space_are_none_of_the_text() {
        let expected = [word("a"), word("b"), word("c"), word("d"), word("e")];
        assert_eq!(read("a -- b\nb // c ?\rc/* ? ' \" */d\u{a0}\te--"), expected);
        assert_eq!(read("a b /* */ c /* * / ** */ d e // ?"), expected);
    }

    #[test]
    fn quotes_hide_what_is_in_them_and_doubled_ones_are_one() {
        assert_eq!(read("'IF ? '' -- ;' x"), [Token::Literal("'IF ? '' -- ;'"), word("x")]);
        assert_eq!(read("$$ ' ? $ $$x"), [Token::Literal("$$ ' ? $ $$"), word("x")]);
        let name = |name: &'static str| Token::Quoted(name.into());
        assert_eq!(read("\"a\"\"?\"\"\".\"\""), [name("a\"?\""), Token::Symbol('.'), name("")]);
    }

    #[test]
    fn what_is_never_closed_is_named() {
        for (text, what) in [
            ("a 'b''", "a string `'`"),
            ("$$ a $", "a string `$$`"),
            ("\"a\"\"", "a name `\"`"),
            ("a /* b", "a comment `/*`"),
            ("/*/", "a comment `/*`"),
            (":\"a", "a marker's name `\"`"),
        ] {
            assert_eq!(tokens(text), Err(Open(what)), "{text}");
        }
    }

    #[test]
    fn a_colon_begins_a_marker_but_parts_key_and_value_in_braces() {
        assert_eq!(read(":A = : \"B\""), [marker("a"), Token::Symbol('='), marker("B")]);
        let colon = Token::Symbol(':');
        let expected = [Token::Symbol('{'), marker("k"), colon.clone(), marker("v")];
        assert_eq!(read("{:k::v"), expected);
        let expected = [Token::Symbol('{'), Token::Literal("'a'"), colon, word("true")];
        assert_eq!(read("{'a':true"), expected);
        let markers = |text| {
            let tokens = read(text).into_iter();
            tokens.filter(|token| matches!(token, Token::Marker(_))).count()
        };
        assert_eq!(markers("{a: :x, b: {1::y}, c: f(:z), d: now()} :w"), 4);
        assert_eq!(markers("{:x, :y, [:z]}"), 3);
        assert_eq!(markers("{}} {:x"), 1);
    }

    #[test]
    fn tokens_say_where_they_begin() {
        let at = |text| tokens(text).unwrap().into_iter().map(|lexed| lexed.at).collect::<Vec<_>>();
        assert_eq!(at(" ä 'ö' ?"), [1, 4, 9]);
    }
}
