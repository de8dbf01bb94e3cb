//! Rows of a partition that takes many chunks: those that the server keeps beside one another
//! travel together, whatever their key is made of and in whichever form they come.

use std::{collections::HashMap, sync::Arc, time::Duration};

use batch_core::{BatchOptions, Guarantee, Key, OnError, Operation, Plan};
use integration_tests::Result;
use serde_json::{Value, json};

use crate::support::{Place, World, Wrongs, commit, same, tests};

tests!["large_partitions":
    rows_travel_with_those_beside_them,
    rows_that_come_in_the_servers_order_stay_in_it,
    rows_of_several_tables_travel_apart,
    rows_of_an_ordered_batch_travel_in_their_order,
];

const ROWS: u32 = 3000;

/// The numbers below [`ROWS`] in an order without neighbours.
fn shuffled() -> impl Iterator<Item = u32> {
    (0..ROWS).map(|place| place * 1009 % ROWS)
}

/// Definitions of clustering columns, and the key and columns of the row with a number.
type Clustering = (&'static str, &'static str, fn(u32) -> Vec<(&'static str, Value)>);

const CLUSTERINGS: [Clustering; 6] = [
    ("c int", "c", |n| vec![("c", json!(i64::from(n) - 1500))]),
    ("c double", "c", |n| vec![("c", json!(f64::from(n) / 7.0 - 100.0))]),
    ("c text", "c", |n| vec![("c", json!(format!("sensor-{n:06}")))]),
    ("day date, at timestamp", "day, at", |n| {
        let (day, at) = (n / 1000 + 1, 1_700_000_000_000 + i64::from(n));
        vec![("day", json!(format!("2026-01-0{day}"))), ("at", json!(at))]
    }),
    ("kind text, c bigint", "kind, c", |n| {
        vec![("kind", json!(["in", "out"].get(n as usize % 2))), ("c", json!(n))]
    }),
    ("kind text, c timeuuid", "kind, c", |n| {
        let c = format!("{:08x}-0000-1000-8000-000000000000", n * 16);
        vec![("kind", json!(if n % 3 == 0 { "heat" } else { "light" })), ("c", json!(c))]
    }),
];

/// Texts that are told in part, before another column: of those the queue's order stays.
const LONG_TEXTS: Clustering = ("sensor text, at int", "sensor, at", |n| {
    let sensor = format!("https://sensors.example/{:06}", n / 3);
    vec![("sensor", json!(sensor)), ("at", json!(n % 3))]
});

/// The row with a number, as one of the forms that write it.
fn write(form: &str, columns: &[(&str, Value)], id: u32) -> Result<Operation> {
    let mut key = Key::new().part("p", "p");
    for (name, value) in columns {
        key = match value {
            Value::String(text) => key.part(name, text.as_str()),
            Value::Number(number) if number.is_i64() => {
                key.part(name, number.as_i64().unwrap_or_default())
            }
            // Only the server's text can be a key's part.
            other => key.part(name, other.to_string()),
        };
    }
    let doc = json!({"id": id, "v": "some text"});
    Ok(match form {
        "put" => Operation::put("large").at(key).doc(&doc),
        // These are encoded when they are sent.
        "put for a time" => {
            Operation::put("large").at(key).doc(&doc).ttl(Duration::from_secs(86_400))
        }
        "upsert of much" => {
            let doc = json!({"id": id, "v": "x".repeat(1000)});
            Operation::upsert("large").at(key).doc(&doc)
        }
        _ => {
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let text = format!(
                "INSERT INTO large (id, {}, v, p) VALUES (?, {}, ?, ?)",
                names.join(", "),
                vec!["?"; names.len()].join(", ")
            );
            let mut values = vec![json!(id)];
            values.extend(columns.iter().map(|(_, value)| value.clone()));
            values.extend([json!("some text"), json!("p")]);
            Operation::cql(text, values)
        }
    })
}

/// The ids of the partition's rows, in the server's order.
async fn ids(place: &Place) -> Result<Vec<u32>> {
    let select = format!("SELECT id FROM {}.large", place.keyspace);
    let rows = place.session.query_unpaged(select, ()).await?.into_rows_result()?;
    rows.rows::<(i32,)>()?.map(|row| Ok(u32::try_from(row?.0)?)).collect()
}

/// Rows of other chunks that may stand between those of one: the places of rows are told apart no
/// better where one heap of them ends and the next begins.
const BETWEEN: usize = 50;

/// Whether what each chunk writes stands together on the server.
fn is_together(plan: &Plan, written: &[u32], on_server: &[u32]) -> Result<()> {
    let places: HashMap<u32, usize> =
        on_server.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    for chunk in &plan.chunks {
        let ids = chunk.operations.iter().filter_map(|job| written.get(*job as usize - 1));
        let places: Vec<usize> = ids.filter_map(|id| places.get(id).copied()).collect();
        let (least, most) = (places.iter().min(), places.iter().max());
        let between = most.zip(least).map(|(most, least)| most - least + 1 - places.len());
        let part = format!("{between:?} of others between {} rows", places.len());
        same(&part, &true, &between.is_some_and(|between| between <= BETWEEN))?;
    }
    Ok(())
}

async fn rows_travel_with_those_beside_them(world: Arc<World>) -> Result<()> {
    let mut wrongs = Wrongs::default();
    for (definition, names, columns) in CLUSTERINGS {
        for order in ["ASC", "DESC"] {
            let directions: Vec<String> =
                names.split(", ").map(|name| format!("{name} {order}")).collect();
            let table = format!(
                "CREATE TABLE k.large (p text, {definition}, v text, id int, PRIMARY KEY (p, {names})) \
                 WITH CLUSTERING ORDER BY ({})",
                directions.join(", ")
            );
            let place = world.place(&["DROP TABLE IF EXISTS k.large", &table]).await?;
            for form in ["put", "put for a time", "upsert of much", "statement"] {
                let part = format!("{form} with {names} {order}");
                let written: Vec<u32> = shuffled().collect();
                let all: Result<Vec<Operation>> =
                    written.iter().map(|id| write(form, &columns(*id), *id)).collect();
                let done = commit(&place.store, BatchOptions::new(), all?).await?;
                wrongs.note(&part, same("applied", &u64::from(ROWS), &done.report.applied()));
                let on_server = ids(&place).await?;
                wrongs.note(&part, same("rows", &(ROWS as usize), &on_server.len()));
                wrongs.note(&part, same("some chunks", &true, &(done.plan.chunks.len() > 5)));
                wrongs.note(&part, is_together(&done.plan, &written, &on_server));
            }
        }
    }
    wrongs.into_result()
}

async fn rows_that_come_in_the_servers_order_stay_in_it(world: Arc<World>) -> Result<()> {
    let mut wrongs = Wrongs::default();
    for (definition, names, columns) in CLUSTERINGS.into_iter().chain([LONG_TEXTS]) {
        let table = format!(
            "CREATE TABLE k.large (p text, {definition}, v text, id int, PRIMARY KEY (p, {names}))"
        );
        let place = world.place(&["DROP TABLE IF EXISTS k.large", &table]).await?;
        let shuffled: Vec<u32> = shuffled().collect();
        let all: Result<Vec<Operation>> =
            shuffled.iter().map(|id| write("put", &columns(*id), *id)).collect();
        commit(&place.store, BatchOptions::new(), all?).await?;
        let in_order = ids(&place).await?;
        for form in ["put", "upsert of much", "statement"] {
            let all: Result<Vec<Operation>> =
                in_order.iter().map(|id| write(form, &columns(*id), *id)).collect();
            let done = commit(&place.store, BatchOptions::new(), all?).await?;
            let together = is_together(&done.plan, &in_order, &in_order);
            wrongs.note(format!("{form} with {names}"), together);
        }
    }
    wrongs.into_result()
}

async fn rows_of_several_tables_travel_apart(world: Arc<World>) -> Result<()> {
    let table = |name: &str| {
        format!("CREATE TABLE k.large_{name} (p int, c int, v int, PRIMARY KEY (p, c))")
    };
    let place = world.place(&[&table("a"), &table("b")]).await?;
    let doc = json!({"v": 1});
    let all = shuffled().flat_map(|c| {
        let key = || Key::new().part("p", 1).part("c", c);
        let put = |name: &str| Operation::put(name.to_owned()).at(key()).doc(&doc);
        [put("large_a"), put("large_b")]
    });
    let done = commit(&place.store, BatchOptions::new(), all).await?;
    same("applied", &u64::from(2 * ROWS), &done.report.applied())?;
    // Operations of the two tables come in turns.
    let mixed = done.plan.chunks.iter().filter(|chunk| {
        let of_first = chunk.operations.iter().filter(|job| *job % 2 == 1).count();
        of_first != 0 && of_first != chunk.operations.len()
    });
    same("chunks of both tables, of 12", &true, &(mixed.count() <= 1))
}

async fn rows_of_an_ordered_batch_travel_in_their_order(world: Arc<World>) -> Result<()> {
    let table = "CREATE TABLE k.large_ordered (p int, c int, v int, PRIMARY KEY (p, c))";
    let place = world.place(&[table]).await?;
    let all = shuffled().map(|c| {
        let key = Key::new().part("p", 1).part("c", c);
        Operation::put("large_ordered").at(key).doc(&json!({"v": 1}))
    });
    let options = BatchOptions::new().guarantee(Guarantee::Ordered { on_error: OnError::Continue });
    let done = commit(&place.store, options, all).await?;
    let sent: Vec<u32> = done.plan.chunks.iter().flat_map(|c| c.operations.clone()).collect();
    same("in program order", &true, &sent.is_sorted())?;
    same("applied", &u64::from(ROWS), &done.report.applied())
}
