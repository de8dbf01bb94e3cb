//! Who asks: the `Authorization` of each request, and tokens that are renewed before they end.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use batch_core::{Error, ErrorKind, Result};
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// How a store proves who it is.
///
/// The servers' default is [`Basic`](Self::Basic); [`Jwt`](Self::Jwt) spares them to check the
/// password for each request. Neither the password nor the token is in anything that is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// User and password go with each request.
    #[default]
    Basic,
    /// User and password are exchanged for a token, which is renewed before it ends.
    Jwt,
}

/// What is known of a user, and the token that was got for it.
pub(crate) enum Credentials {
    /// The server asks nobody.
    None,
    /// The same header each time: basic authentication, or a token that the user brought.
    Fixed(HeaderValue),
    /// A token that is got, and got anew.
    Jwt { login: Box<[u8]>, token: Mutex<Option<Token>> },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Fixed(_) => "given",
            Self::Jwt { .. } => "a token, renewed",
        })
    }
}

/// A token, as it is sent.
#[derive(Clone)]
pub(crate) struct Token {
    /// `None` where the server asks nobody.
    pub(super) header: Option<HeaderValue>,
    pub(super) renew_at: Instant,
}

/// A token whose end is not told is got anew after this time: servers before 3.9 gave them for a
/// month, later ones for an hour.
const UNTOLD: Duration = Duration::from_secs(30 * 60);
/// A token is renewed when this part of its time is left.
const LAST_PART: u32 = 5;

impl Credentials {
    pub(crate) fn new(auth: Auth, login: Option<(&str, &str)>) -> Result<Self> {
        let Some((user, password)) = login else { return Ok(Self::None) };
        match auth {
            Auth::Basic => {
                let both = STANDARD.encode(format!("{user}:{password}"));
                Ok(Self::Fixed(secret(format!("Basic {both}"))?))
            }
            Auth::Jwt => {
                let login = serde_json::json!({"username": user, "password": password});
                let login = login.to_string().into_bytes().into_boxed_slice();
                Ok(Self::Jwt { login, token: Mutex::new(None) })
            }
        }
    }

    pub(crate) fn bearer(token: &str) -> Result<Self> {
        Ok(Self::Fixed(secret(format!("bearer {token}"))?))
    }
}

fn secret(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        // The error's own text would show what it is about.
        Error::new(ErrorKind::InvalidOperation, "the token has characters that no header takes")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    jwt: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
}

impl Token {
    /// Reads the answer to a login.
    pub(super) fn of_answer(body: &[u8]) -> Result<Self> {
        let unreadable = |_| {
            let message = "the server's answer to the login cannot be read; look whether the URL is ArangoDB's";
            Error::new(ErrorKind::Protocol, message)
        };
        let answer: LoggedIn<'_> = serde_json::from_slice(body).map_err(unreadable)?;
        let lives = lifetime(&answer.jwt).unwrap_or(UNTOLD);
        let renew_at = Instant::now() + (lives - lives / LAST_PART);
        Ok(Self { header: Some(secret(format!("bearer {}", answer.jwt))?), renew_at })
    }

    /// For a server that has no logins, and so no route for them.
    pub(super) fn none() -> Self {
        Self { header: None, renew_at: Instant::now() + UNTOLD }
    }
}

/// How long a token lives, by its own claims.
fn lifetime(token: &str) -> Option<Duration> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    // From its making to its end, so that this machine's clock does not matter.
    let from = match claims.iat {
        Some(made) => made,
        None => SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64(),
    };
    Duration::try_from_secs_f64(claims.exp? - from).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_how_long_it_lives() {
        for (claims, seconds) in [
            (r#"{"exp":1700003600,"iat":1700000000}"#, Some(3600)),
            (r#"{"exp":1700000005.5,"iat":1700000000.5,"iss":"arangodb"}"#, Some(5)),
            (r#"{"exp":1,"iat":2}"#, None),
            (r#"{"iat":2}"#, None),
            ("{}", None),
        ] {
            let lives = lifetime(&token(claims));
            assert_eq!(lives, seconds.map(Duration::from_secs), "{claims}");
        }
        assert_eq!(lifetime("no token"), None);
    }

    #[test]
    fn nothing_that_is_printed_shows_a_secret() {
        for auth in [Auth::Basic, Auth::Jwt] {
            let credentials = Credentials::new(auth, Some(("abby", "hunter2"))).unwrap();
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
        let error = Credentials::bearer("hunter2\n").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
