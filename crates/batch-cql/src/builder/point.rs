//! Where a node is.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use batch_core::{Error, ErrorKind, Result};

const PORT: u16 = 9042;

/// A node's name or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContactPoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl ContactPoint {
    /// Reads `host`, `host:port`, `[v6]:port`, or a bare address of either version.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            // Before an `@` a password may stand.
            let text = text.rsplit('@').next().unwrap_or_default();
            let message = format!(
                "the contact point `{text}` cannot be read: {what}; write `host`, `host:port` or `[v6]:port`"
            );
            Err(Error::new(ErrorKind::InvalidOperation, message))
        };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: PORT });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let Some((address, port)) = rest.split_once(']') else {
                return wrong("its bracket is not closed");
            };
            if address.parse::<Ipv6Addr>().is_err() {
                return wrong("there is no IPv6 address in the brackets");
            }
            match port.strip_prefix(':') {
                None if port.is_empty() => (address, None),
                None => return wrong("behind the bracket stands `:` and a port, or nothing"),
                port => (address, port),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        // A whole URL or a user's name would be looked up as a host, and found nowhere.
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@,?#".contains(c)) {
            return wrong("there is no host");
        }
        let port = match port.map(str::parse) {
            None => PORT,
            Some(Ok(port @ 1..)) => port,
            Some(_) => return wrong("a port is a number from 1 to 65535"),
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// Its address, as the name service gives it now.
    pub(super) async fn address(&self) -> std::io::Result<SocketAddr> {
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        found.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

impl fmt::Display for ContactPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Contact points as an error names them.
pub(super) fn list(points: &[ContactPoint]) -> String {
    let points: Vec<String> = points.iter().map(ToString::to_string).collect();
    points.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_contact_point_is_read() {
        for (text, read) in [
            ("localhost", "localhost:9042"),
            ("db1.example.org:9142", "db1.example.org:9142"),
            ("127.0.0.1", "127.0.0.1:9042"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:9042"),
            ("[::1]", "[::1]:9042"),
            ("[fe80::1]:65535", "[fe80::1]:65535"),
        ] {
            assert_eq!(ContactPoint::parse(text).unwrap().to_string(), read);
        }
    }

    #[test]
    fn what_is_no_contact_point_is_refused_and_named() {
        for text in [
            "",
            ":9042",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "a:b:c",
            "[::1",
            "[host]:1",
            "[::1]9042",
            "cql://host",
            "user@host",
            "a b",
            "a,b",
        ] {
            let error = ContactPoint::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{text}");
            let shown = text.rsplit('@').next().unwrap();
            assert!(error.to_string().contains(&format!("`{shown}`")), "{error}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        for text in ["user:secret@host", "cql://user:secret@host:9042", "se@cret@"] {
            let error = ContactPoint::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("cret"), "{error:?}");
        }
    }
}
