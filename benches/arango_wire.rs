//! The wire forms of ArangoDB beside `serde_json`, on one processor, as a table.
//!
//! `cargo bench -p unibatch-benches --bench arango_wire`. `serde_json` writes and parses what a
//! multipart call and its answer say as an array of objects with as many bytes, into structs that
//! borrow: headers, lengths and all. The documents alone are measured beside it.

use std::{error::Error, hint::black_box};

use batch_arango::fuzzing::{read_array, read_multipart, write_multipart};
use bytes::Bytes;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use unibatch_benches::{Keys, Stopwatch, Student, students};

/// What encoding and decoding may take of the time that `serde_json` takes for the same bytes.
const TARGET: f64 = 1.3;
const SIZES: [u32; 2] = [1000, 100_000];
const BOUNDARY: &str = "b0a7c3d1e5f94a6c8d2e0123456789ab";

/// The wire forms of ArangoDB beside `serde_json`.
#[derive(Debug, Parser)]
struct Switches {
    /// How often each measurement is repeated at least
    #[arg(long, default_value_t = 15)]
    runs: u32,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of a call, as `serde_json` writes and reads it.
#[derive(Debug, Deserialize, Serialize)]
struct Request<'a> {
    #[serde(rename = "Content-Type")]
    kind: &'a str,
    #[serde(rename = "Content-Id")]
    id: u32,
    method: &'a str,
    path: &'a str,
    version: &'a str,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A part of an answer.
#[derive(Debug, Deserialize, Serialize)]
struct Response<'a> {
    #[serde(rename = "Content-Type")]
    kind: &'a str,
    #[serde(rename = "Content-Id")]
    id: u32,
    version: &'a str,
    status: u16,
    phrase: &'a str,
    #[serde(rename = "Server")]
    server: &'a str,
    #[serde(rename = "Etag")]
    etag: &'a str,
    #[serde(rename = "Location")]
    location: &'a str,
    #[serde(rename = "Connection")]
    connection: &'a str,
    #[serde(rename = "Body-Type")]
    body_type: &'a str,
    #[serde(rename = "Content-Length")]
    length: usize,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What a server says of a document that it wrote.
#[derive(Debug, Deserialize, Serialize)]
struct Written<'a> {
    #[serde(rename = "_id", borrow)]
    id: &'a str,
    #[serde(rename = "_key")]
    key: &'a str,
    #[serde(rename = "_rev")]
    revision: &'a str,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let switches = Switches::parse();
    if !switches.bench {
        println!("nothing is measured; run `cargo bench -p unibatch-benches --bench arango_wire`");
        return Ok(());
    }
    let mut table = Table::new();
    let header = ["what", "parts", "bytes", "ns a part", "serde_json", "its bytes", "ratio", "met"];
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for count in SIZES {
        for row in rows(count, switches.runs.max(1))? {
            table.add_row(row.cells(count));
        }
    }
    println!("\n{table}\n\nA ratio is to be at most {TARGET}; documents alone have no target.");
    Ok(())
}

struct Row {
    what: &'static str,
    ours: f64,
    bytes: usize,
    theirs: f64,
    their_bytes: usize,
    has_target: bool,
}

impl Row {
    fn cells(&self, count: u32) -> [String; 8] {
        let (each, ratio) = (f64::from(count), self.ours / self.theirs);
        let met = match (self.has_target, ratio <= TARGET) {
            (false, _) => "",
            (true, true) => "yes",
            (true, false) => "**no**",
        };
        [
            self.what.to_owned(),
            count.to_string(),
            self.bytes.to_string(),
            format!("{:.0}", self.ours / each),
            format!("{:.0}", self.theirs / each),
            self.their_bytes.to_string(),
            format!("{ratio:.2}"),
            met.to_owned(),
        ]
    }
}

/// The least nanoseconds that something takes: what else runs on the machine only adds to it.
fn least<T>(runs: u32, mut run: impl FnMut() -> Outcome<T>) -> Outcome<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..=runs {
        let watch = Stopwatch::start();
        let made = black_box(run()?);
        least = least.min(watch.lap().cpu.as_secs_f64() * 1e9);
        drop(made);
    }
    Ok(least)
}

fn rows(count: u32, runs: u32) -> Outcome<Vec<Row>> {
    let runs = runs.saturating_mul(100_000 / count).min(400).max(runs);
    let students = students(count, Keys::Distinct);
    Ok(vec![
        encode(&students, runs)?,
        encode_documents(&students, runs)?,
        decode(&students, runs)?,
        decode_documents(&students, runs)?,
        decode_array(&students, runs)?,
    ])
}

const PATH: &str = "/_api/document/students?overwriteMode=replace";

fn bodies(students: &[Student]) -> Outcome<Vec<Box<RawValue>>> {
    Ok(students.iter().map(serde_json::value::to_raw_value).collect::<Result<_, _>>()?)
}

fn call(bodies: &[Box<RawValue>]) -> Bytes {
    write_multipart(bodies.iter().map(|body| body.get().as_bytes())).0
}

