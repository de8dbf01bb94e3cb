//! What only ArangoDB has: AQL with more to say than text, and requests as they are.

use std::{any::Any, borrow::Cow, sync::Arc};

use batch_core::{Error, ErrorKind, JsonStatement, Language, NativeStatement, Operation, Result};
use reqwest::Method;
use serde::Serialize;
use serde_json::value::RawValue;

/// The backend's name, which native statements are compared with.
pub(crate) const STORE: &str = "arango";

/// An AQL query with what its text does not say.
///
/// [`Operation::aql`] is enough for most. In an all-or-nothing batch a query has to name the
/// collections that it writes to, since a transaction declares them when it begins: those given by
/// `@@` variables, and the operation's own [`collection`](Operation::collection), are known without.
///
/// ```
/// use batch_arango::ArangoQuery;
/// use serde_json::json;
///
/// let age = ArangoQuery::new("FOR s IN students UPDATE s WITH {age: s.age + 1} IN students")
///     .writes("students");
/// let operation = age.bind(&json!({}));
/// # let _ = operation;
/// ```
#[derive(Clone, Debug)]
pub struct ArangoQuery {
    pub(crate) text: Box<str>,
    pub(crate) writes: Vec<Box<str>>,
    pub(crate) options: Option<Box<RawValue>>,
    idempotent: bool,
    mistake: Option<Error>,
}

impl ArangoQuery {
    /// A query.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into().into_boxed_str(),
            writes: Vec::new(),
            options: None,
            idempotent: false,
            mistake: None,
        }
    }

    /// Names a collection that the query writes to.
    #[must_use]
    pub fn writes(mut self, collection: impl Into<String>) -> Self {
        self.writes.push(collection.into().into_boxed_str());
        self
    }

    /// The query's `options`, as the server takes them, such as `{"maxRuntime": 10}`.
    ///
    /// Queries are not committed in between, however much they write, unless `intermediateCommitCount`
    /// or `intermediateCommitSize` are set here: then one that fails may have written a part, and is
    /// `Unknown`.
    #[must_use]
    pub fn options(mut self, options: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(options) {
            Ok(options) if !options.get().starts_with('{') => {
                let message =
                    "the options of a query are a JSON object, such as `{\"maxRuntime\": 10}`";
                self.mistake.get_or_insert(Error::new(ErrorKind::InvalidOperation, message));
            }
            Ok(options) => self.options = Some(options),
            Err(error) => {
                let message = format!("the options of the query cannot be written: {error}");
                let error = Error::new(ErrorKind::InvalidOperation, message).with_source(error);
                self.mistake.get_or_insert(error);
            }
        }
        self
    }

    /// Says that the query may be sent twice.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The operation that runs the query with bind variables: a JSON object. A query can be bound
    /// many times.
    #[must_use]
    pub fn bind(&self, variables: &(impl Serialize + ?Sized)) -> Operation {
        let (values, mistake) = match serde_json::to_vec(variables) {
            Ok(values) if values.first() == Some(&b'{') => (values, None),
            Ok(values) if values == b"null" => (b"{}".to_vec(), None),
            Ok(_) => (
                Vec::new(),
                Some("bind variables are a JSON object, such as `{\"age\": 20}`".to_owned()),
            ),
            Err(error) => {
                (Vec::new(), Some(format!("the bind variables cannot be written: {error}")))
            }
        };
        let mistake = mistake.map(|text| Error::new(ErrorKind::InvalidOperation, text));
        let operation = Operation::native(Arc::new(self.clone()), values);
        match self.mistake.clone().or(mistake) {
            Some(mistake) => operation.with_mistake(mistake),
            None => operation,
        }
    }
}

impl NativeStatement for ArangoQuery {
    fn store(&self) -> &'static str {
        STORE
    }

    fn name(&self) -> &'static str {
        "aql"
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }
}

