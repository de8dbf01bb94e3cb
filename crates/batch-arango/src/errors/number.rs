//! The table by `errorNum`.

use batch_core::ErrorKind as Kind;

use super::{Says, Verdict};

/// Numbers that come with the HTTP status 400.
const BAD_REQUEST: &[u32] = &[
    10, 400, 600, 601, 1204, 1205, 1208, 1216, 1221, 1222, 1226, 1227, 1233, 1466, 1468, 1469,
    1501, 1502, 1551, 1552, 1553, 1579, 1620, 1651, 1652, 1653,
];

/// The HTTP status that comes with a number where the server answers for one document alone.
pub(super) fn status(number: u32, has_revision: bool) -> u16 {
    match number {
        401 => 401,
        11 | 1004 => 403,
        404 | 1202 | 1203 | 1228 | 1591 | 1600 | 1655 => 404,
        405 => 405,
        1200 if has_revision => 412,
        1200 | 1207 | 1210 | 1601 => 409,
        1500 | 1654 => 410,
        412 | 21004 => 412,
        30 | 503 | 1429 | 1478 | 1491 | 1495 | 1496 | 21003 => 503,
        _ if BAD_REQUEST.contains(&number) => 400,
        _ => 500,
    }
}

/// What a number says of an element. A cluster writes some errors there of which nothing is known.
pub(super) fn of_element(number: u32, status: u16) -> Verdict {
    let failed = "the server failed on this document";
    verdict(number, status).unwrap_or_else(|| Verdict::new(Kind::Store, Says::Unknown, failed))
}

/// What a number says of a request that asks for one thing. `None` if it is not in the table.
#[expect(clippy::too_many_lines, reason = "one table, one row an error")]
pub(super) fn verdict(number: u32, status: u16) -> Option<Verdict> {
    let refused = Verdict::refused;
    let later = |kind, what: &'static str| Verdict::new(kind, Says::Later, what);
    let unknown_later = |kind, what: &'static str| Verdict::new(kind, Says::UnknownLater, what);
    Some(match number {
        4 => Verdict::new(Kind::Store, Says::Unknown, "the server failed within"),
        10 | 400 | 600 | 601 | 1204 | 1651 | 1653 => {
            refused(Kind::InvalidOperation, "the server does not take the request as it stands", "")
        }
        11 | 401 if status == 401 => refused(
            Kind::Unauthorized,
            "the server does not accept the credentials",
            "look whether user, password or token are right, and the token not too old",
        ),
        11 => refused(
            Kind::Unauthorized,
            "the user may not do this",
            "grant the user the right to write, or to read, the collection",
        ),
        18 | 28 | 29 => later(Kind::Conflict, "others hold a lock that this needs"),
        30 => later(Kind::Overloaded, "the server is shutting down"),
        32 => refused(
            Kind::TooLarge,
            "this takes more memory than the server allows, and was rolled back",
            "make it smaller, or raise the server's limit",
        ),
        404 => refused(
            Kind::Unsupported,
            "the server does not know the path",
            "look whether its version has what is asked for",
        ),
        405 => refused(Kind::Unsupported, "the server does not take this method here", ""),
        412 => refused(Kind::ConditionFailed, "a condition of the request was false", ""),
        503 => later(Kind::Overloaded, "the server is starting, or under maintenance"),
        1004 if status == 503 => later(Kind::Store, "the server is read-only at present"),
        1004 => refused(Kind::Store, "the server is read-only", "let it write again"),
        1200 if status == 412 => refused(
            Kind::ConditionFailed,
            "the document does not have this revision any more",
            "read it again",
        ),
        1200 => later(Kind::Conflict, "another write on the document was under way"),
        1202 => refused(Kind::NotFound, "nothing has this key", ""),
        1203 => refused(
            Kind::NotFound,
            "the collection does not exist",
            "create it, or correct the name",
        ),
        1205 => refused(Kind::InvalidKey, "this is no id of a document", ""),
        1207 => refused(Kind::AlreadyExists, "the name is taken", "choose another"),
        1208 => refused(Kind::InvalidOperation, "this is no name of a collection", ""),
        1210 => refused(
            Kind::AlreadyExists,
            "the key, or a value that must be unique, is taken",
            "choose another, or use `put`",
        ),
        1216 => refused(Kind::TooLarge, "the document is too large", "make it smaller"),
        1221 => refused(
            Kind::InvalidKey,
            "this is no key of a document",
            "a key has 1 to 254 of the characters a-z A-Z 0-9 _ - . @ ( ) + , = ; $ ! * ' % :",
        ),
        1222 => refused(
            Kind::InvalidKey,
            "the collection makes the keys itself",
            "create it so that it takes those of its users (`allowUserKeys`)",
        ),
        1226 => refused(Kind::InvalidKey, "the document has no key", "give it one"),
        1225 => {
            refused(Kind::Store, "the collection can make no more keys", "give the document one")
        }
        1227 => refused(Kind::InvalidOperation, "the document is no JSON object", ""),
        1228 => {
            refused(Kind::NotFound, "the database does not exist", "create it, or correct the name")
        }
        1233 => refused(
            Kind::InvalidOperation,
            "an edge needs the ids of two documents",
            "give it `_from` and `_to`, each as `collection/key`",
        ),
        1429 => later(Kind::Connection, "too few replicas are up for a write"),
        1457 | 1464 => unknown_later(Kind::Timeout, "a part of the cluster did not answer in time"),
        1466 | 1468 | 1469 => refused(
            Kind::InvalidOperation,
            "the document does not fit the collection's shard keys",
            "give all of them, and change none",
        ),
        1478 | 1491 | 1495 | 1496 => {
            unknown_later(Kind::Connection, "a part of the cluster is not available")
        }
        1500 => refused(Kind::Store, "the query was killed, and rolled back", ""),
        1501 | 1502 | 1551 | 1552 | 1553 | 1579 => refused(
            Kind::InvalidOperation,
            "the query cannot be run as it stands",
            "correct it, or its bind variables",
        ),
        1591 | 1600 => refused(Kind::NotFound, "the query's result is gone", "ask again"),
        1601 => later(Kind::Conflict, "the query's result is being read by another request"),
        1620 => {
            refused(Kind::InvalidOperation, "the document does not fit the collection's schema", "")
        }
        1650 => refused(Kind::Store, "the transaction failed", ""),
        1652 => {
            refused(Kind::InvalidOperation, "the transaction did not declare this collection", "")
        }
        1654 | 1655 => {
            later(Kind::RolledBack, "the transaction is gone, by its time limit or by its size")
        }
        21003 => later(Kind::Overloaded, "the server's queue is full"),
        21004 => later(Kind::Overloaded, "the server's queue is too slow at present"),
        _ => return None,
    })
}
