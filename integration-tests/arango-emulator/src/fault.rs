//! Faults: what goes wrong with a request, and with which.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::log::Seen;

/// What goes wrong with one request.
///
/// Over HTTP it is an object whose `kind` is the name in small letters with hyphens, such as
/// `{"kind": "cut-body", "after": 100}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The connection is reset, and nothing is executed.
    ResetBefore,
    /// The request is executed, and then the connection is reset.
    ResetAfter,
    /// The connection is closed without an answer, and nothing is executed.
    CloseBefore,
    /// The request is executed, and then the connection is closed without an answer.
    CloseAfter,
    /// Of a batch, the parts before `part`, counted from one, are executed, and that one too if
    /// `executed`; then the connection is reset.
    ResetAtPart {
        /// Which part, counted from one.
        part: usize,
        /// Whether it is executed.
        executed: bool,
    },
    /// The answer is cut within its head, and the connection closed. On HTTP/2 the connection's frames
    /// are cut.
    CutHead {
        /// Bytes that go out.
        after: usize,
    },
    /// The answer is cut within its body, and the connection closed; on HTTP/2 the stream is reset.
    CutBody {
        /// Bytes of the body that go out.
        after: usize,
    },
    /// Nothing is executed, and no answer comes.
    StallBefore,
    /// The request is executed, and no answer comes.
    StallAfter,
    /// The request is executed, and its answer comes when [`Emulator::release`](crate::Emulator::release)
    /// says so.
    Hold,
    /// So much of the body comes, and then nothing more; the connection stays.
    StallBody {
        /// Bytes of the body that go out.
        after: usize,
    },
    /// The answer comes byte by byte.
    Drip,
    /// The request is executed, and what comes is no HTTP.
    Garbage,
    /// A proxy answers in HTML.
    Proxy {
        /// 502 and the like.
        status: u16,
        /// Whether the server behind it got the request and executed it.
        executed: bool,
    },
    /// The server refuses, and nothing is executed.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// `errorNum`
        number: u32,
        /// `errorMessage`
        #[serde(default)]
        message: String,
        /// Seconds, as the header `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// The same, but the request was executed.
    RefuseAfter {
        /// The HTTP status.
        status: u16,
        /// `errorNum`
        number: u32,
        /// `errorMessage`
        #[serde(default)]
        message: String,
    },
    /// 401, as with a wrong password or a token that ended. Nothing is executed.
    Unauthorized,
    /// Another address is named, and nothing is executed.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// The header `Location`; the request's own target if it is empty.
        #[serde(default)]
        location: String,
    },
    /// Of a batch, there is no room in the queue for this part: those before it are executed, and the
    /// whole answer is 503 with error 21003.
    QueueFullAtPart {
        /// Which part, counted from one.
        part: usize,
    },
    /// The answer says that the connection ends behind it, and it does; on HTTP/2 a GOAWAY says so.
    CloseBehind,
    /// The connection ends behind the answer, which does not say so.
    CloseBehindSilently,
    /// On HTTP/2 the stream is refused before it is executed; on HTTP/1.1 the connection is closed.
    RefuseStream,
    /// On HTTP/2 the stream is reset without an answer, and the others go on; on HTTP/1.1 the connection
    /// is closed.
    ResetStream {
        /// Whether the request is executed before.
        executed: bool,
    },
    /// The request is executed, and its answer changed.
    Edit {
        /// How.
        edit: Edit,
    },
}

