//! python-arango's batch, as its documentation has it.

use std::{path::Path, process::Command, time::Duration};

use unibatch_benches::Cost;

use crate::Outcome;

const PROGRAM: &str = r#"
import resource, sys, time
from arango import ArangoClient

url, count = sys.argv[1], int(sys.argv[2])
db = ArangoClient(hosts=url).db("_system")
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
batch = db.begin_batch_execution(return_result=True)
collection = batch.collection("bench")
jobs = [
    collection.insert({"_key": f"k{n}", "name": f"student {n}", "age": n % 90, "active": n % 2 == 0})
    for n in range(count)
]
batch.commit()
for job in jobs:
    job.result()
wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(f"{wall} {cpu}")
"#;

pub(crate) fn run(python: &Path, url: &str, documents: u32) -> Outcome<Cost> {
    let count = documents.to_string();
    let ran = Command::new(python).args(["-c", PROGRAM, url, &count]).output()?;
    if !ran.status.success() {
        return Err(format!("python-arango: {}", String::from_utf8_lossy(&ran.stderr)).into());
    }
    let said = String::from_utf8(ran.stdout)?;
    let mut seconds = said.split_whitespace().map(str::parse::<f64>);
    match (seconds.next(), seconds.next()) {
        (Some(Ok(wall)), Some(Ok(cpu))) => {
            Ok(Cost { wall: Duration::from_secs_f64(wall), cpu: Duration::from_secs_f64(cpu) })
        }
        _ => Err(format!("python-arango said `{said}`").into()),
    }
}
