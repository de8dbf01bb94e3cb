//! The parameters behind a store URL's `?`.

use std::time::Duration;

use batch_core::{Result, StoreOptions};

use super::{Scheme, decode, wrong};

const EVERYWHERE: &[&str] =
    &["timeout", "max_in_flight", "max_batch_bytes", "max_batch_operations"];
const ARANGO: &[&str] = &["auth", "protocol", "sharded_transactions", "compression"];
const ARANGO_HTTPS: &[&str] = &["tls_ca"];
const CQL: &[&str] = &["consistency", "serial_consistency", "local_dc", "translate", "compression"];
const CQL_TLS: &[&str] = &["tls_ca", "tls_name"];

const AUTH: &[&str] = &["basic", "jwt"];
const PROTOCOL: &[&str] = &["http1", "http2"];
const ACCEPT: &[&str] = &["accept"];
const CONSISTENCY: &[&str] =
    &["any", "one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "local_one"];
const SERIAL_CONSISTENCY: &[&str] = &["serial", "local_serial"];
const TRANSLATE: &[&str] = &["contact-points"];
const COMPRESSION: &[&str] = &["lz4", "snappy"];
const HTTP_COMPRESSION: &[&str] = &["gzip"];

/// The parameters of a [`StoreUrl`](crate::StoreUrl), which has their meanings. What the URL does
/// not give is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameters {
    /// The deadline of a commit.
    pub timeout: Option<Duration>,
    /// The most chunks in flight at once.
    pub max_in_flight: Option<usize>,
    /// The most bytes in a chunk.
    pub max_batch_bytes: Option<usize>,
    /// The most operations in a chunk.
    pub max_batch_operations: Option<usize>,
    /// `basic` or `jwt`; ArangoDB.
    pub auth: Option<&'static str>,
    /// `http1` or `http2`; ArangoDB.
    pub protocol: Option<&'static str>,
    /// `accept`; ArangoDB.
    pub sharded_transactions: Option<&'static str>,
    /// `any`, `one`, `two`, `three`, `quorum`, `all`, `local_quorum`, `each_quorum` or `local_one`; CQL.
    pub consistency: Option<&'static str>,
    /// `serial` or `local_serial`; CQL.
    pub serial_consistency: Option<&'static str>,
    /// The datacenter whose nodes are asked; CQL.
    pub local_dc: Option<String>,
    /// `contact-points`; CQL.
    pub translate: Option<&'static str>,
    /// `lz4` or `snappy`; CQL. `gzip`; ArangoDB.
    pub compression: Option<&'static str>,
    /// The file with the certificates of authorities; ArangoDB and CQL over TLS.
    pub tls_ca: Option<String>,
    /// The name that the servers' certificates bear; CQL over TLS.
    pub tls_name: Option<String>,
}

impl Parameters {
    pub(super) fn parse(scheme: Scheme, query: Option<&str>) -> Result<Self> {
        let own = match scheme {
            Scheme::Memory => &[],
            Scheme::Arango | Scheme::ArangoHttps => ARANGO,
            Scheme::Cql | Scheme::CqlTls => CQL,
        };
        let tls = match scheme {
            Scheme::ArangoHttps => ARANGO_HTTPS,
            Scheme::CqlTls => CQL_TLS,
            Scheme::Memory | Scheme::Arango | Scheme::Cql => &[],
        };
        let known: Vec<&str> = EVERYWHERE.iter().chain(own).chain(tls).copied().collect();
        let mut parameters = Self::default();
        let mut given: Vec<&str> = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                return Err(unknown(scheme, name, &known));
            };
            if given.contains(&name) {
                return Err(wrong(format!("the parameter `{name}` is given twice")));
            }
            given.push(name);
            if value.is_empty() {
                return Err(wrong(format!("the parameter `{name}` has no value")));
            }
            let value = decode(&format!("the value of the parameter `{name}`"), value)?;
            parameters.set(scheme, name, value)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, scheme: Scheme, name: &str, value: String) -> Result<()> {
        match name {
            "timeout" => self.timeout = Some(duration(name, &value)?),
            "max_in_flight" => self.max_in_flight = Some(count(name, &value)?),
            "max_batch_bytes" => self.max_batch_bytes = Some(count(name, &value)?),
            "max_batch_operations" => self.max_batch_operations = Some(count(name, &value)?),
            "auth" => self.auth = Some(word(name, &value, AUTH)?),
            "protocol" => self.protocol = Some(word(name, &value, PROTOCOL)?),
            "sharded_transactions" => {
                self.sharded_transactions = Some(word(name, &value, ACCEPT)?);
            }
            "consistency" => self.consistency = Some(word(name, &value, CONSISTENCY)?),
            "serial_consistency" => {
                self.serial_consistency = Some(word(name, &value, SERIAL_CONSISTENCY)?);
            }
            "local_dc" => self.local_dc = Some(value),
            "translate" => self.translate = Some(word(name, &value, TRANSLATE)?),
            "compression" => {
                let words = match scheme {
                    Scheme::Arango | Scheme::ArangoHttps => HTTP_COMPRESSION,
                    Scheme::Memory | Scheme::Cql | Scheme::CqlTls => COMPRESSION,
                };
                self.compression = Some(word(name, &value, words)?);
            }
            "tls_ca" => self.tls_ca = Some(value),
            "tls_name" => self.tls_name = Some(value),
            _ => unreachable!("the parameter `{name}` is listed, but not read"),
        }
        Ok(())
    }

    /// The options of the store that these parameters ask for.
    pub fn store_options(&self) -> StoreOptions {
        let mut options = StoreOptions::new();
        if let Some(timeout) = self.timeout {
            options = options.timeout(timeout);
        }
        if let Some(chunks) = self.max_in_flight {
            options = options.max_in_flight(chunks);
        }
        if let Some(bytes) = self.max_batch_bytes {
            options = options.max_batch_bytes(bytes);
        }
        if let Some(operations) = self.max_batch_operations {
            options = options.max_batch_operations(operations);
        }
        options
    }
}

fn unknown(scheme: Scheme, name: &str, known: &[&str]) -> batch_core::Error {
    let known = known.join(", ");
    let is_name = !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let what = if name.is_empty() {
        "there is an empty parameter".to_owned()
    } else if is_name {
        format!("there is no parameter `{name}`")
    } else {
        "there is an unknown parameter".to_owned()
    };
    wrong(format!("{what}; a `{scheme}` store has {known}"))
}

fn duration(name: &str, value: &str) -> Result<Duration> {
    match humantime::parse_duration(value) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong(format!(
            "the parameter `{name}` is a time above zero with its unit, such as `3s` or `1m 30s`"
        ))),
    }
}

fn count(name: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(count) if count > 0 && value.bytes().all(|b| b.is_ascii_digit()) => Ok(count),
        _ => Err(wrong(format!("the parameter `{name}` is a whole number from 1"))),
    }
}

fn word(name: &str, value: &str, words: &'static [&'static str]) -> Result<&'static str> {
    words
        .iter()
        .copied()
        .find(|word| word.eq_ignore_ascii_case(value))
        .ok_or_else(|| wrong(format!("the parameter `{name}` is one of {}", words.join(", "))))
}