/// How an answer is changed. Parts and elements are counted from zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Edit {
    /// Another status.
    Status {
        /// Which.
        status: u16,
    },
    /// A header with another value, or without one gone.
    Header {
        /// The name in small letters.
        name: String,
        /// The value.
        value: Option<String>,
    },
    /// Another body.
    Body {
        /// Which.
        text: String,
    },
    /// The body's delimiters are not those that the request announced.
    OtherBoundary,
    /// The last delimiter is missing.
    WithoutEnd,
    /// The parts come in another order: the last one first.
    PartsReversed,
    /// A part comes twice.
    PartTwice {
        /// Which.
        part: usize,
    },
    /// A part is missing.
    PartMissing {
        /// Which.
        part: usize,
    },
    /// There is one part more, with a `Content-Id` that nobody sent.
    PartMore,
    /// Parts have no `Content-Id`.
    WithoutIds,
    /// One part has no `Content-Id`.
    WithoutId {
        /// Which.
        part: usize,
    },
    /// Parts have no `Content-Length`.
    WithoutLengths,
    /// A part's `Content-Length` is wrong by so much.
    LengthOff {
        /// Which.
        part: usize,
        /// Bytes more, or less.
        by: i64,
    },
    /// A part's status line is not one.
    BadStatusLine {
        /// Which.
        part: usize,
    },
    /// A part's body is no JSON.
    BadJson {
        /// Which.
        part: usize,
    },
    /// Lines end with LF alone, outside of bodies.
    LinesWithLf,
    /// Names of headers within the body are in small letters.
    SmallHeaders,
    /// Names of headers within the body are in capitals.
    LargeHeaders,
    /// Empty lines before the first delimiter and behind each part.
    BlankLines,
    /// The headers within each part come in another order.
    HeadersReversed,
    /// An element of an array is missing.
    ElementMissing {
        /// Which.
        element: usize,
    },
    /// There is one element more in an array: the last one again.
    ElementMore,
    /// The elements of an array come in another order: the last one first.
    ElementsReversed,
}

/// Which requests have a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The method, in capitals.
    pub method: Option<String>,
    /// What the target holds, path or query.
    pub path: Option<String>,
    /// What the body holds.
    pub body: Option<String>,
    /// `HTTP/1.1` or `HTTP/2.0`
    pub protocol: Option<String>,
    /// So many of those that match go well before.
    pub skip: u32,
}

/// A fault, for requests that match, so many times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a rule does nothing until it is given to an emulator"]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// With which requests.
    #[serde(default)]
    pub when: When,
    /// How often; 0 is always.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Rule {
    /// With the next request, once.
    pub fn new(fault: Fault) -> Self {
        Self { fault, when: When::default(), times: 1 }
    }

    /// With requests of this method alone.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.when.method = Some(method.into());
        self
    }

    /// With requests whose path or query holds `part`.
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.when.path = Some(part.into());
        self
    }

    /// With requests whose body holds `part`.
    pub fn body(mut self, part: impl Into<String>) -> Self {
        self.when.body = Some(part.into());
        self
    }

    /// With the n-th of those that match, counted from one, and what comes then.
    pub fn nth(mut self, number: u32) -> Self {
        self.when.skip = number.saturating_sub(1);
        self
    }

    /// So many times; 0 is always.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// A rule that an emulator has: whether its fault has happened.
#[derive(Clone, Debug)]
pub struct Armed {
    fired: Arc<AtomicU32>,
}

impl Armed {
    /// How often the fault has happened.
    #[must_use]
    pub fn fired(&self) -> u32 {
        self.fired.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    passed: u32,
    fired: Arc<AtomicU32>,
}

/// The rules of an emulator, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Active>>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Active>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, rule: Rule) -> Armed {
        let fired = Arc::new(AtomicU32::new(0));
        self.lock().push(Active { rule, passed: 0, fired: Arc::clone(&fired) });
        Armed { fired }
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The rules, and how often the fault of each has happened.
    pub(crate) fn all(&self) -> Vec<(Rule, u32)> {
        let shown = |active: &Active| (active.rule.clone(), active.fired.load(Ordering::Acquire));
        self.lock().iter().map(shown).collect()
    }

    /// The fault of a request, of the first rule that has one for it.
    pub(crate) fn strike(&self, seen: &Seen) -> Option<Fault> {
        for active in self.lock().iter_mut() {
            let done = active.fired.load(Ordering::Acquire);
            if (active.rule.times > 0 && done >= active.rule.times) || !active.rule.when.is(seen) {
                continue;
            }
            if active.passed < active.rule.when.skip {
                active.passed += 1;
                continue;
            }
            active.fired.fetch_add(1, Ordering::AcqRel);
            return Some(active.rule.fault.clone());
        }
        None
    }
}

impl When {
    fn is(&self, seen: &Seen) -> bool {
        self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&seen.method))
            && self.path.as_ref().is_none_or(|part| seen.target.contains(part))
            && self.protocol.as_ref().is_none_or(|protocol| *protocol == seen.protocol)
            && self
                .body
                .as_ref()
                .is_none_or(|part| memchr::memmem::find(&seen.body, part.as_bytes()).is_some())
    }
}
