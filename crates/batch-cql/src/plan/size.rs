//! How many bytes the server counts for a write. It warns of batches over several partitions, and
//! refuses them, by these and not by the bytes that were sent.

use scylla::{
    cluster::metadata::{CollectionType, ColumnType, NativeType},
    frame::response::result::ColumnSpec,
};

use crate::{
    row::{CellRef, Row},
    schema::table::Table,
    wire::{self, Fields},
};

/// What a partition counts before any row of it: its deletion, and a static row that may be empty.
pub(crate) const PER_PARTITION: u32 = 29;
/// What a row counts beside its clustering columns: its own times.
const PER_ROW: usize = 21;
/// What a row counts besides if it expires.
const PER_TTL: usize = 12;
/// What a cell counts beside its value: its times.
const PER_CELL: usize = 20;
/// What a column of several cells counts for the deletion of those that it had.
const PER_COLUMN: usize = 12;
/// A time UUID before each element of a list.
const LIST_PATH: usize = 16;
/// What a counter's cell counts: its value is kept together with who gave it.
const PER_COUNTER: usize = PER_CELL + 32;
/// The field's number before each field of a type that is not frozen.
const FIELD_PATH: usize = 2;

/// The bytes of writing a row in a partition of its own.
pub(crate) fn row_size(table: &Table, row: &Row, ttl: bool) -> usize {
    let mut size = PER_PARTITION as usize;
    // Static columns alone make no row.
    if table.has_row(row) {
        size += PER_ROW + clustering_size(table, row) + if ttl { PER_TTL } else { 0 };
    }
    let columns = table.columns.iter().enumerate().skip(table.key);
    size + columns.map(|(place, column)| cell_size(&column.typ, row.cell(place))).sum::<usize>()
}

/// The bytes of deleting a row, or a partition, in a partition of its own.
pub(crate) fn delete_size(table: &Table, row: &Row) -> usize {
    let is_row = table.key > table.partition && !row.is_unset(table.key - 1);
    let row = if is_row { PER_ROW + clustering_size(table, row) } else { 0 };
    PER_PARTITION as usize + row
}

fn clustering_size(table: &Table, row: &Row) -> usize {
    (table.partition..table.key).map(|place| length(row.cell(place))).sum()
}

fn length(cell: CellRef<'_>) -> usize {
    match cell {
        CellRef::Value(bytes) => bytes.len(),
        CellRef::Unset | CellRef::Null => 0,
    }
}

#[inline]
fn cell_size(typ: &ColumnType<'_>, cell: CellRef<'_>) -> usize {
    let value = match cell {
        CellRef::Unset => return 0,
        CellRef::Null => &[],
        CellRef::Value(bytes) => bytes,
    };
    match typ {
        ColumnType::Native(_) => PER_CELL + value.len(),
        typ => composite_size(typ, value),
    }
}

fn composite_size(typ: &ColumnType<'_>, value: &[u8]) -> usize {
    match typ {
        ColumnType::Collection { frozen: false, typ } => {
            let lengths = || wire::elements(value).map(<[u8]>::len);
            PER_COLUMN
                + match typ {
                    CollectionType::List(_) => {
                        lengths().map(|length| PER_CELL + LIST_PATH + length).sum::<usize>()
                    }
                    // Half of them are keys, which are paths.
                    CollectionType::Map(..) => lengths().map(|length| PER_CELL / 2 + length).sum(),
                    _ => lengths().map(|length| PER_CELL + length).sum(),
                }
        }
        ColumnType::UserDefinedType { frozen: false, .. } => {
            let fields = Fields(value).flatten();
            PER_COLUMN + fields.map(|field| PER_CELL + FIELD_PATH + field.len()).sum::<usize>()
        }
        _ => PER_CELL + value.len(),
    }
}

