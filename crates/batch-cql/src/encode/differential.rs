//! What `INSERT INTO … JSON` stores and what this encoder stores are the same bytes, and both
//! refuse the same values, but for the exceptions that are listed. On a real server.

mod exceptions;

use std::env;

use futures_util::{StreamExt as _, stream};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use scylla::{
    client::session::Session,
    cluster::metadata::ColumnType,
    deserialize::{
        FrameSlice,
        value::DeserializeValue,
        {DeserializationError, TypeCheckError},
    },
    errors::ExecutionError,
    statement::prepared::PreparedStatement,
};

use self::exceptions::{EXCEPTIONS, Exception, Shows, has_exception};
use crate::{
    decode,
    encode::{self, arbitrary::json_of},
    on_server,
    row::Row,
    schema::{table::Table, type_name::TypeName},
};

/// The types of the columns `c0`, `c1` and so on.
const TYPES: &[&str] = &[
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "date",
    "decimal",
    "double",
    "duration",
    "float",
    "inet",
    "int",
    "smallint",
    "text",
    "time",
    "timestamp",
    "timeuuid",
    "tinyint",
    "uuid",
    "varint",
    "list<int>",
    "list<text>",
    "list<frozen<list<double>>>",
    "list<duration>",
    "set<int>",
    "set<text>",
    "set<uuid>",
    "set<timeuuid>",
    "set<double>",
    "set<inet>",
    "set<varint>",
    "set<decimal>",
    "set<boolean>",
    "set<smallint>",
    "set<timestamp>",
    "map<text, int>",
    "map<int, text>",
    "map<uuid, frozen<set<int>>>",
    "map<boolean, blob>",
    "map<frozen<tuple<int, text>>, double>",
    "map<frozen<list<int>>, float>",
    "map<timestamp, date>",
    "frozen<list<int>>",
    "frozen<set<bigint>>",
    "frozen<map<text, frozen<list<int>>>>",
    "tuple<int, text, double>",
    "tuple<frozen<set<int>>, frozen<map<text, int>>>",
    "tuple<frozen<set<decimal>>, frozen<set<varint>>>",
    "tuple<frozen<set<uuid>>, frozen<set<timeuuid>>, frozen<set<double>>, frozen<set<float>>>",
    "tuple<frozen<set<tinyint>>, frozen<set<date>>, frozen<set<time>>, frozen<set<ascii>>, frozen<set<blob>>>",
    "tuple<frozen<set<frozen<tuple<int, text>>>>, frozen<set<frozen<list<int>>>>, frozen<set<frozen<map<int, int>>>>>",
    "tuple<frozen<set<frozen<person>>>, frozen<set<frozen<set<int>>>>>",
    "tuple<frozen<set<frozen<vector<int, 2>>>>, frozen<set<frozen<vector<text, 2>>>>, frozen<set<frozen<vector<float, 2>>>>>",
    "person",
    "frozen<person>",
    "list<frozen<person>>",
    "frozen<outer>",
    "vector<float, 3>",
    "vector<text, 2>",
    "vector<int, 2>",
    "vector<smallint, 2>",
    "vector<frozen<set<int>>, 2>",
    "vector<frozen<vector<double, 2>>, 2>",
    "vector<frozen<tuple<int, text>>, 1>",
    "vector<boolean, 2>",
    "vector<time, 1>",
    "vector<uuid, 1>",
    "vector<decimal, 1>",
    "vector<duration, 1>",
];

/// The bytes of a value as they are stored.
#[derive(Debug, PartialEq)]
struct Stored(Option<Vec<u8>>);

impl<'frame, 'metadata> DeserializeValue<'frame, 'metadata> for Stored {
    fn type_check(_: &ColumnType<'_>) -> Result<(), TypeCheckError> {
        Ok(())
    }

    fn deserialize(
        _: &'metadata ColumnType<'metadata>,
        value: Option<FrameSlice<'frame>>,
    ) -> Result<Self, DeserializationError> {
        Ok(Self(value.map(|value| value.as_slice().to_vec())))
    }
}

struct Server {
    session: Session,
    table: Table,
    as_json: PreparedStatement,
    as_cells: PreparedStatement,
    read: Vec<PreparedStatement>,
}

impl Server {
    async fn connect(keyspace: &str) -> Self {
        let session = on_server::session(keyspace).await;
        let columns: Vec<String> = TYPES
            .iter()
            .enumerate()
            .map(|(n, typ)| {
                let typ = typ
                    .replace("person", &format!("{keyspace}.person"))
                    .replace("outer", &format!("{keyspace}.outer"));
                format!("c{n} {typ}")
            })
            .collect();
        let columns = columns.join(", ");
        for statement in [
            format!("TYPE {keyspace}.person (name text, age int, tags frozen<set<int>>)"),
            format!(
                "TYPE {keyspace}.outer (one frozen<person>, many frozen<map<int, frozen<person>>>, \"Two\" double)"
            ),
            format!("TABLE {keyspace}.t (id bigint PRIMARY KEY, {columns})"),
        ] {
            on_server::run(&session, &format!("CREATE {statement}")).await;
        }
        let table = on_server::table(&session, keyspace, "t");
        let prepare = async |text: String| session.prepare(text).await.unwrap();
        let as_json = prepare(format!("INSERT INTO {keyspace}.t JSON ? DEFAULT UNSET")).await;
        let as_cells = prepare(on_server::insert(&table, |_| true)).await;
        let mut read = Vec::new();
        for n in 0..TYPES.len() {
            read.push(prepare(format!("SELECT c{n} FROM {keyspace}.t WHERE id = ?")).await);
        }
        Self { session, table, as_json, as_cells, read }
    }

