//! Store URLs: text into a struct, without a look at anything else.
//!
//! A mistyped URL can have its password anywhere, so no error repeats a part of the text but words
//! that cannot be one: a scheme, the name of a parameter that stands where it should.

mod parameters;

use std::{fmt, net::Ipv6Addr, str::FromStr};

use batch_core::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;

pub use parameters::Parameters;

/// Which store a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `memory:`
    Memory,
    /// `arango://`
    Arango,
    /// `arango+https://`
    ArangoHttps,
    /// `cql://`
    Cql,
    /// `cql+tls://`
    CqlTls,
}

impl Scheme {
    const ALL: [Self; 5] = [Self::Memory, Self::Arango, Self::ArangoHttps, Self::Cql, Self::CqlTls];

    /// The scheme's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Arango => "arango",
            Self::ArangoHttps => "arango+https",
            Self::Cql => "cql",
            Self::CqlTls => "cql+tls",
        }
    }

    /// The feature of this crate that its backend needs.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Arango | Self::ArangoHttps => "arango",
            Self::Cql | Self::CqlTls => "cql",
        }
    }

    /// The port of a host that names none; `None` where there are no hosts.
    #[must_use]
    pub const fn default_port(self) -> Option<u16> {
        match self {
            Self::Memory => None,
            Self::Arango | Self::ArangoHttps => Some(8529),
            Self::Cql | Self::CqlTls => Some(9042),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A server's name or address, and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Host {
    /// The name or address; an IPv6 address is without its brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// What a store URL says.
///
/// | URL | store |
/// |---|---|
/// | `memory:` | the embedded store |
/// | `arango://user:pass@host:8529,host2:8529/db`, `arango+https://…` | a database of ArangoDB |
/// | `cql://user:pass@host:9042,host2:9042/keyspace`, `cql+tls://…` | a keyspace of Cassandra or ScyllaDB |
///
/// User, port and path may be left out. An IPv6 address stands in brackets. In the user's name, the
/// password and the path, `% @ : / ? #` are percent-encoded (`@` as `%40`). The hosts of an
/// `arango://` URL are coordinators of one cluster: the next is asked when one cannot be reached. Those
/// of a `cql://` URL are where to begin; the other nodes are found through them. Without a keyspace a
/// collection is named as `keyspace.table`.
///
/// | parameter | on | means |
/// |---|---|---|
/// | `timeout=3s` | every store | the deadline of a commit; 30 s if not given |
/// | `max_in_flight=N` | every store | the most chunks in flight at once; 32 if not given, on CQL 128 if they are small |
/// | `max_batch_bytes=N` | every store | the most bytes in a chunk |
/// | `max_batch_operations=N` | every store | the most operations in a chunk |
/// | `auth=basic`, `auth=jwt` | ArangoDB | how the user is authenticated; `basic` if not given |
/// | `protocol=http1`, `=http2` | ArangoDB | how requests travel; `http1` if not given |
/// | `sharded_transactions=accept` | ArangoDB | take a transaction over several shards for all-or-nothing |
/// | `consistency=quorum` … | CQL | the consistency of writes, such as `one`, `each_quorum`, `all`; `local_quorum` if not given |
/// | `serial_consistency=serial` | CQL | the consistency at which conditions are decided; `local_serial` if not given |
/// | `local_dc=NAME` | CQL | the datacenter whose nodes are asked, and no others; all of them if not given |
/// | `translate=contact-points` | CQL | reach the nodes by the URL's hosts alone: behind a port mapping or a tunnel |
/// | `compression=gzip` | ArangoDB | compress requests and answers |
/// | `compression=lz4`, `=snappy` | CQL | compress requests and answers |
/// | `tls_ca=FILE` | ArangoDB and CQL over TLS | trust the authorities in a PEM file, not the machine's |
/// | `tls_name=NAME` | CQL over TLS | the name in the servers' certificates; without it each is to name the server's address |
///
/// Neither `Debug` nor `Display` shows the password, and no error does.
///
/// ```
/// use unibatch::StoreUrl;
///
/// let url = StoreUrl::parse("cql://abby:s%40crates@[::1],db2:9043/school?timeout=3s")?;
/// assert_eq!(url.password(), Some("s@crates"));
/// assert_eq!(url.to_string(), "cql://abby@[::1]:9042,db2:9043/school");
///
/// let error = StoreUrl::parse("cql://db1/school?time=3s").unwrap_err();
/// assert!(error.to_string().contains("timeout, max_in_flight"));
/// # Ok::<(), unibatch::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    scheme: Scheme,
    user: Option<String>,
    password: Option<String>,
    hosts: Vec<Host>,
    path: Option<String>,
    parameters: Parameters,
}

impl StoreUrl {
    /// Reads a URL. Pure: no I/O, no environment.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for an unknown scheme, listing the known ones;
    /// [`InvalidOperation`](ErrorKind::InvalidOperation) for any other mistake, with what was expected.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = split_scheme(url)?;
        let slashes = rest.starts_with("//");
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        // Told first: the rest of such a text may be a password's second half.
        if tail.contains('@') {
            return Err(wrong(
                "there is an `@` behind the host; percent-encode `@ : / ? #` in the user's name, the password and the path (`@` as `%40`)",
            ));
        }
        if tail.contains('#') {
            return Err(wrong("a store URL has no `#`; percent-encode it as `%23`"));
        }
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        if scheme == Scheme::Memory {
            if !authority.is_empty() || !path.is_empty() {
                return Err(wrong(
                    "a memory store has neither host nor path; write `memory:`, with parameters behind a `?`",
                ));
            }
            let parameters = Parameters::parse(scheme, query)?;
            return Ok(Self {
                scheme,
                user: None,
                password: None,
                hosts: Vec::new(),
                path: None,
                parameters,
            });
        }
        if !slashes {
            return Err(wrong(format!("`{scheme}:` is followed by `//` and a host")));
        }
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (user, password) = split_user_info(user_info)?;
        Ok(Self {
            scheme,
            user,
            password,
            hosts: split_hosts(scheme, hosts)?,
            path: read_path(path)?,
            parameters: Parameters::parse(scheme, query)?,
        })
    }

    /// Which store it names.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user's name, decoded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, decoded. Not to be printed.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The hosts, in order; none for `memory:`.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The database or keyspace, decoded.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sets the password, unless the URL has one already, or names a store without users.
    #[must_use]
    pub fn or_password(mut self, password: Option<String>) -> Self {
        if self.scheme != Scheme::Memory && self.password.is_none() {
            self.password = password;
        }
        self
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        Self::parse(url)
    }
}