/// An upper bound of the bytes of a statement that has all its values in markers, from those
/// values, each behind its length. `partition` are the places of the partition key's markers, which the server does
/// not count. Of another one it is not known whether it is for a key, and whether its type is frozen.
pub(crate) fn native_size(markers: &[ColumnSpec<'_>], partition: &[u16], cells: &[u8]) -> usize {
    let sizes = (0..=u16::MAX).zip(markers).zip(Fields(cells)).map(|((place, marker), value)| {
        if partition.contains(&place) {
            return 0;
        }
        let value = value.unwrap_or_default();
        match marker.typ() {
            ColumnType::Native(NativeType::Counter) => PER_COUNTER,
            ColumnType::Native(_) => PER_CELL + value.len(),
            typ => cell_size(typ, CellRef::Value(value)).max(PER_CELL + value.len()),
        }
    });
    PER_PARTITION as usize + PER_ROW + PER_TTL + sizes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use scylla::{
        client::session::Session,
        response::query_result::QueryResult,
        statement::{
            batch::{Batch, BatchType},
            prepared::PreparedStatement,
        },
    };

    use super::*;
    use crate::{
        encode,
        on_server::{self, Cells, Values, is_static},
    };

    const KEYSPACE: &str = "sizes";

    /// Writes rows, each in a partition of its own, in one batch; gives the size in the server's warning.
    async fn warned(
        session: &Session,
        statement: &PreparedStatement,
        table: &Table,
        rows: &[Row],
    ) -> Option<usize> {
        let mut batch = Batch::new(BatchType::Unlogged);
        rows.iter().for_each(|_| batch.append_statement(statement.clone()));
        let cells: Vec<Cells<'_>> = rows.iter().map(|row| Cells(table, row)).collect();
        warned_size(&session.batch(&batch, &cells).await.unwrap())
    }

    fn warned_size(result: &QueryResult) -> Option<usize> {
        let size = result.warnings().find_map(|warning| warning.split_once("is of size "));
        size.and_then(|(_, size)| size.split_once(',')).map(|(size, _)| size.parse().unwrap())
    }

    /// A statement, and how the bytes of its rows are counted.
    struct Write {
        text: String,
        size: fn(&Table, &Row) -> usize,
        key: &'static [(&'static str, &'static str)],
        documents: Vec<&'static str>,
    }

    const ROW: &[(&str, &str)] = &[("c", "clustering"), ("e", "5")];

    const COLUMNS: &str = "p int, a text, b int, d decimal, l list<text>, s set<text>, \
        m map<int, text>, fl frozen<list<text>>, u sizes.person, fu frozen<sizes.person>, \
        t tuple<int, text>, v vector<float, 3>, du duration, i inet, bl blob, bo boolean";

    const DOCUMENTS: &[&str] = &[
        r#"{"a":"some text"}"#,
        r#"{"a":""}"#,
        r#"{"a":null}"#,
        r#"{"b":null,"a":"x"}"#,
        r#"{"d":"123456789.12345"}"#,
        r#"{"l":["a","bcd",""]}"#,
        r#"{"l":[]}"#,
        r#"{"l":null}"#,
        r#"{"s":["a","bcd","a"]}"#,
        r#"{"s":null}"#,
        r#"{"m":{"1":"abc","2":""}}"#,
        r#"{"m":null}"#,
        r#"{"fl":["a","bcd"]}"#,
        r#"{"fl":[]}"#,
        r#"{"fl":null}"#,
        r#"{"u":{"name":"Abby","age":1}}"#,
        r#"{"u":{"name":"Abby"}}"#,
        r#"{"u":{}}"#,
        r#"{"u":null}"#,
        r#"{"fu":{"name":"Abby"}}"#,
        r#"{"t":[1,"a"]}"#,
        r#"{"v":[1,2,3]}"#,
        r#"{"du":"1h","i":"::1","bl":"0x0102","bo":true}"#,
        r#"{"a":"x","b":1,"l":["y"],"s":["z"],"m":{"1":"w"},"u":{"age":2}}"#,
    ];

    const STATIC: &[&str] =
        &[r#"{"st":"static text"}"#, r#"{"st":null}"#, r#"{"sl":[1,2]}"#, r#"{"sl":null}"#];

    fn writes(table: &Table) -> Vec<Write> {
        let all = on_server::insert(table, |_| true);
        let name = format!("{KEYSPACE}.{}", table.name);
        let set = on_server::names(table, |column| {
            table.place(&column.name).is_some_and(|place| place >= table.key)
        });
        let set: Vec<String> = set.iter().map(|name| format!("{name} = ?")).collect();
        let has_rows = table.key > table.partition;
        let (key, by_key) = match has_rows {
            true => (ROW, "p = ? AND c = ? AND e = ?"),
            false => (&[][..], "p = ?"),
        };
        // An `INSERT` without columns still makes a row.
        let mut inserted = vec!["{}"];
        inserted.extend(DOCUMENTS);
        if has_rows {
            inserted.extend(STATIC);
            inserted.push(r#"{"st":"x","sl":[1],"a":"y"}"#);
        }
        let update = format!("UPDATE {name} SET {} WHERE {by_key}", set.join(", "));
        let mut writes = vec![
            Write {
                text: format!("{all} USING TTL 1000"),
                size: |t, r| row_size(t, r, true),
                key,
                documents: inserted.clone(),
            },
            Write { text: all, size: |t, r| row_size(t, r, false), key, documents: inserted },
            Write {
                text: update,
                size: |t, r| row_size(t, r, false),
                key,
                documents: DOCUMENTS.to_vec(),
            },
            Write {
                text: format!("DELETE FROM {name} WHERE {by_key}"),
                size: delete_size,
                key,
                documents: vec!["{}"],
            },
        ];
        if has_rows {
            let text = on_server::insert(table, is_static);
            writes.push(Write {
                text,
                size: |t, r| row_size(t, r, false),
                key: &[],
                documents: STATIC.to_vec(),
            });
            let text = format!("DELETE FROM {name} WHERE p = ?");
            writes.push(Write { text, size: delete_size, key: &[], documents: vec!["{}"] });
        }
        writes
    }

    fn row(table: &Table, partition: i32, key: &[(&str, &str)], document: &str) -> Row {
        let mut row = Row::default();
        row.clear(table.columns.len());
        let start = batch_core::Key::new().part("p", partition);
        let key = key.iter().fold(start, |key, (name, value)| key.part(name, *value));
        encode::key(table, key.as_ref(), &mut row).unwrap();
        encode::document(table, document.as_bytes(), &mut row).unwrap();
        row
    }

    #[tokio::test]
    #[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
    async fn the_bytes_are_those_of_the_servers_warning() {
        let session = on_server::session(KEYSPACE).await;
        for create in [
            "TYPE sizes.person (name text, age int)".to_owned(),
            format!("TABLE sizes.plain ({COLUMNS}, PRIMARY KEY (p))"),
            format!(
                "TABLE sizes.rows ({COLUMNS}, c text, e int, st text static, sl list<int> static, PRIMARY KEY (p, c, e))"
            ),
        ] {
            on_server::run(&session, &format!("CREATE {create}")).await;
        }
        let mut wrong = Vec::new();
        for table in ["plain", "rows"].map(|name| on_server::table(&session, KEYSPACE, name)) {
            for Write { text, size, key, documents } in writes(&table) {
                let statement = session.prepare(text.as_str()).await.unwrap();
                for document in documents {
                    let size = size(&table, &row(&table, 0, key, document));
                    let rows: Vec<Row> = (0..)
                        .take(5_120 / size + 1)
                        .map(|p| row(&table, p, key, document))
                        .collect();
                    let counted = warned(&session, &statement, &table, &rows).await;
                    if counted != Some(size * rows.len()) {
                        wrong.push(format!(
                            "{} times {size} is not {counted:?}: {document} by {text}",
                            rows.len()
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[tokio::test]
    #[ignore = "needs a server; UNIBATCH_CQL_URL=cql://host:port says where it is"]
    async fn a_statement_of_its_own_counts_no_more_than_its_bound() {
        let session = on_server::session("bounds").await;
        for create in [
            "t (p int, c text, n int, l list<int>, f frozen<list<int>>, m map<text, int>, PRIMARY KEY (p, c))",
            "n (p int, c text, n counter, PRIMARY KEY (p, c))",
        ] {
            on_server::run(&session, &format!("CREATE TABLE bounds.{create}")).await;
        }
        for (kind, text, values) in [
            (
                BatchType::Unlogged,
                "INSERT INTO bounds.t (p, c, n, l, f, m) VALUES (?, ?, ?, ?, ?, ?)",
                ["?", r#""x""#, "1", "[1,2,3]", "[1,2,3]", r#"{"a":1,"b":2}"#].as_slice(),
            ),
            (
                BatchType::Unlogged,
                "INSERT INTO bounds.t (p, c, f) VALUES (?, ?, ?) USING TTL 1000",
                &["?", r#""x""#, "[]"],
            ),
            (BatchType::Unlogged, "DELETE FROM bounds.t WHERE p = ? AND c = ?", &["?", r#""x""#]),
            (
                BatchType::Counter,
                "UPDATE bounds.n SET n += ? WHERE p = ? AND c = ?",
                &["1", "?", r#""x""#],
            ),
        ] {
            let statement = session.prepare(text).await.unwrap();
            let markers = statement.get_variable_col_specs();
            let row = |p: i32| {
                let mut cells = Values::default();
                for (marker, value) in markers.iter().zip(values) {
                    let value = value.replace('?', &p.to_string());
                    cells.push(|out| encode::value(marker.typ(), &value, out).unwrap());
                }
                cells
            };
            let bound = native_size(markers.as_slice(), &[], &row(0).0);
            let count = 40_000 / bound;
            let mut batch = Batch::new(kind);
            (0..count).for_each(|_| batch.append_statement(statement.clone()));
            let rows: Vec<Values> = (0..).take(count).map(row).collect();
            let result = session.batch(&batch, &rows).await.unwrap();
            let size = warned_size(&result).unwrap();
            assert!(size <= bound * count, "{text}: {count} times {bound} is less than {size}");
            assert!(size * 3 > bound * count, "{text}: {count} times {bound} is far over {size}");
        }
    }
}