    fn typ(&self, column: usize) -> &ColumnType<'static> {
        let place = self.table.place(&format!("c{column}")).unwrap();
        &self.table.columns[place].typ
    }

    async fn stored(&self, column: usize, id: i64) -> Option<Stored> {
        let rows = self.session.execute_unpaged(&self.read[column], (id,)).await.unwrap();
        let rows = rows.into_rows_result().unwrap();
        rows.maybe_first_row::<(Stored,)>().unwrap().map(|(stored,)| stored)
    }

    async fn insert_json(&self, column: usize, json: &str, id: i64) -> Result<(), ExecutionError> {
        let row = format!("{{\"id\":{id},\"c{column}\":{json}}}");
        self.session.execute_unpaged(&self.as_json, (row,)).await.map(drop)
    }

    async fn insert_cells(&self, column: usize, json: &str, id: i64) -> batch_core::Result<()> {
        let mut row = Row::default();
        row.clear(self.table.columns.len());
        let key = batch_core::Key::new().part("id", id);
        encode::key(&self.table, key.as_ref(), &mut row)?;
        let document = format!("{{\"c{column}\":{json}}}");
        encode::document(&self.table, document.as_bytes(), &mut row)?;
        let cells = on_server::Cells(&self.table, &row);
        let written = self.session.execute_unpaged(&self.as_cells, cells).await;
        assert!(written.is_ok(), "the server does not take our bytes of {json}: {written:?}");
        Ok(())
    }

    /// Writes a value both ways; says what is wrong if the ways differ and may not.
    async fn compare(&self, column: usize, json: &str, id: i64) -> Result<bool, String> {
        let typ = self.typ(column);
        let by_server = self.insert_json(column, json, id).await;
        let by_us = self.insert_cells(column, json, id + 1).await;
        let is = |shows| has_exception(shows, typ, json);
        let say = |what: &str| format!("{} {json}: {what}", TypeName(typ));
        match (by_server, by_us) {
            (Err(_), Err(_)) => Ok(false),
            (Err(_), Ok(())) if is(Shows::Taken) => Ok(true),
            (Err(error), Ok(())) => Err(say(&format!("only the server refuses it: {error}"))),
            (Ok(_), Err(_)) if is(Shows::Refused) => Ok(true),
            (Ok(_), Err(error)) => Err(say(&format!("only we refuse it: {error}"))),
            (Ok(_), Ok(())) => {
                let server = self.stored(column, id).await;
                let ours = self.stored(column, id + 1).await;
                if server != ours && !is(Shows::Otherwise) {
                    return Err(say(&format!(
                        "stored as {server:02x?} by the server, {ours:02x?} by us"
                    )));
                }
                // What is shown of it, the server takes back.
                if let Some(Stored(Some(bytes))) = &ours {
                    let shown = decode::value(typ, bytes).to_string();
                    let taken = self.insert_json(column, &shown, id).await;
                    let again = self.stored(column, id).await;
                    // It wants names with capital letters in quotes, which nobody else does.
                    let is_exception =
                        has_exception(Shows::Otherwise, typ, &shown) || shown.contains("\"Two\"");
                    if (taken.is_err() || again != ours) && !is_exception {
                        return Err(say(&format!("shown as {shown}, which is not the same")));
                    }
                }
                Ok(true)
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn what_insert_json_stores_is_what_is_stored() {
    let server = Server::connect("encoding").await;
    let rounds: usize = env::var("UNIBATCH_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let strategies: Vec<_> = (0..TYPES.len()).map(|n| json_of(server.typ(n))).collect();
    let mut runner = TestRunner::default();
    let mut cases = Vec::new();
    for round in 0..rounds {
        for (column, strategy) in strategies.iter().enumerate() {
            let json = strategy.new_tree(&mut runner).unwrap().current();
            let id = i64::try_from((round * strategies.len() + column) * 2).unwrap();
            cases.push((column, json, id));
        }
    }
    let results: Vec<_> = stream::iter(&cases)
        .map(|(column, json, id)| server.compare(*column, json, *id))
        .buffer_unordered(32)
        .collect()
        .await;
    let taken = results.iter().filter(|result| matches!(result, Ok(true))).count();
    let mut wrong: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    wrong.sort_unstable();
    let listed: String = wrong.iter().take(60).map(|wrong| format!("{wrong}\n")).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{listed}", wrong.len(), cases.len());
    // Else the generated values would say little.
    assert!(taken * 2 > cases.len(), "only {taken} of {} were taken", cases.len());
}

#[tokio::test]
#[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
async fn the_exceptions_are_what_they_are_said_to_be() {
    let server = Server::connect("exceptions").await;
    let equal_keys = Exception {
        shows: Shows::Refused,
        reason: "where a key stands twice, in two forms, the server keeps one of the two values",
        examples: &[("map<int, text>", r#"{"1":"a","01":"b"}"#)],
        applies: |_, _| true,
    };
    for (number, exception) in EXCEPTIONS.iter().chain([&equal_keys]).enumerate() {
        let Exception { shows, reason, examples, .. } = exception;
        for (typ, json) in *examples {
            let column = TYPES.iter().position(|known| known == typ).unwrap();
            assert!(has_exception(*shows, server.typ(column), json), "{typ} {json}: {reason}");
            let id = i64::try_from(number).unwrap() * 2;
            let by_server = server.insert_json(column, json, id).await.is_ok();
            let by_us = server.insert_cells(column, json, id + 1).await.is_ok();
            let seen = match (by_server, by_us) {
                (true, false) => Some(Shows::Refused),
                (false, true) => Some(Shows::Taken),
                (true, true)
                    if server.stored(column, id).await != server.stored(column, id + 1).await =>
                {
                    Some(Shows::Otherwise)
                }
                _ => None,
            };
            assert_eq!(seen, Some(*shows), "{typ} {json}: {reason}");
        }
    }
}
