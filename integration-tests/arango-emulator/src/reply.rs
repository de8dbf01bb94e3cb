//! What a handler answers, before it becomes bytes.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::errors::Failure;

/// What a handler comes to.
pub(crate) type Answer = Result<Reply, Failure>;

/// An answer: status, the handler's own headers, and the body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Json(Value),
    /// Bytes that are final, with their Content-Type, which may be empty.
    Bytes(String, Bytes),
    /// No body: `text/plain`, as the server says by default.
    Nothing,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), content: Content::Json(body) }
    }

    /// `{"error":false,"code":…}` with the entries of `more`, which is an object.
    pub(crate) fn fine(status: u16, more: Value) -> Self {
        let mut body = json!({"error": false, "code": status});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        Self::json(status, body)
    }

    /// `{"error":false,"code":…,"result":…}`
    pub(crate) fn result(status: u16, result: Value) -> Self {
        Self::fine(status, Value::Object([("result".to_owned(), result)].into_iter().collect()))
    }

    pub(crate) fn nothing(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Nothing }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An error of the layer that speaks HTTP, which orders the keys its own way.
    pub(crate) fn of_connection(status: u16, number: u32, message: &str) -> Self {
        let text = format!(
            r#"{{"error":true,"errorNum":{number},"errorMessage":{},"code":{status}}}"#,
            Value::from(message)
        );
        Self {
            status,
            headers: Vec::new(),
            content: Content::Bytes("application/json; charset=utf-8".into(), text.into()),
        }
    }

    /// The body's Content-Type and bytes.
    pub(crate) fn render(&self, escape: bool) -> (String, Bytes) {
        match &self.content {
            Content::Json(value) => {
                ("application/json; charset=utf-8".into(), crate::json::dump(value, escape))
            }
            Content::Bytes(kind, bytes) => (kind.clone(), bytes.clone()),
            Content::Nothing => ("text/plain; charset=utf-8".into(), Bytes::new()),
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let reply = Self::json(failure.status, failure.body());
        match failure.stored.as_ref().and_then(|stored| stored.get("_rev")?.as_str()) {
            Some(rev) => reply.header("etag", format!("\"{rev}\"")),
            None => reply,
        }
    }
}

/// The reason phrases of arangod's GeneralResponse.cpp.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Entity",
        423 => "Locked",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}
