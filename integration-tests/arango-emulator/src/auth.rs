//! Who may ask: one user, by name and password, or by a token that `/_open/auth` gave out. By
//! CommTask.cpp and RestAuthHandler.cpp.

mod tokens;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tokens::Tokens;

use crate::{
    errors::Failure,
    reply::{Answer, Reply},
    request::Request,
    state::State,
};

/// What the credentials of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Allowed,
    Unknown,
}

/// The one user, if authentication is on.
pub(crate) struct Auth {
    user: Option<(String, String)>,
    key: Key,
    /// Tokens that were given out before this are no longer good.
    generation: AtomicU64,
    tokens: Tokens,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("Auth").field("user", &user).finish_non_exhaustive()
    }
}

impl Auth {
    pub(crate) fn new(user: Option<(String, String)>) -> Self {
        let secret: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        Self {
            user,
            key: Key::new(HMAC_SHA256, &secret),
            generation: AtomicU64::new(0),
            tokens: Tokens::default(),
        }
    }

    /// Ends all tokens, as their time does.
    pub(crate) fn end_tokens(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn check(&self, request: &Request) -> Caller {
        let open = request.path == "/"
            || request.path.starts_with("/_open/")
            || request.path.starts_with("/_admin/aardvark/")
            || request.path == "/_admin/server/availability";
        let allowed = open
            || self.user.as_ref().is_none_or(|user| {
                request.header("authorization").is_some_and(|text| self.knows(user, text))
            });
        if allowed { Caller::Allowed } else { Caller::Unknown }
    }

    fn knows(&self, user: &(String, String), header: &str) -> bool {
        let Some((scheme, text)) = header.trim().split_once(' ') else { return false };
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => BASE64_STANDARD.decode(text.trim()).is_ok_and(|given| {
                let given = String::from_utf8_lossy(&given);
                let (name, password) = given.split_once(':').unwrap_or((&given, ""));
                // An access token is a password, for its user or for none.
                let token = (name.is_empty() || name == user.0) && self.tokens.has(password, now());
                token || (name, password) == (user.0.as_str(), user.1.as_str())
            }),
            "bearer" => self.is_token(text.trim()),
            _ => false,
        }
    }

    fn is_token(&self, token: &str) -> bool {
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
        if hmac::verify(&self.key, signed.as_bytes(), &signature).is_err() {
            return false;
        }
        let claims = signed.split_once('.').and_then(|(_, claims)| {
            serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
        });
        claims.is_some_and(|claims| {
            claims["exp"].as_f64().is_some_and(|end| end > now())
                && claims["generation"] == self.generation.load(Ordering::Relaxed)
        })
    }

    /// `POST /_open/auth`
    pub(crate) fn open(&self, state: &State, request: &Request) -> Answer {
        let Some(user) = &self.user else { return Err(Failure::new(404)) };
        if request.method != "POST" {
            return Err(Failure::new(405));
        }
        let body = request.json().map_err(|_| Failure::bad("invalid JSON"))?;
        let (Some(name), Some(password)) = (body["username"].as_str(), body["password"].as_str())
        else {
            return Err(Failure::bad("bad parameter"));
        };
        if (name, password) != (user.0.as_str(), user.1.as_str()) {
            return Err(Failure::new(401).says("Wrong credentials"));
        }
        let lifetime = state.settings.token_seconds;
        Ok(Reply::json(200, json!({"jwt": self.token(name, lifetime)})))
    }

    /// `/_api/token/<user>`, since 3.12.5.
    pub(crate) fn access_tokens(&self, request: &Request, rest: &[&str]) -> Answer {
        self.tokens.handle(request, rest, now())
    }

    fn token(&self, user: &str, lifetime: f64) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(crate::json::text(value));
        let (now, generation) = (now(), self.generation.load(Ordering::Relaxed));
        let header = part(&json!({"alg": "HS256", "typ": "JWT"}));
        // `iat` is a float, as the server has it.
        let claims = part(&json!({
            "preferred_username": user, "iss": "arangodb", "iat": now, "exp": (now + lifetime).floor(),
            "generation": generation,
        }));
        let signed = format!("{header}.{claims}");
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