/// A request to one of the server's routes for documents, indexes, or the vertices and edges of
/// graphs, as it is: what the Python drivers queue.
///
/// Its outcome is the server's answer. It has no place in the order of its key unless the operation
/// [names one](Operation::key).
///
/// ```
/// use batch_arango::ArangoRequest;
/// use serde_json::json;
///
/// let teach = ArangoRequest::post("/_api/gharial/school/edge/teach")
///     .body(&json!({"_from": "teachers/jon", "_to": "lectures/MAT101"}));
/// let operation = teach.operation();
/// # let _ = operation;
/// ```
#[derive(Clone, Debug)]
pub struct ArangoRequest {
    pub(crate) method: Method,
    /// Behind the database.
    pub(crate) path: Box<str>,
    pub(crate) if_match: Option<Box<str>>,
    pub(crate) writes: Vec<Box<str>>,
    pub(crate) of: RequestOf,
    idempotent: bool,
    body: Vec<u8>,
    mistake: Option<Error>,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestOf {
    Documents,
    Indexes,
    Graph,
}

macro_rules! methods {
    ($($(#[$doc:meta])+ $name:ident => $method:ident;)+) => {
        $($(#[$doc])+
        #[must_use]
        pub fn $name(path: impl Into<String>) -> Self {
            Self::new(Method::$method, path.into())
        })+
    };
}

impl ArangoRequest {
    methods! {
        /// A `GET` of a path behind the database, such as `/_api/document/students/Abby`.
        get => GET;
        /// A `POST`.
        post => POST;
        /// A `PUT`.
        put => PUT;
        /// A `PATCH`.
        patch => PATCH;
        /// A `DELETE`.
        delete => DELETE;
    }

    fn new(method: Method, path: String) -> Self {
        let (of, collection, mistake) = match route_of(&path) {
            Ok((of, collection)) => (of, collection, None),
            Err(error) => (RequestOf::Documents, None, Some(error)),
        };
        let idempotent = method == Method::GET;
        Self {
            method,
            path: path.into_boxed_str(),
            if_match: None,
            writes: collection.into_iter().collect(),
            of,
            idempotent,
            body: Vec::new(),
            mistake,
        }
    }

    /// The body, as JSON.
    #[must_use]
    pub fn body(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = body,
            Err(error) => {
                let message = format!("the body cannot be written as JSON: {error}");
                let error = Error::new(ErrorKind::InvalidOperation, message).with_source(error);
                self.mistake.get_or_insert(error);
            }
        }
        self
    }

    /// Asks for a revision of the document (`If-Match`).
    #[must_use]
    pub fn if_match(mut self, revision: impl Into<String>) -> Self {
        let revision = revision.into();
        if reqwest::header::HeaderValue::from_str(&revision).is_err() {
            let message =
                "the revision has characters that no revision has; give it as it was read";
            self.mistake.get_or_insert(Error::new(ErrorKind::InvalidOperation, message));
        }
        self.if_match = Some(revision.into_boxed_str());
        self
    }

    /// Names a further collection that the request writes to, for all-or-nothing batches. The one
    /// in the path is known.
    #[must_use]
    pub fn writes(mut self, collection: impl Into<String>) -> Self {
        self.writes.push(collection.into().into_boxed_str());
        self
    }

    /// Says that the request may be sent twice. A `GET` may without it.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The operation that sends the request.
    #[must_use]
    pub fn operation(mut self) -> Operation {
        let body = std::mem::take(&mut self.body);
        if self.of == RequestOf::Documents && body.first() == Some(&b'[') {
            let message = "an array would have one job for many documents, of which some may be refused; queue an operation for each, they travel as an array";
            self.mistake.get_or_insert(Error::new(ErrorKind::InvalidOperation, message));
        }
        let mistake = self.mistake.take();
        let collection = self.writes.first().map(|name| Cow::Owned(name.to_string()));
        let mut operation = Operation::native(Arc::new(self), body);
        if let Some(collection) = collection {
            operation = operation.collection(collection);
        }
        match mistake {
            Some(mistake) => operation.with_mistake(mistake),
            None => operation,
        }
    }
}

impl From<ArangoRequest> for Operation {
    fn from(request: ArangoRequest) -> Self {
        request.operation()
    }
}

impl NativeStatement for ArangoRequest {
    fn store(&self) -> &'static str {
        STORE
    }

    fn name(&self) -> &'static str {
        "request"
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }
}

/// What a path is about, and the collection that it names.
fn route_of(path: &str) -> Result<(RequestOf, Option<Box<str>>)> {
    let wrong = |why: &str| {
        let message = format!(
            "the path `{path}` {why}; a batch takes `/_api/document/…`, `/_api/index…`, `/_api/gharial/GRAPH/vertex/…` and `/_api/gharial/GRAPH/edge/…`"
        );
        Error::new(ErrorKind::InvalidOperation, message)
    };
    if path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || matches!(byte, b'#' | b'\\')) {
        return Err(wrong("has characters that have to be percent-encoded"));
    }
    if path.starts_with("/_db/") {
        return Err(wrong("names a database, and a store has one"));
    }
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let segments: Vec<&str> = route.split('/').skip(1).collect();
    if segments.iter().any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        matches!(&*plain, "." | "..")
    }) {
        return Err(wrong("has a segment that is none"));
    }
    let collection = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        (!text.is_empty()).then(|| text.into_owned().into_boxed_str())
    };
    let parameter = || {
        let named = query.split('&').find_map(|pair| pair.strip_prefix("collection="));
        named.and_then(collection)
    };
    match segments.as_slice() {
        ["_api", "document"] => Ok((RequestOf::Documents, parameter())),
        ["_api", "document", name, ..] => Ok((RequestOf::Documents, collection(name))),
        ["_api", "index"] => Ok((RequestOf::Indexes, parameter())),
        ["_api", "index", name, ..] => Ok((RequestOf::Indexes, collection(name))),
        ["_api", "gharial", _, "vertex" | "edge", name, ..] => {
            Ok((RequestOf::Graph, collection(name)))
        }
        ["_api", "gharial", _, "vertex" | "edge"] => Ok((RequestOf::Graph, None)),
        _ => Err(wrong("is none that a batch takes")),
    }
}