impl fmt::Display for StoreUrl {
    /// Scheme, user, hosts and path; neither password nor parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if self.scheme == Scheme::Memory {
            return Ok(());
        }
        f.write_str("//")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        for (place, host) in self.hosts.iter().enumerate() {
            let before = if place == 0 { "" } else { "," };
            write!(f, "{before}{host}")?;
        }
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUrl")
            .field("scheme", &self.scheme)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| format_args!("…")))
            .field("hosts", &self.hosts)
            .field("path", &self.path)
            .field("parameters", &self.parameters)
            .finish()
    }
}

fn wrong(message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the store URL cannot be read: {message}"))
}

fn split_scheme(url: &str) -> Result<(Scheme, &str)> {
    const FORMS: &str =
        "`memory:`, `arango://`, `arango+https://`, `cql://` and `cql+tls://` are known";
    let Some((name, rest)) = url.split_once(':') else {
        return Err(wrong(format!("it has no scheme; {FORMS}")));
    };
    let known = Scheme::ALL.into_iter().find(|scheme| name.eq_ignore_ascii_case(scheme.as_str()));
    known.map(|scheme| (scheme, rest)).ok_or_else(|| {
        // Without the slashes it may be the `user:password@host` of a URL that lost its scheme.
        let is_scheme = rest.starts_with("//")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let scheme = if is_scheme { format!("`{name}`") } else { "its".to_owned() };
        Error::new(ErrorKind::Unsupported, format!("{scheme} scheme is no store's; {FORMS}"))
    })
}

fn split_user_info(text: Option<&str>) -> Result<(Option<String>, Option<String>)> {
    let Some(text) = text else {
        return Ok((None, None));
    };
    if text.contains('@') {
        return Err(wrong(
            "there is more than one `@`; write an `@` in the user's name or the password as `%40`",
        ));
    }
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(decode("the password", password)?)),
        None => (text, None),
    };
    if user.is_empty() {
        return Err(wrong("there is no user's name before the `@`"));
    }
    Ok((Some(decode("the user's name", user)?), password))
}

fn split_hosts(scheme: Scheme, text: &str) -> Result<Vec<Host>> {
    if text.is_empty() {
        return Err(wrong("it names no host, such as `localhost`"));
    }
    text.split(',').enumerate().map(|(place, host)| read_host(scheme, place + 1, host)).collect()
}

fn read_host(scheme: Scheme, place: usize, text: &str) -> Result<Host> {
    let fail = |what: &str| Err(wrong(format!("host {place}: {what}")));
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return fail("the bracket of its IPv6 address is not closed");
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return fail("there is no IPv6 address in the brackets");
        }
        match port.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if port.is_empty() => (address, None),
            None => return fail("behind the bracket stands `:` and a port, or nothing"),
        }
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        if port.is_some_and(|port| port.contains(':')) {
            return fail("an IPv6 address stands in brackets, such as `[::1]:9042`");
        }
        let is_name = |c: char| c.is_alphanumeric() || "-._".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return fail("a host is a name or an address");
        }
        (name, port)
    };
    let port = match port {
        None => scheme.default_port().unwrap_or_default(),
        Some(port) => match port.parse() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => return fail("a port is a number from 1 to 65535"),
        },
    };
    Ok(Host { name: name.to_owned(), port })
}

fn read_path(text: &str) -> Result<Option<String>> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.contains('/') {
        return Err(wrong("the path is one name: of a database or a keyspace"));
    }
    (!name.is_empty()).then(|| decode("the path", name)).transpose()
}

/// Decodes strictly: a `%` that encodes nothing is a mistake, not a `%`.
fn decode(what: &str, text: &str) -> Result<String> {
    let encodes = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(encodes) {
        return Err(wrong(format!(
            "{what} has a `%` without two hexadecimal digits; write `%` as `%25`"
        )));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(wrong(format!("{what} is not UTF-8 once it is decoded"))),
    }
}

#[cfg(test)]
mod tests;
