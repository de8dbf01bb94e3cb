//! `_key`: what it may look like, and how it is made where none is given.

use serde_json::{Value, json};

use super::clock::Clock;
use crate::errors::Failure;

/// The special characters of the public documentation's naming rules, and all letters and digits.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=254).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@()+,=;$!*':%".contains(&b))
}

/// How a collection makes keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyGenerator {
    way: Way,
    allow_user_keys: bool,
    /// The largest number that is a key, made or given.
    last: u64,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Traditional,
    Padded,
    AutoIncrement { increment: u64, offset: u64 },
    Uuid,
}

impl KeyGenerator {
    /// Of `keyOptions`, which may be null.
    pub(crate) fn new(options: &Value) -> Result<Self, Failure> {
        let number = |name, default| options[name].as_u64().unwrap_or(default);
        let way = match options["type"].as_str() {
            None | Some("traditional" | "upgrade" | "") => Way::Traditional,
            Some("padded") => Way::Padded,
            Some("uuid") => Way::Uuid,
            Some("autoincrement") => {
                let increment = number("increment", 1);
                if increment == 0 || increment >= 1 << 16 {
                    return Err(Failure::new(10)
                        .says("increment value must be greater than zero and smaller than 65536"));
                }
                Way::AutoIncrement { increment, offset: number("offset", 0) }
            }
            Some(other) => {
                return Err(Failure::new(10).says(format!("invalid key generator type '{other}'")));
            }
        };
        let allow_user_keys = options["allowUserKeys"].as_bool().unwrap_or(true);
        Ok(Self { way, allow_user_keys, last: 0 })
    }

    /// `keyOptions` as a collection's description shows them.
    pub(crate) fn describe(&self) -> Value {
        let allowed = self.allow_user_keys;
        match self.way {
            Way::Traditional => {
                json!({"allowUserKeys": allowed, "type": "traditional", "lastValue": self.last})
            }
            Way::Padded => {
                json!({"allowUserKeys": allowed, "type": "padded", "lastValue": self.last})
            }
            Way::Uuid => json!({"allowUserKeys": allowed, "type": "uuid"}),
            Way::AutoIncrement { increment, offset } => json!({
                "allowUserKeys": allowed, "type": "autoincrement",
                "increment": increment, "offset": offset, "lastValue": self.last,
            }),
        }
    }

    /// A key that is given: whether it may be, and what it means for those to come.
    pub(crate) fn accept(&mut self, key: &str) -> Result<(), Failure> {
        if !self.allow_user_keys {
            return Err(Failure::new(1222));
        }
        if !is_key(key) {
            return Err(Failure::new(1221));
        }
        let number = match self.way {
            Way::Padded => u64::from_str_radix(key, 16).ok(),
            Way::Traditional | Way::AutoIncrement { .. } => key.parse().ok(),
            Way::Uuid => None,
        };
        self.last = self.last.max(number.unwrap_or(0));
        Ok(())
    }

    /// A new key.
    pub(crate) fn make(&mut self, clock: &mut Clock) -> String {
        match self.way {
            Way::Traditional => {
                self.last = clock.tick().max(self.last + 1);
                self.last.to_string()
            }
            Way::Padded => {
                self.last = clock.tick().max(self.last + 1);
                format!("{:016x}", self.last)
            }
            Way::AutoIncrement { increment, offset } => {
                self.last = match self.last.checked_sub(offset) {
                    // Nothing was made: an offset is the first key, and without one the increment.
                    _ if self.last == 0 && offset == 0 => increment,
                    None => offset,
                    Some(beyond) => offset + increment * (beyond / increment + 1),
                };
                self.last.to_string()
            }
            Way::Uuid => {
                let (high, low) = (fastrand::u64(..), fastrand::u64(..));
                format!(
                    "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                    high >> 32,
                    high >> 16 & 0xFFFF,
                    high & 0xFFF,
                    low >> 48 & 0x3FFF | 0x8000,
                    low & 0xFFFF_FFFF_FFFF
                )
            }
        }
    }
}
