//! What a server is and can do: found out by asking it, never by its version alone.

use batch_core::{Error, ErrorKind, Result, Server};
use serde::Deserialize;

use crate::{
    errors::{self, Answered, Scope},
    http::{Call, Client, Reply},
};

/// Transactions of less than this version end at 128 MiB, later ones at 512 MiB, unless the
/// server's options say otherwise (documentation of stream transactions, limitations).
const LARGE_TRANSACTIONS: (u32, u32, u32) = (3, 12, 4);
const SMALL_TRANSACTION: usize = 128 << 20;
const LARGE_TRANSACTION: usize = 512 << 20;

/// What is known of the servers behind a store.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// As the server says it; a hardened one tells it to administrators alone.
    version: Option<Box<str>>,
    license: Option<Box<str>>,
    role: Option<Box<str>>,
    one_shard: bool,
    /// Whether the multipart call is there.
    pub(crate) multipart: bool,
}

#[derive(Deserialize)]
struct VersionAnswer {
    version: Option<Box<str>>,
    license: Option<Box<str>>,
}

#[derive(Deserialize)]
struct RoleAnswer {
    role: Box<str>,
}

#[derive(Deserialize)]
struct DatabaseAnswer {
    result: DatabaseFacts,
}

#[derive(Deserialize)]
struct DatabaseFacts {
    sharding: Option<Box<str>>,
}

impl Facts {
    /// Asks a server what it is. Nothing of it touches data.
    pub(crate) async fn ask(client: &Client) -> Result<Self> {
        let version = ask(client, &Call::get("/_api/version")).await?;
        let version: VersionAnswer = read(&version)?;
        let role = ask(client, &Call::get("/_admin/server/role").of_server()).await;
        // Who may not ask is told nothing; then the worst is taken for true.
        let role = role.ok().and_then(|reply| read::<RoleAnswer>(&reply).ok());
        let database = ask(client, &Call::get("/_api/database/current")).await?;
        let database: DatabaseAnswer = read(&database)?;
        Ok(Self {
            version: version.version,
            license: version.license,
            role: role.map(|answer| answer.role),
            one_shard: database.result.sharding.as_deref() == Some("single"),
            multipart: has_multipart(client).await?,
        })
    }

    /// Whether a transaction is all or nothing: on one server, or where one has all the shards.
    pub(crate) fn has_whole_transactions(&self) -> bool {
        self.is_single() || self.one_shard
    }

    /// Whether all elements of an array are seen at once, so that their order cannot be seen.
    pub(crate) fn writes_arrays_at_once(&self) -> bool {
        self.has_whole_transactions()
    }

    fn is_single(&self) -> bool {
        self.role.as_deref() == Some("SINGLE")
    }

    /// The most bytes of a transaction.
    pub(crate) fn transaction_bytes(&self) -> usize {
        match self.version.as_deref().and_then(numbers) {
            Some(version) if version >= LARGE_TRANSACTIONS => LARGE_TRANSACTION,
            _ => SMALL_TRANSACTION,
        }
    }

    pub(crate) fn server(&self) -> Server {
        let version = self.version.as_deref().unwrap_or("not told to this user");
        let role = self.role.as_deref().unwrap_or("not told to this user").to_lowercase();
        let has = |has: bool| if has { "yes" } else { "no" };
        let mut server = Server::new("ArangoDB", version)
            .with_fact("role", role)
            .with_fact("multipart", has(self.multipart));
        if let Some(license) = &self.license {
            server = server.with_fact("license", license.to_string());
        }
        if !self.is_single() {
            server = server.with_fact("one_shard", has(self.one_shard));
        }
        server
    }
}

/// The three numbers of a version such as `3.12.7-2`.
fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

/// The route of the multipart call refuses a `GET` as long as it is there, and is not found when it
/// is gone (the server's own test of batch requests; routing of unknown paths).
async fn has_multipart(client: &Client) -> Result<bool> {
    let reply = client.call(&Call::get("/_api/batch"), &|| ()).await.map_err(asked)?;
    match reply.status {
        405 => Ok(true),
        404 => Ok(false),
        _ => Err(refusal(&reply)),
    }
}

async fn ask(client: &Client, call: &Call<'_>) -> Result<Reply> {
    let reply = client.call(call, &|| ()).await.map_err(asked)?;
    if reply.status == 200 { Ok(reply) } else { Err(refusal(&reply)) }
}

/// A question that was not answered has changed nothing.
fn asked(error: Error) -> Error {
    Error::new(error.kind(), error.message().to_owned()).transient().with_source(error)
}

fn refusal(reply: &Reply) -> Error {
    let error = errors::refused(&answered(reply, Scope::Single, false));
    if error.fate() == batch_core::Fate::NotApplied { error } else { asked(error) }
}

/// A reply, as the table of verdicts takes it.
pub(crate) fn answered(reply: &Reply, scope: Scope, has_revision: bool) -> Answered<'_> {
    let text = |name| reply.header(name).and_then(|value| std::str::from_utf8(value).ok());
    let seconds = text("retry-after").and_then(|text| text.trim().parse().ok());
    Answered {
        status: reply.status,
        body: &reply.body,
        content_type: text("content-type"),
        retry_after: seconds.map(std::time::Duration::from_secs),
        scope,
        has_revision,
    }
}

fn read<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Result<T> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        let message = "the server's answer is not ArangoDB's; look whether the URL is right";
        Error::new(ErrorKind::Protocol, message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, expected) in [
            ("3.11.14", Some((3, 11, 14))),
            ("3.12.7-2", Some((3, 12, 7))),
            ("3.12.1-nightly.20240521", Some((3, 12, 1))),
            ("4.0.0-devel", Some((4, 0, 0))),
            ("3.12", None),
            ("", None),
        ] {
            assert_eq!(numbers(version), expected, "{version}");
        }
    }
}
