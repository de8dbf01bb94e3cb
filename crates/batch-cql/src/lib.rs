//! Cassandra and ScyllaDB for unibatch, over the native protocol.
//!
//! [`CqlStore::builder`] connects. A [`CqlStore`] takes every portable operation but reads in a
//! batch, statements of CQL as [`Operation::cql`](batch_core::Operation::cql), and statements with
//! values of your own types as [`CqlStatement`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use batch_core::{BatchExt, BatchOptions, Operation, Store};
//! use batch_cql::CqlStore;
//! use serde_json::json;
//!
//! let store = CqlStore::builder().contact_point("localhost").keyspace("school").connect().await?;
//! let mut batch = store.batch(BatchOptions::new())?;
//! batch.queue(Operation::insert("students").key("id", "Abby").doc(&json!({"age": 20})))?;
//! let report = batch.commit().await?; // `Err` if and only if nothing was sent
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! [`CqlBatch`] has a section for those who come from cqlengine.
//!
//! # Operations
//!
//! A collection is a table of the store's keyspace, or of another one as `keyspace.table`. Names of
//! keyspaces, tables and columns are taken as they are written, capital letters included.
//!
//! | operation | statement |
//! |---|---|
//! | `insert` | `INSERT` of every column `IF NOT EXISTS` |
//! | `put` | `INSERT` of every column; those that the document leaves out have no value afterwards |
//! | `upsert` | `INSERT` of the given columns; the others keep what they have |
//! | `replace` | `UPDATE` of every column `IF EXISTS` |
//! | `update` | `UPDATE` of the given columns `IF EXISTS` |
//! | `delete` | `DELETE` |
//! | `delete_existing` | `DELETE … IF EXISTS` |
//! | `get` | refused: CQL has no reads in batches; [`StoreExt::get`](batch_core::StoreExt::get) reads one row by itself |
//!
//! - A key names all columns of the primary key, in any order:
//!   `.key("class", "7b").key("student", "Abby")`. A bare key stands for a primary key of one
//!   column. A document may repeat its key, and not contradict it, by null neither.
//! - A static column belongs to its partition. So an operation that writes a whole row leaves it as
//!   it is unless it is given, and `upsert` or `put` with the partition key alone write static columns: those that
//!   are given.
//! - Counters take no documents: count by [`Operation::cql`](batch_core::Operation::cql). A table
//!   whose columns all belong to its key takes no `update` and no `replace`: CQL has no `UPDATE`
//!   there.
//! - [`ttl`](batch_core::Operation::ttl) and [`timestamp`](batch_core::Operation::timestamp) are
//!   the statement's `USING`. A condition takes no timestamp, since the server gives it one. A server that
//!   stores as Cassandra 4 did, as 5.0 does unless it is told otherwise, refuses a row that would end after 2038-01-19.
//!   [`if_revision`](batch_core::Operation::if_revision) and
//!   [`returning`](batch_core::Operation::returning) are refused: CQL has neither.
//! - [`Operation::cql`](batch_core::Operation::cql) takes any `INSERT`, `UPDATE` or `DELETE`, with
//!   its values as JSON: an array in the order of the markers, or an object by their names. Reads
//!   and schema changes are refused when they are queued.
//!
//! # Values
//!
//! What a document says is written by the types of its columns, in the forms that the server's own
//! `INSERT … JSON` takes. A read gives forms that can be written again: a number of which JSON's
//! readers would lose digits is a string. Not so what this library does not write: an empty value of a type that has
//! none is shown as `""`, a `varint` or `decimal` of over 8,300 bytes, and what is not laid out as its type, in hex.
//!
//! | type | JSON |
//! |---|---|
//! | `tinyint` to `bigint`, `varint` | an integer, as a number of up to 1e308 or in a string of at most 20,000 digits |
//! | `decimal` | a number, as it is or in a string; its digits are kept, at most 20,000: `1.10` has two places |
//! | `float`, `double` | a number, as it is or in a string; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `boolean` | `true` or `false`, as it is or in a string |
//! | `text`, `ascii` | a string |
//! | `blob` | `"0x00ff"` |
//! | `uuid`, `timeuuid` | `"123e4567-e89b-42d3-a456-426614174000"` |
//! | `inet` | `"192.0.2.1"`, `"2001:db8::1"` |
//! | `timestamp` | milliseconds since 1970, or `"2023-11-14T22:13:20.5Z"`, of which all but the day may be left out; UTC if it has no zone |
//! | `date`, `time` | `"2023-11-14"`, `"22:13:20.123456789"` |
//! | `duration` | `"1y2mo3w4d5h6m7s8ms9us10ns"`, `"P1Y2M3DT4H5M6S"` |
//! | `list`, `set` | an array; a set keeps one of equal elements |
//! | `map` | an object; a key that is no text is written as a string |
//! | tuple, `vector` | an array of exactly as many elements |
//! | user-defined type | an object; missing fields are null |
//!
//! Null means no value, and so does an empty collection that is not frozen. Where `INSERT … JSON`
//! loses data or leaves it to the server what is meant, the value is refused: an empty string for anything but
//! text, a name of a column in capitals that it does not have, a number beyond the range of a `float` or `double`, a day that does not exist,
//! half of a surrogate pair, a name or a short form for `inet`, an attribute that stands twice. Any
//! integer is a `timestamp`; the server refuses those that fit an `int`.
//!
//! A value that does not fit is told before anything of its operation is sent, with table, column,
//! type and value. Under best effort that job alone fails.
//!
//! # Guarantees
//!
//! [`plan`](batch_core::Batch::plan) shows the mechanism of each chunk, its operations, and at most
//! how many bytes the server will count for them.
//!
//! | asked for | mechanism |
//! |---|---|
//! | best effort, in order | `single-partition batch`: up to 500 plain writes and 64 KiB, unlogged; `single statement` for one |
//! | | `unlogged batch`, under best effort: up to ten partitions with fewer than ten writes each, below the size that the server warns of |
//! | | `conditional statement`: the operations on one key, if the first of them is a condition |
//! | | `counter batch`: counter updates of one partition |
//! | | `logged batch`, if that is [forced](batch_core::BatchOptions::batch_type): plain writes of any partitions, of the size that the server takes of several; a larger one by itself |
//! | all or nothing, on one partition | `single-partition batch`, `single statement`; on ScyllaDB of one table, since it writes two tables one after the other |
//! | all or nothing, on several | `logged batch`, of the size that the server takes of several; above it refused |
//! | all or nothing, with conditions | `conditional batch`, on one partition of one table; else refused |
//! | all or nothing, isolated | the same, on one partition of one table; else refused |
//! | all or nothing, statements | on one partition if their markers give its whole key; else as several, also by themselves: `IN`, a range of partitions, a literal; but an `INSERT` or a condition by itself is on one |
//! | all or nothing, counters | refused: they are applied one by one |
//!
//! A forced [`batch_type`](batch_core::BatchOptions::batch_type) `logged` takes plain writes
//! through the batch log under best effort too; `unlogged` refuses an all-or-nothing batch that
//! needs the log; `counter` refuses what does not count.
//!
//! An all-or-nothing batch of which a condition does not hold writes nothing. The job of that
//! condition says so, with the row that stood in the way as the
//! [detail](batch_core::Error::details) `row` of its error; the others are
//! `NotApplied(RolledBack)`. Of several statements with conditions of their own each says that it was
//! one of them: the server does not tell which. It writes such a batch at its own time, so that a
//! timestamp in it is refused. A batch in which an operation makes a later one on its key fail, as a `put` does an
//! `insert`, is refused by the plan, and so are two operations on one key that cannot be made one write, and what is
//! written to a partition that a statement before it deletes: both have one time, and of those a deletion wins. Where a
//! statement deletes a range, a column or what its markers do not tell, the plan warns of that. Under best effort a condition never shares a request with another key.
//!
//! # Order
//!
//! Operations on one key take effect in program order, within a batch and from one batch of a store
//! to the next, whatever this machine's clock says. CQL does not do that by itself: all statements
//! of a batch have one timestamp, and conditions have another clock's. So
//!
//! - all operations of a commit on one key are made one write, and what became of each is derived;
//! - plain writes are stamped with the server's time, as [`CqlStore`] tells;
//! - between a condition and a plain write on one key some milliseconds pass;
//! - what cannot be made one write is sent one after another: operations with a `ttl` or a
//!   `timestamp` of their own, and statements whose markers give the whole key, each column by `=`.
//!
//! A `timestamp` of one's own decides against all that: an operation with one takes effect at that time, and one
//! that is earlier than what is there is applied and not seen, as a deletion at the same time hides a write. What two
//! of them write at one time the server merges: the larger value of each column, and the elements of both lists.
//!
//! Other statements have no key, and no order but under
//! [`Ordered`](batch_core::Guarantee::Ordered): a `DELETE` of a partition may undo what is written to it in the same
//! batch. Neither have counter updates, which commute; deletions
//! of counters are in order with them, as other statements are.
//!
//! Rows of a partition have different keys, and share its static columns: the last operation that
//! sets one wins, whichever row it is about. Of such rows, those that one request does not take are
//! sent one request after another. Statements keep such an order only under
//! [`Ordered`](batch_core::Guarantee::Ordered). What follows a condition on another row that ended
//! as `Unknown` is sent, though that one's static columns may come later.
//!
//! A table that is made again with other types never gets the bytes of the old types: statements
//! are prepared with the types of their markers, so that the server refuses what no longer fits,
//! and they are prepared anew. A [`CqlStatement`] of the former table is refused. The server takes anything for a
//! `blob` and a timestamp for a `bigint`: what is made again as one of these may get the old type's bytes for two
//! seconds. Of a user-defined type
//! statements say no more than its name, so before a commit that writes such a type a node is asked
//! for the version of its schema; what is made again while that commit runs is not noticed. What others add, a
//! column or a type's field, no server refuses: it is known to commits that begin two seconds later,
//! since a node is asked for the version of its schema once a second. Until then a `put` leaves there
//! what a new column has, and a document that names it is refused: commit again.
//!
//! A commit whose future was dropped [goes on by itself](batch_core::OnCancel::Detach), and one that follows it
//! waits for what it has not done yet on the same keys; not where both are plain operations on tables, and the
//! former one's have left with their timestamps, unless some key or static column occurs in it several times.
//!
//! # Answers
//!
//! | what happened | the job ends as | is it sent again? |
//! |---|---|---|
//! | no node can be connected to | `NotApplied` | yes, unless TLS or the login is refused |
//! | the connection broke, or no answer came: the driver does not tell whether the request had left | `Unknown` | if it is idempotent |
//! | `Unavailable`, `Overloaded`, a rate limit, a node that starts | `NotApplied`; `Unknown` where a part may have been written, as of a counter on ScyllaDB, which counts on one replica before it looks for the others | yes; if it is idempotent |
//! | `WriteTimeout` of type `BATCH`, of a logged batch | `Accepted`: the server will write it; `Unknown` if a table's `gc_grace_seconds` are below an hour, since the log is dropped after so long | no; if it is idempotent |
//! | any other `WriteTimeout`, `BATCH_LOG` too; `ReadTimeout` of a condition | `Unknown` | if it is idempotent; after `WriteTimeout` a counter never |
//! | `WriteFailure` | `Unknown` | a batch in halves, if it is idempotent and as long as halves come through |
//! | `ReadFailure`, `ServerError`; an answer that cannot be read | `Unknown` | no |
//! | `Batch too large`, an oversized request or mutation | `NotApplied(TooLarge)` if it cannot be cut smaller | in parts |
//! | the server says that the schema is another one | the table is read and the operation routed anew | yes |
//! | a condition that does not hold | `NotApplied`: `AlreadyExists`, `NotFound`, `ConditionFailed` | no |
//! | no permission; any other refusal | `NotApplied`: `Unauthorized`, `InvalidOperation` | a batch in halves, until those at fault fail alone |
//!
//! `put`, `upsert` and `delete` are idempotent: a write keeps its timestamp in all attempts. Where
//! it sets a whole list that is not frozen, each attempt takes the next timestamp instead, because
//! set twice at one time the list would be doubled. Conditions, counters and statements of your own
//! are not sent again after an answer was lost, unless the operation says that it is
//! [idempotent](batch_core::Operation::idempotent). The driver itself repeats nothing.
//!
//! The driver's error is the error's source. Its numbers are among the
//! [details](batch_core::Error::details): `cql_error`, `write_type`, `consistency`, `received`,
//! `required`, `alive`, `failures`. The server's warnings, and the ids of traces
//! ([`CqlBuilder::tracing`]), are among the report's [warnings](batch_core::Report::warnings).
//!
//! # Limits
//!
//! - Sizes are the server's own, where it tells them: a request has at most 16 MiB on a server that is
//!   not configured otherwise, a logged batch 50 KiB on Cassandra and 256 KiB on ScyllaDB, which does not
//!   tell its own limit: it counts otherwise, and takes up to 1 MiB of its count. A larger request is
//!   never sent: the server would leave others on its connection without an answer. Where frames may be
//!   larger than what the server writes to a partition at once, as on Cassandra 4.0, that is the limit:
//!   small rows are counted as three times what is written then, and a whole batch of many is refused
//!   early. A role that may not read `system_views.settings` gets the limits that the product comes with,
//!   and `unibatch check` says so.
//! - Cassandra 4.0 and 4.1 fail at a part of 32 KiB or more of a composite partition key: that row and those that share
//!   its request end as `Unknown`, and nothing is written.
//! - Bytes are counted as Cassandra 5.0 counts them. Older ones count less, 3.11 and 4.0 a third of it for rows of a few
//!   bytes: there a plan's bytes are an upper bound, and a logged batch is refused that such a server might take.
//! - The server does not count the bytes of partition keys, and neither do plans. A request of rows whose keys have
//!   tens of kilobytes is larger than its plan says, and is cut when it is sent.
//! - Rows that share an `unlogged batch` share its answer: what becomes `Unknown` becomes so for
//!   some ten of them. [`CqlBuilder::batch_across_partitions`] switches such batches off.
//! - On ScyllaDB the driver learns from single statements alone where a tablet is. A batch may take
//!   one hop more there.
//! - The driver reads the schema of all keyspaces, and none of it if one column anywhere has a type that it does
//!   not know, such as `CompositeType`. A store that has a keyspace then connects for that one alone; a store that
//!   is connected goes on with what it knows, and each report says so.
//! - A service that speaks CQL and has no batch log or no conditions is found out by its first
//!   refusal; then they are no longer among the [capabilities](batch_core::Store::capabilities).
//!
//! # What no client can cure
//!
//! - A row that somebody stamped in the future: later writes to it are acknowledged, and not seen.
//! - Plain writes at a consistency that is less than a quorum: a condition looks at a quorum of replicas, which may
//!   not have them yet.
//! - Nodes whose clocks differ by milliseconds: the order of conditions, which a node stamps, and
//!   plain writes rests on these clocks.
//! - A condition that ended as `Unknown`: its request may be on its way still, as to a node that hangs, and is decided
//!   when it arrives. So it may come after what later batches write to its key. Read the row before you write there.
//! - Writers elsewhere, who write between two requests of a commit.
//! - A row that somebody made by `UPDATE`: it has no marker of its own, and is gone once its last
//!   column has no value.
//!
//! # Features
//!
//! | name | enables | brings |
//! |---|---|---|
//! | `tls` | connections over TLS | rustls with AWS-LC, which needs a C compiler to build |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod batch;
mod builder;
mod cluster;
mod decode;
mod encode;
mod errors;
#[cfg(test)]
mod on_server;
mod plan;
mod read;
mod row;
mod schema;
mod send;
mod statement;
mod store;
mod wire;

pub use batch::CqlBatch;
pub use builder::{CqlBuilder, Translate};
#[cfg(feature = "tls")]
pub use rustls;
pub use scylla::{
    client::{Compression, session::Session},
    statement::{Consistency, SerialConsistency},
};
pub use statement::CqlStatement;
pub use store::CqlStore;