/// Documents that are text become a call.
fn encode(students: &[Student], runs: u32) -> Outcome<Row> {
    let bodies = bodies(students)?;
    let written = |out: &mut Vec<u8>| -> Outcome<()> {
        let requests = bodies.iter().zip(0..).map(|(body, id)| Request {
            kind: "application/x-arango-batchpart",
            id,
            method: "POST",
            path: PATH,
            version: "HTTP/1.1",
            body,
        });
        out.push(b'[');
        for request in requests {
            serde_json::to_writer(&mut *out, &request)?;
            out.push(b',');
        }
        Ok(())
    };
    let (mut json, bytes) = (Vec::new(), call(&bodies).len());
    written(&mut json)?;
    let their_bytes = json.len();
    Ok(Row {
        what: "write a multipart call",
        ours: least(runs, || Ok(call(&bodies)))?,
        bytes,
        theirs: least(runs, || {
            let mut out = Vec::with_capacity(their_bytes);
            written(&mut out).map(|()| out)
        })?,
        their_bytes,
        has_target: true,
    })
}

/// The same beside the documents alone, written from structs.
fn encode_documents(students: &[Student], runs: u32) -> Outcome<Row> {
    let bodies = bodies(students)?;
    let bytes = call(&bodies).len();
    let mut json = Vec::new();
    serde_json::to_writer(&mut json, students)?;
    Ok(Row {
        what: "… beside the documents alone",
        ours: least(runs, || Ok(call(&bodies)))?,
        bytes,
        theirs: least(runs, || {
            let mut out = Vec::with_capacity(json.len());
            serde_json::to_writer(&mut out, students)?;
            Ok(out)
        })?,
        their_bytes: json.len(),
        has_target: false,
    })
}

fn written(student: &Student) -> Outcome<String> {
    let (id, key) = (format!("students/{}", student.id), &student.id);
    Ok(serde_json::to_string(&Written { id: &id, key, revision: "_l6zhVHK---" })?)
}

/// What a server of 3.11 answers, to the byte.
fn answer(students: &[Student]) -> Outcome<Bytes> {
    let mut text = String::new();
    for (place, student) in students.iter().enumerate() {
        let (key, body) = (&student.id, written(student)?);
        let length = body.len();
        text.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Type: application/x-arango-batchpart\r\nContent-Id: {place}\r\n\r\n\
             HTTP/1.1 202 Accepted\r\nServer: \r\nEtag: \"_l6zhVHK---\"\r\n\
             Location: /_db/_system/_api/document/students/{key}\r\nConnection: Close \r\n\
             Content-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}\r\n"
        ));
    }
    text.push_str(&format!("--{BOUNDARY}--"));
    Ok(text.into())
}

fn decode(students: &[Student], runs: u32) -> Outcome<Row> {
    let answer = answer(students)?;
    let bodies: Vec<Box<RawValue>> = students
        .iter()
        .map(|student| Ok(RawValue::from_string(written(student)?)?))
        .collect::<Outcome<_>>()?;
    let locations: Vec<_> = students
        .iter()
        .map(|student| format!("/_db/_system/_api/document/students/{}", student.id))
        .collect();
    let responses: Vec<_> = bodies
        .iter()
        .zip(&locations)
        .zip(0..)
        .map(|((body, location), id)| Response {
            kind: "application/x-arango-batchpart",
            id,
            version: "HTTP/1.1",
            status: 202,
            phrase: "Accepted",
            server: "",
            etag: "_l6zhVHK---",
            location,
            connection: "Close",
            body_type: "application/json; charset=utf-8",
            length: body.get().len(),
            body,
        })
        .collect();
    let json = serde_json::to_string(&responses)?;
    check(read_multipart(&answer, BOUNDARY, students.len()), students)?;
    Ok(Row {
        what: "read a multipart answer",
        ours: least(runs, || Ok(read_multipart(&answer, BOUNDARY, students.len())))?,
        bytes: answer.len(),
        theirs: least(runs, || Ok(serde_json::from_str::<Vec<Response<'_>>>(&json)?.len()))?,
        their_bytes: json.len(),
        has_target: true,
    })
}

fn array(students: &[Student]) -> Outcome<String> {
    let elements: Vec<_> = students.iter().map(written).collect::<Outcome<_>>()?;
    Ok(format!("[{}]", elements.join(",")))
}

fn decode_documents(students: &[Student], runs: u32) -> Outcome<Row> {
    let (answer, json) = (answer(students)?, array(students)?);
    Ok(Row {
        what: "… beside the documents alone",
        ours: least(runs, || Ok(read_multipart(&answer, BOUNDARY, students.len())))?,
        bytes: answer.len(),
        theirs: least(runs, || Ok(serde_json::from_str::<Vec<Written<'_>>>(&json)?.len()))?,
        their_bytes: json.len(),
        has_target: false,
    })
}

/// The very same bytes.
fn decode_array(students: &[Student], runs: u32) -> Outcome<Row> {
    let json = array(students)?;
    let answer = Bytes::from(json.clone());
    check(read_array(&answer, students.len()), students)?;
    Ok(Row {
        what: "read an array's answer",
        ours: least(runs, || Ok(read_array(&answer, students.len())))?,
        bytes: answer.len(),
        theirs: least(runs, || Ok(serde_json::from_slice::<Vec<Written<'_>>>(&answer)?.len()))?,
        their_bytes: json.len(),
        has_target: true,
    })
}

/// A number of something that was not read would be worth nothing.
fn check(read: usize, students: &[Student]) -> Outcome<()> {
    if read == students.len() {
        Ok(())
    } else {
        Err(format!("{read} of {} parts were read", students.len()).into())
    }
}
