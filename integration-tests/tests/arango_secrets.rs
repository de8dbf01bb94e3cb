//! Nothing that proves who somebody is can be read anywhere: not in what this library and those below it
//! trace and log, down to the last detail, and not in what can be printed.

use std::{
    fmt::Debug,
    io,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arango_emulator::{Edit, Emulator, Fault, Rule};
use batch_arango::{ArangoBuilder, ArangoStore, Auth};
use batch_core::{
    BatchExt as _, BatchOptions, ErrorKind, Guarantee, Operation, Store, StoreExt as _,
};
use integration_tests::{Result, conclude_serially, trial};
use libtest_mimic::Trial;
use serde_json::json;
use tracing_subscriber::fmt::format::FmtSpan;

const USER: &str = "abby";
const PASSWORD: &str = "hunter2-and-more";
const DEADLINE: Duration = Duration::from_millis(300);

/// All that was traced, logged and printed in this process.
static TOLD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn tell(text: &[u8]) {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
}

fn print(what: &impl Debug) {
    tell(format!("{what:?} {what:#?}\n").as_bytes());
}

struct Trace;

impl io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tell(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What does not trace, as reqwest and rustls, logs.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        tell(line.as_bytes());
    }

    fn flush(&self) {}
}

fn listen() -> Result<()> {
    log::set_logger(&Log)?;
    log::set_max_level(log::LevelFilter::Trace);
    let all = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(|| Trace);
    tracing::subscriber::set_global_default(all.finish())?;
    tracing::trace!("a traced word");
    log::trace!("a logged word");
    Ok(())
}

/// Fails if anything that was told holds the password, or what was sent in its place.
fn nothing_was_told(server: &Emulator, http2: bool) -> Result<()> {
    let mut secrets = vec![PASSWORD.to_owned()];
    for seen in server.requests() {
        // `Basic` and what is encoded, or `bearer` and the token.
        let sent = seen.header("authorization").and_then(|value| value.split_once(' '));
        secrets.extend(sent.map(|(_, secret)| secret.to_owned()));
    }
    assert!(secrets.len() > 1, "nobody proved anything");
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let told = String::from_utf8_lossy(&told);
    // What must be there, or nobody has listened.
    let words = ["a traced word", "a logged word", "batch.commit", "batch.chunk", "reqwest::"];
    for word in words.into_iter().chain(http2.then_some("h2::")) {
        assert!(told.contains(word), "nobody listened to `{word}`");
    }
    for secret in secrets {
        if let Some(at) = told.find(&secret) {
            let line = told[..at].rfind('\n').map_or(0, |start| start + 1);
            return Err(format!("told behind `{}`", &told[line..at]).into());
        }
    }
    Ok(())
}

async fn started() -> Result<Emulator> {
    let server = Emulator::builder().version("3.11.14").auth(USER, PASSWORD).start().await?;
    let made = reqwest::Client::new().post(format!("{}/_api/collection", server.url()));
    let made = made.basic_auth(USER, Some(PASSWORD)).body(r#"{"name":"students"}"#).send();
    made.await?.error_for_status()?;
    Ok(server)
}

/// Commits a batch by each guarantee, and prints all that comes of it.
async fn commit(store: &ArangoStore) -> Result<()> {
    for guarantee in [
        Guarantee::BestEffort,
        Guarantee::Ordered { on_error: batch_core::OnError::Continue },
        Guarantee::AllOrNothing { isolated: true },
    ] {
        let options = BatchOptions::new().guarantee(guarantee);
        let mut batch = store.arango_batch(options.deadline(DEADLINE))?;
        let mut jobs = Vec::new();
        for key in ["a", "b"] {
            jobs.push(batch.queue(Operation::put("students").at(key).doc(&json!({})))?);
        }
        jobs.push(batch.aql("RETURN 1", &())?);
        print(&batch);
        let report = batch.commit().await;
        print(&report);
        print(&jobs);
        for job in &jobs {
            print(&job.status());
        }
        if let Err(error) = &report {
            tell(error.to_string().as_bytes());
        }
    }
    print(&store.get("students", "a").await);
    print(&store.ping().await);
    Ok(())
}

/// Everything that a store does, and everything that goes wrong with who it is.
async fn live(auth: Auth, http2: bool) -> Result<()> {
    let mut server = started().await?;
    let url = server.url();
    let builder =
        || -> ArangoBuilder { ArangoStore::builder().server(&url).http2(http2).auth(auth) };
    let right = || builder().credentials(USER, PASSWORD);
    print(&right());
    let store = right().connect().await?;
    print(&store);
    print(&store.backend());
    commit(&store).await?;
    server.expire_tokens();
    commit(&store).await?;
    for fault in [
        Fault::Unauthorized,
        Fault::ResetAfter,
        Fault::Garbage,
        Fault::Redirect { status: 307, location: String::new() },
        Fault::Proxy { status: 502, executed: true },
    ] {
        let armed = server.fault(Rule::new(fault).method("POST").times(3));
        commit(&store).await?;
        assert!(armed.fired() > 0);
        server.clear_faults();
    }
    // Logins that fail, or whose answer is none.
    let none = |text: &str| Fault::Edit { edit: Edit::Body { text: text.to_owned() } };
    for fault in [none("{\"jwt\": 5}"), none("<html>"), Fault::ResetAfter, Fault::Unauthorized] {
        let armed = server.fault(Rule::new(fault).path("/_open/auth").times(0));
        let connected = right().connect().await;
        print(&connected);
        assert_eq!(armed.fired() > 0, auth == Auth::Jwt);
        server.clear_faults();
    }
    let wrong = builder().credentials(USER, format!("{PASSWORD}, once")).connect().await;
    assert_eq!(wrong.as_ref().err().map(batch_core::Error::kind), Some(ErrorKind::Unauthorized));
    print(&wrong);
    let token = builder().token(format!("{PASSWORD}.{PASSWORD}")).connect().await;
    print(&token);
    server.stop().await;
    commit(&store).await?;
    print(&right().connect().await);
    nothing_was_told(&server, http2)
}

fn main() -> ExitCode {
    if let Err(error) = listen() {
        let why = error.to_string();
        return conclude_serially(vec![trial("somebody_listens", async move { Err(why.into()) })]);
    }
    let mut all: Vec<Trial> = Vec::new();
    for (how, auth) in [("a_password", Auth::Basic), ("a_token", Auth::Jwt)] {
        for (wire, http2) in [("http_1", false), ("http_2", true)] {
            all.push(trial(format!("{how}_is_told_nowhere_over_{wire}"), live(auth, http2)));
        }
    }
    conclude_serially(all)
}
