//! The server's error numbers, with their texts and HTTP statuses.
//! Sources: the public documentation's table of errors, and arangod's GeneralResponse.cpp.

use serde_json::{Map, Value, json};

/// Number, HTTP status and text.
type Row = (u32, u16, &'static str);

const TABLE: &[Row] = &[
    (4, 500, "internal error"),
    (9, 501, "not implemented"),
    (10, 400, "bad parameter"),
    (11, 403, "forbidden"),
    (18, 500, "lock timeout"),
    (28, 500, "locked"),
    (29, 500, "deadlock detected"),
    (30, 503, "shutdown in progress"),
    (32, 500, "resource limit exceeded"),
    (400, 400, "bad parameter"),
    (401, 401, "unauthorized"),
    (404, 404, "not found"),
    (405, 405, "method not supported"),
    (412, 412, "precondition failed"),
    (503, 503, "service unavailable"),
    (600, 400, "invalid JSON object"),
    (601, 400, "superfluous URL suffices"),
    (1004, 403, "read only"),
    (1200, 409, "conflict"),
    (1202, 404, "document not found"),
    (1203, 404, "collection or view not found"),
    (1204, 400, "parameter 'collection' not found"),
    (1205, 400, "illegal document identifier"),
    (1207, 409, "duplicate name"),
    (1208, 400, "illegal name"),
    (1210, 409, "unique constraint violated"),
    (1212, 404, "index not found"),
    (1216, 400, "document too large"),
    (1221, 400, "illegal document key"),
    (1222, 400, "unexpected document key"),
    (1225, 500, "out of keys"),
    (1226, 400, "missing document key"),
    (1227, 400, "invalid document type"),
    (1228, 404, "database not found"),
    (1229, 400, "database name invalid"),
    (1230, 403, "operation only allowed in system database"),
    (1233, 400, "edge attribute missing or invalid"),
    (1429, 503, "insufficient number of follower nodes for write concern"),
    (1457, 500, "timeout in cluster operation"),
    (1466, 400, "must not specify _key for this collection"),
    (1478, 503, "a cluster backend which was required for the operation could not be reached"),
    (1491, 503, "a leader was demoted"),
    (1495, 503, "shard leader refuses to perform a replication operation"),
    (1496, 503, "not a leader"),
    (1500, 410, "query killed"),
    (1501, 400, "syntax error"),
    (1502, 400, "query is empty"),
    (1510, 400, "variable name has an invalid format"),
    (1511, 400, "variable is assigned multiple times"),
    (1512, 400, "unknown variable"),
    (1524, 400, "too many collections"),
    (1540, 400, "usage of unknown function"),
    (1541, 400, "invalid number of arguments for function"),
    (1542, 400, "invalid argument type in call to function"),
    (1551, 400, "no value specified for declared bind parameter"),
    (1552, 400, "bind parameter was not declared in the query"),
    (1553, 400, "bind parameter has an invalid value or type"),
    (1562, 400, "division by zero"),
    (1563, 400, "array expected"),
    (1579, 400, "access after data-modification"),
    (1591, 404, "query not found"),
    (1600, 404, "cursor not found"),
    (1601, 409, "cursor is busy"),
    (1620, 400, "schema validation failed"),
    (1650, 500, "internal transaction error"),
    (1651, 400, "nested transactions detected"),
    (1652, 400, "unregistered collection used in transaction"),
    (1653, 400, "disallowed operation inside transaction"),
    (1654, 410, "transaction aborted"),
    (1655, 404, "transaction not found"),
    (1702, 400, "invalid user name"),
    (1703, 404, "user not found"),
    (1924, 404, "graph not found"),
    (1925, 409, "graph already exists"),
    (1926, 404, "vertex collection does not exist or is not part of the graph"),
    (1930, 404, "edge collection not used in graph"),
    (1936, 400, "invalid graph definition"),
    (21003, 503, "queue full"),
    (21004, 412, "queue time violated"),
];

/// Why a request, or one of its documents, was refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) number: u32,
    pub(crate) status: u16,
    pub(crate) message: String,
    /// `_id`, `_key` and `_rev` of the stored document, beside the error's four keys; and its Etag.
    pub(crate) stored: Option<Map<String, Value>>,
    /// Another transaction has what is needed; when one ends, it can be tried again.
    pub(crate) waits: bool,
}

impl Failure {
    /// With the table's status and text. A number that is not in it is a status, or is answered 500.
    pub(crate) fn new(number: u32) -> Self {
        let row = TABLE.iter().find(|row| row.0 == number);
        Self {
            number,
            status: row.map_or(500, |row| row.1),
            message: row.map_or("internal error", |row| row.2).to_owned(),
            stored: None,
            waits: false,
        }
    }

    /// The text with more behind it.
    pub(crate) fn about(mut self, more: impl std::fmt::Display) -> Self {
        self.message.push_str(&more.to_string());
        self
    }

    pub(crate) fn says(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// A bad parameter: 400 as status and as number.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(400).says(message)
    }

    /// The error of one element of an array: three keys, no `code`.
    pub(crate) fn element(&self) -> Value {
        json!({"error": true, "errorNum": self.number, "errorMessage": self.message})
    }

    /// The error as the answer's body.
    pub(crate) fn body(&self) -> Value {
        let mut body = self.stored.clone().unwrap_or_default();
        body.insert("error".into(), true.into());
        body.insert("code".into(), self.status.into());
        body.insert("errorNum".into(), self.number.into());
        body.insert("errorMessage".into(), self.message.clone().into());
        Value::Object(body)
    }
}
