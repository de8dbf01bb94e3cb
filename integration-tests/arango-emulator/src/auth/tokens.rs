//! Access tokens: passwords that a user makes for programs, each with an end. By recorded answers.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
};

/// A token, and whose it is.
#[derive(Debug)]
struct Token {
    id: u64,
    user: String,
    name: String,
    created: u64,
    end: u64,
    secret: String,
}

/// All tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    all: Mutex<Vec<Token>>,
}

impl Tokens {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Token>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a password is a token that has not ended.
    pub(super) fn has(&self, password: &str, now: f64) -> bool {
        let now = seconds(now);
        self.lock().iter().any(|token| token.secret == password && token.end > now)
    }

    pub(super) fn handle(&self, request: &Request, rest: &[&str], now: f64) -> Answer {
        let now = seconds(now);
        match (request.method.as_str(), rest) {
            ("POST", [user]) => self.make(request, user, now),
            ("GET", [user]) => {
                let all = self.lock();
                let own = all.iter().filter(|token| token.user == *user);
                let shown: Vec<Value> = own.map(|token| token.show(now)).collect();
                Ok(Reply::json(200, json!({ "tokens": shown })))
            }
            ("DELETE", [user, id]) => {
                let mut all = self.lock();
                let place = all
                    .iter()
                    .position(|token| token.user == *user && token.id.to_string() == *id)
                    .ok_or_else(|| Failure::new(404))?;
                all.remove(place);
                Ok(Reply::nothing(200))
            }
            ("POST" | "GET" | "DELETE", _) => Err(Failure::bad("bad parameter")),
            _ => Err(Failure::new(405)),
        }
    }

    fn make(&self, request: &Request, user: &str, now: u64) -> Answer {
        let body = request.json()?;
        let Some(name) = body["name"].as_str() else {
            return Err(Failure::bad("expecting string for <name>"));
        };
        let mut all = self.lock();
        if all.iter().any(|token| token.user == user && token.name == name) {
            return Err(Failure::new(1207));
        }
        let secret: String = (0..32).map(|_| format!("{:02x}", fastrand::u8(..))).collect();
        let token = Token {
            id: all.last().map_or(1, |token| token.id + 1),
            user: user.to_owned(),
            name: name.to_owned(),
            created: now,
            // A year, unless it is said.
            end: body["valid_until"].as_u64().unwrap_or(now + 365 * 86_400),
            secret: format!("v1.{secret}"),
        };
        let mut shown = token.show(now);
        // The one time that it is told.
        shown["token"] = token.secret.clone().into();
        all.push(token);
        Ok(Reply::json(200, shown))
    }
}

impl Token {
    fn show(&self, now: u64) -> Value {
        let last = &self.secret[self.secret.len() - 6..];
        json!({
            "id": self.id, "name": self.name, "valid_until": self.end, "created_at": self.created,
            "fingerprint": format!("v1...{last}"), "active": self.end > now,
        })
    }
}

fn seconds(time: f64) -> u64 {
    format!("{:.0}", time.floor()).parse().unwrap_or(0)
}
