//! What the server's JSON parser says about a text that is no JSON. It walks as velocypack's
//! Parser.cpp does and stops at the same place, in the same words.

/// Why `text` is not one JSON value.
pub(crate) fn complaint(text: &[u8]) -> &'static str {
    let mut walk = Walk { text, place: 0, depth: 0 };
    match walk.value() {
        Err(why) => why,
        Ok(()) => {
            walk.spaces();
            // What this walk takes and the other reader does not, is a number or a surrogate.
            if walk.place == text.len() { "Number out of range" } else { "Expecting EOF" }
        }
    }
}

/// Deeper ones are refused by both readers.
const DEEPEST: usize = 127;

struct Walk<'a> {
    text: &'a [u8],
    place: usize,
    depth: usize,
}

type Walked = Result<(), &'static str>;

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.place).copied()
    }

    fn take(&mut self, or: &'static str) -> Result<u8, &'static str> {
        let byte = self.peek().ok_or(or)?;
        self.place += 1;
        Ok(byte)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.place += 1;
        }
    }

    /// The next byte behind spaces, which stays.
    fn next(&mut self, or: &'static str) -> Result<u8, &'static str> {
        self.spaces();
        self.peek().ok_or(or)
    }

    fn value(&mut self) -> Walked {
        match self.next("Expecting item")? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => {
                self.place += 1;
                self.string()
            }
            b't' => self.word(b"true", "Expecting 'true'"),
            b'f' => self.word(b"false", "Expecting 'false'"),
            b'n' => self.word(b"null", "Expecting 'null'"),
            _ => self.number(),
        }
    }

    fn nested(&mut self, walk: fn(&mut Self) -> Walked) -> Walked {
        self.place += 1;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Too deep nesting in Array/Object");
        }
        walk(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8], or: &'static str) -> Walked {
        if !self.text[self.place..].starts_with(word) {
            return Err(or);
        }
        self.place += word.len();
        Ok(())
    }

    fn object(&mut self) -> Walked {
        let mut next = self.next("Expecting item or '}'")?;
        if next == b'}' {
            self.place += 1;
            return Ok(());
        }
        loop {
            if next != b'"' {
                return Err("Expecting '\"' or '}'");
            }
            self.place += 1;
            self.string()?;
            if self.next("Expecting ':'")? != b':' {
                return Err("Expecting ':'");
            }
            self.place += 1;
            self.value()?;
            match self.next("Expecting ',' or '}'")? {
                b'}' => {
                    self.place += 1;
                    return Ok(());
                }
                b',' => self.place += 1,
                _ => return Err("Expecting ',' or '}'"),
            }
            next = self.next("Expecting '\"' or '}'")?;
        }
    }

    fn array(&mut self) -> Walked {
        if self.next("Expecting item or ']'")? == b']' {
            self.place += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            match self.next("Expecting ',' or ']'")? {
                b']' => {
                    self.place += 1;
                    return Ok(());
                }
                b',' => self.place += 1,
                _ => return Err("Expecting ',' or ']'"),
            }
        }
    }

    /// Behind the first quote, to behind the last one.
    fn string(&mut self) -> Walked {
        loop {
            match self.take("Unfinished string")? {
                b'"' => return Ok(()),
                b'\\' => match self.take("Invalid escape sequence")? {
                    b'"' | b'/' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.take("Unfinished \\uXXXX escape sequence")?;
                            if !digit.is_ascii_hexdigit() {
                                return Err("Illegal \\uXXXX escape sequence");
                            }
                        }
                    }
                    _ => return Err("Invalid escape sequence"),
                },
                0..0x20 => return Err("Unexpected control character"),
                0x80.. => self.character()?,
                _ => {}
            }
        }
    }

    /// The rest of a character of several bytes, whose first one was taken.
    fn character(&mut self) -> Walked {
        let rest = &self.text[self.place - 1..];
        let length = match rest[0] {
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        if rest.len() < length || std::str::from_utf8(&rest[..length]).is_err() {
            return Err("Invalid UTF-8 sequence");
        }
        self.place += length - 1;
        Ok(())
    }

    fn number(&mut self) -> Walked {
        let mut first = self.take("Expecting digit")?;
        if first == b'-' {
            first = self.take("Incomplete number")?;
        }
        if !first.is_ascii_digit() {
            return Err("Expecting digit");
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.place += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.place += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.place += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.place += 1;
        }
    }

    fn some_digits(&mut self) -> Walked {
        if !self.take("Incomplete number")?.is_ascii_digit() {
            return Err("Incomplete number");
        }
        self.digits();
        Ok(())
    }
}