/// A native statement, as this backend knows it.
pub(crate) enum Native<'a> {
    Query(Query<'a>),
    Request(&'a ArangoRequest),
}

/// A query, however it was made.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) text: &'a str,
    pub(crate) writes: &'a [Box<str>],
    pub(crate) options: Option<&'a RawValue>,
}

impl<'a> Native<'a> {
    /// # Errors
    /// For a statement that says it is ArangoDB's, and is of no kind that is known here.
    pub(crate) fn of(statement: &'a Arc<dyn NativeStatement>) -> Result<Self> {
        let any: &dyn Any = &**statement;
        if let Some(json) = any.downcast_ref::<JsonStatement>()
            && json.language() == Language::Aql
        {
            return Ok(Self::Query(Query { text: json.text(), writes: &[], options: None }));
        }
        if let Some(query) = any.downcast_ref::<ArangoQuery>() {
            let options = query.options.as_deref();
            return Ok(Self::Query(Query { text: &query.text, writes: &query.writes, options }));
        }
        if let Some(request) = any.downcast_ref::<ArangoRequest>() {
            return Ok(Self::Request(request));
        }
        let message = "the statement is of no kind that this store knows; use `Operation::aql`, `ArangoQuery` or `ArangoRequest`";
        Err(Error::new(ErrorKind::InvalidOperation, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_what_it_is_about_and_which_collection() {
        for (path, of, collection) in [
            ("/_api/document/students", RequestOf::Documents, Some("students")),
            ("/_api/document/students/Abby?returnNew=true", RequestOf::Documents, Some("students")),
            ("/_api/document?collection=students", RequestOf::Documents, Some("students")),
            ("/_api/index?collection=students&x=1", RequestOf::Indexes, Some("students")),
            ("/_api/gharial/school/vertex/teachers/jon", RequestOf::Graph, Some("teachers")),
            ("/_api/gharial/school/edge/te%20ach", RequestOf::Graph, Some("te ach")),
        ] {
            let (found, named) = route_of(path).unwrap();
            assert_eq!((found, named.as_deref()), (of, collection), "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused_with_those_that_can_be() {
        for path in [
            "/_db/other/_api/document/students",
            "/_api/collection",
            "/_api/document/../collection",
            "/_api/document/%2E%2e/collection",
            "/_api/document/a b",
            "/_api/document/ä",
            "/_api/document/a#b",
            "/_api/gharial/school",
            "_api/document/a",
            "http://elsewhere/_api/document/a",
            "",
        ] {
            let operation = ArangoRequest::get(path).operation();
            let error = operation.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{path}");
            assert!(error.message().contains("/_api/document/…"), "{path}: {error}");
        }
    }

    #[test]
    fn bind_variables_that_are_no_object_are_refused() {
        let query = ArangoQuery::new("RETURN @a");
        assert!(query.bind(&serde_json::json!({"a": 1})).check().is_ok());
        assert!(query.bind(&()).check().is_ok());
        let error = query.bind(&[1]).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOperation);
    }
}
