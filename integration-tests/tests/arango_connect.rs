//! Connecting to ArangoDB: logins, several coordinators, TLS, HTTP/2, compression, a client of one's
//! own, servers that tell less or can less, and what is said when something cannot be.

use std::{process::ExitCode, sync::Arc};

use arango_emulator::{Builder, Emulator, Fault, Rule, Seen};
use batch_arango::{ArangoBuilder, ArangoStore, Auth};
use batch_core::{
    BatchExt as _, BatchOptions, Error, ErrorKind, Fate, Guarantee, JobStatus, Operation, Store,
    StoreExt as _,
};
use batch_cql::rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use integration_tests::{Certified, Result, conclude_serially, trial};
use libtest_mimic::Trial;
use serde_json::json;

const RELEASE: &str = "3.12.10";
const ISOLATED: Guarantee = Guarantee::AllOrNothing { isolated: true };
const WHOLE: Guarantee = Guarantee::AllOrNothing { isolated: false };

fn emulator() -> Builder {
    Emulator::builder().version(RELEASE).auth("root", "hunter2")
}

fn builder(server: &Emulator) -> ArangoBuilder {
    ArangoStore::builder().server(server.url()).credentials("root", "hunter2")
}

/// Makes the collection of the tests, by a batch-less way of the library's own HTTP client.
async fn make_collection(server: &Emulator) -> Result<()> {
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
    let asked = client
        .post(format!("{}/_api/collection", server.url()))
        .basic_auth("root", Some("hunter2"))
        .body(json!({"name": "students"}).to_string());
    asked.send().await?.error_for_status()?;
    server.forget_requests();
    Ok(())
}

async fn started() -> Result<Emulator> {
    let server = emulator().start().await?;
    make_collection(&server).await?;
    Ok(server)
}

/// Commits one operation, which is applied.
async fn put(store: &dyn Store, key: &str) -> Result<()> {
    let mut batch = store.batch(BatchOptions::new())?;
    batch.queue(Operation::put("students").at(key).doc(&json!({"name": key.repeat(2000)})))?;
    let _report = batch.commit().await?.into_result()?;
    assert!(store.get("students", key).await?.is_some());
    Ok(())
}

fn keys(server: &Emulator) -> Vec<String> {
    let documents = server.documents("_system", "students").unwrap_or_default();
    documents.iter().filter_map(|it| Some(it["_key"].as_str()?.to_owned())).collect()
}

fn count(server: &Emulator, wanted: impl Fn(&Seen) -> bool) -> usize {
    server.requests().iter().filter(|seen| wanted(seen)).count()
}

/// What a connect that must fail says. Nothing of it shows the password.
async fn refused(builder: ArangoBuilder, kind: ErrorKind, says: &str) -> Result<Error> {
    let settings = format!("{builder:?}");
    let error = builder.connect().await.err().ok_or("it connected")?;
    for print in [error.to_string(), format!("{error:?}"), format!("{error:#?}"), settings] {
        assert!(!print.contains("hunter2"), "{print}");
    }
    if error.kind() != kind || !error.message().contains(says) {
        return Err(format!("{kind} and `{says}` were expected, not {error:?}").into());
    }
    assert_eq!(error.fate(), Fate::NotApplied);
    Ok(error)
}

async fn both_logins_are_taken_and_shown_nowhere() -> Result<()> {
    for auth in [Auth::Basic, Auth::Jwt] {
        let server = started().await?;
        let store = builder(&server).auth(auth).connect().await?;
        put(&store, "a").await?;
        assert!(!format!("{store:?} {store:#?}").contains("hunter2"));
        let logins = count(&server, |seen| seen.path() == "/_open/auth");
        assert_eq!(logins, usize::from(auth == Auth::Jwt), "one login for all requests");
    }
    Ok(())
}

async fn a_wrong_password_is_refused() -> Result<()> {
    let server = started().await?;
    for auth in [Auth::Basic, Auth::Jwt] {
        let wrong = builder(&server).auth(auth).credentials("root", "hunter2 no more");
        refused(wrong, ErrorKind::Unauthorized, "").await?;
    }
    let nobody = ArangoStore::builder().server(server.url());
    refused(nobody, ErrorKind::Unauthorized, "").await?;
    refused(nobody_with_a_token(&server), ErrorKind::Unauthorized, "").await?;
    Ok(())
}

fn nobody_with_a_token(server: &Emulator) -> ArangoBuilder {
    ArangoStore::builder().server(server.url()).token("hunter2.hunter2.hunter2")
}

async fn a_token_that_ends_early_is_renewed_once() -> Result<()> {
    let server = started().await?;
    let store = builder(&server).auth(Auth::Jwt).connect().await?;
    server.expire_tokens();
    put(&store, "a").await?;
    assert_eq!(count(&server, |seen| seen.path() == "/_open/auth"), 2);
    // Refused, renewed, sent again: one document.
    assert_eq!(keys(&server), ["a"]);
    Ok(())
}

async fn a_token_is_renewed_before_it_ends() -> Result<()> {
    let server = started().await?;
    server.switch(|settings| settings.token_seconds = 4.0);
    let store = builder(&server).auth(Auth::Jwt).connect().await?;
    let mut commits = 0;
    while count(&server, |seen| seen.path() == "/_open/auth") < 2 {
        put(&store, &format!("k{commits}")).await?;
        commits += 1;
    }
    // None of them was refused, and so sent twice.
    let sent = count(&server, |seen| seen.method == "POST" && seen.path().contains("/document/"));
    assert_eq!(sent, commits);
    Ok(())
}

async fn a_database_that_is_not_there_is_named() -> Result<()> {
    let server = started().await?;
    refused(builder(&server).database("nosuch"), ErrorKind::NotFound, "database").await?;
    Ok(())
}

async fn the_next_coordinator_is_asked_where_one_cannot_be_reached() -> Result<()> {
    let (mut first, second) = (started().await?, started().await?);
    let store = ArangoStore::builder()
        .servers(["http://127.0.0.1:1".to_owned(), first.url(), second.url()])
        .credentials("root", "hunter2")
        .connect()
        .await?;
    put(&store, "a").await?;
    assert_eq!((keys(&first), keys(&second)), (vec!["a".to_owned()], vec![]));
    first.stop().await;
    put(&store, "b").await?;
    assert_eq!(keys(&second), ["b"]);
    Ok(())
}

async fn what_may_have_been_carried_out_goes_to_no_other_coordinator() -> Result<()> {
    for (fault, there) in [(Fault::ResetBefore, false), (Fault::ResetAfter, true)] {
        let (first, second) = (started().await?, started().await?);
        let store = builder(&first).server(second.url()).connect().await?;
        let armed = first.fault(Rule::new(fault).method("POST").path("/document/"));
        let mut batch = store.batch(BatchOptions::new())?;
        let job = batch.queue(Operation::insert("students").at("a").doc(&json!({})))?;
        let _report = batch.commit().await?;
        assert_eq!(armed.fired(), 1);
        assert!(matches!(job.status(), JobStatus::Unknown(_)), "{:?}", job.status());
        assert_eq!((keys(&first).len(), keys(&second).len()), (usize::from(there), 0));
    }
    Ok(())
}

/// A server that proves who it is.
async fn secured() -> Result<(Emulator, Certified)> {
    let tls = Certified::new("127.0.0.1")?;
    let chain = vec![CertificateDer::from_pem_slice(tls.certificate().as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(tls.key().as_bytes())?;
    let provider = Arc::new(batch_cql::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server = emulator().tls(Arc::new(config)).start().await?;
    make_collection(&server).await?;
    Ok((server, tls))
}

async fn a_server_is_trusted_if_the_authority_in_the_file_says_so() -> Result<()> {
    let (server, tls) = secured().await?;
    assert!(server.url().starts_with("https://"));
    let ours = tls.file(Certified::OURS);
    for http2 in [false, true] {
        let store = builder(&server).tls_with_ca_file(&ours).http2(http2).connect().await?;
        put(&store, if http2 { "b" } else { "a" }).await?;
    }
    assert!(count(&server, |seen| seen.protocol.contains("HTTP/2")) > 0);
    let other = builder(&server).tls_with_ca_file(tls.file(Certified::OTHER));
    refused(other, ErrorKind::Connection, "cannot connect").await?;
    // This machine's authorities do not know it.
    refused(builder(&server), ErrorKind::Connection, "cannot connect").await?;
    let missing = builder(&server).tls_with_ca_file(tls.file("none.pem"));
    refused(missing, ErrorKind::InvalidOperation, "none.pem").await?;
    Ok(())
}

async fn requests_travel_by_http_2_where_that_is_asked_for() -> Result<()> {
    for (http2, protocol) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
        let server = started().await?;
        let store = builder(&server).http2(http2).connect().await?;
        put(&store, "a").await?;
        let all = server.requests().len();
        assert_eq!(count(&server, |seen| seen.protocol.contains(protocol)), all, "{protocol}");
    }
    Ok(())
}

async fn requests_and_answers_are_compressed_where_that_is_asked_for() -> Result<()> {
    for compression in [false, true] {
        let server = started().await?;
        server.switch(|settings| settings.compress_threshold = 100);
        let store = builder(&server).compression(compression).connect().await?;
        // One that is compressed at once, and one that is compressed beside the executor.
        put(&store, "a").await?;
        put(&store, &"b".repeat(200)).await?;
        let zipped = count(&server, |seen| seen.header("content-encoding") == Some("gzip"));
        assert_eq!(zipped, if compression { 2 } else { 0 });
        let asked = count(&server, |seen| seen.header("accept-encoding") == Some("gzip"));
        assert_eq!(asked > 0, compression);
    }
    Ok(())
}

async fn a_client_of_ones_own_is_taken_and_follows_no_redirects() -> Result<()> {
    let (server, elsewhere) = (started().await?, started().await?);
    let own = reqwest::Client::builder().user_agent("mine");
    let own = own.redirect(reqwest::redirect::Policy::limited(9));
    let store = builder(&server).client_builder(own).connect().await?;
    put(&store, "a").await?;
    assert!(count(&server, |seen| seen.header("user-agent") == Some("mine")) > 0);
    let made = reqwest::Client::builder().user_agent("made");
    let made = made.redirect(reqwest::redirect::Policy::none()).build()?;
    let with_made = builder(&server).client(made).connect().await?;
    put(&with_made, "a").await?;
    assert!(count(&server, |seen| seen.header("user-agent") == Some("made")) > 0);
    let there = format!("{}/_api/document/students", elsewhere.url());
    let update = || Operation::update("students").at("a").doc(&json!({"name": "other"}));
    let mut asked = count(&server, |_| true);
    for status in [301, 302, 303, 307, 308] {
        // To the same place, where a read would be answered by the whole document.
        for location in [there.clone(), String::new()] {
            let redirect = Fault::Redirect { status, location };
            let armed = server.fault(Rule::new(redirect).path("/document/"));
            let mut batch = store.batch(BatchOptions::new())?;
            let job = batch.queue(update())?;
            let _report = batch.commit().await?;
            assert_eq!(armed.fired(), 1, "{status}");
            assert!(matches!(job.status(), JobStatus::Unknown(_)), "{status}: {:?}", job.status());
            asked += 1;
            assert_eq!(count(&server, |_| true), asked, "{status} was followed");
        }
    }
    assert_eq!(keys(&elsewhere), Vec::<String>::new());
    Ok(())
}

async fn a_client_that_cannot_be_made_is_told_by_connect() -> Result<()> {
    let server = started().await?;
    let own = reqwest::Client::builder().user_agent("mine\n");
    let settings = builder(&server).client_builder(own);
    refused(settings, ErrorKind::InvalidOperation, "HTTP cannot").await?;
    Ok(())
}

async fn a_client_that_may_follow_redirects_is_refused() -> Result<()> {
    use reqwest::redirect::Policy;
    let server = started().await?;
    let built = |policy: Option<Policy>| {
        let own = reqwest::Client::builder();
        policy.map_or(own, |policy| reqwest::Client::builder().redirect(policy)).build()
    };
    for policy in [None, Some(Policy::limited(1)), Some(Policy::custom(|attempt| attempt.stop()))] {
        let settings = builder(&server).client(built(policy)?);
        refused(settings, ErrorKind::InvalidOperation, "`client_builder`").await?;
    }
    Ok(())
}

async fn a_hardened_server_need_not_tell_its_version() -> Result<()> {
    let server = started().await?;
    server.switch(|settings| settings.harden = true);
    let store = builder(&server).connect().await?;
    put(&store, "a").await?;
    assert_eq!(store.ping().await?.name, "ArangoDB");
    Ok(())
}

async fn all_or_nothing_over_shards_is_refused_unless_it_is_accepted() -> Result<()> {
    let server = started().await?;
    server.switch(|settings| (settings.coordinator, settings.one_shard) = (true, false));
    let plain = builder(&server).connect().await?;
    let can = plain.capabilities();
    assert_eq!((can.all_or_nothing, can.isolated), (None, None));
    let refused = plain.batch(BatchOptions::new().guarantee(WHOLE)).err();
    let refused = match refused {
        Some(error) => error,
        None => {
            let mut batch = plain.batch(BatchOptions::new().guarantee(WHOLE))?;
            batch.queue(Operation::put("students").at("a").doc(&json!({})))?;
            batch.commit().await.err().ok_or("it was committed")?
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let accepting = builder(&server).accept_sharded_transactions(true).connect().await?;
    let mut batch = accepting.batch(BatchOptions::new().guarantee(WHOLE))?;
    for key in ["b", "c"] {
        batch.queue(Operation::put("students").at(key).doc(&json!({})))?;
    }
    let _report = batch.commit().await?.into_result()?;
    assert_eq!(accepting.capabilities().isolated, None);
    server.switch(|settings| settings.one_shard = true);
    let one_shard = builder(&server).connect().await?;
    let mut batch = one_shard.batch(BatchOptions::new().guarantee(ISOLATED))?;
    for key in ["d", "e"] {
        batch.queue(Operation::put("students").at(key).doc(&json!({})))?;
    }
    let _report = batch.commit().await?.into_result()?;
    assert_eq!(keys(&server).len(), 4);
    Ok(())
}

async fn the_parameters_of_a_url_reach_the_wire() -> Result<()> {
    let server = started().await?;
    let url = format!(
        "arango://root:hunter2@{},127.0.0.1:1/_system?auth=jwt&protocol=http2&compression=gzip",
        server.address()
    );
    let store = unibatch::connect(&url).await?;
    put(&*store, "a").await?;
    let seen = server.requests();
    let document =
        seen.iter().find(|seen| seen.method == "POST" && seen.path().contains("/document/"));
    let document = document.ok_or("no document was written")?;
    assert!(document.protocol.contains("HTTP/2"), "{document:?}");
    assert_eq!(document.header("content-encoding"), Some("gzip"));
    let authorization = document.header("authorization").unwrap_or_default();
    assert!(authorization.to_lowercase().starts_with("bearer "));
    Ok(())
}

async fn what_cannot_be_sent_is_in_no_plan_and_named() -> Result<()> {
    let server = started().await?;
    let store = builder(&server).connect().await?;
    let good = || Operation::put("students").at("a").doc(&json!({}));
    let contradicts = || Operation::put("students").key("id", "b").doc(&json!({"id": "c"}));
    let mut batch = store.batch(BatchOptions::new())?;
    let jobs = batch.queue_all([good(), contradicts()]).map_err(|rejected| rejected.to_string())?;
    let plan = batch.plan().await?;
    assert_eq!((plan.operations(), plan.refused.len()), (1, 1), "{plan}");
    let report = batch.commit().await?;
    assert_eq!((report.applied(), report.not_applied(), report.deviations()), (1, 1, 0));
    assert!(matches!(jobs[1].status(), JobStatus::NotApplied(_)));
    let elsewhere = || Operation::put("nowhere").at("a").doc(&json!({}));
    for second in [contradicts(), elsewhere()] {
        let mut batch = store.batch(BatchOptions::new().guarantee(WHOLE))?;
        batch.queue_all([good(), second]).map_err(|rejected| rejected.to_string())?;
        let error = batch.commit().await.err().ok_or("it was committed")?;
        assert!(error.message().contains("operation 2"), "{error}");
    }
    Ok(())
}

macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        vec![$(trial(stringify!($name), $name())),+]
    };
}

fn main() -> ExitCode {
    let all: Vec<Trial> = trials![
        both_logins_are_taken_and_shown_nowhere,
        a_wrong_password_is_refused,
        a_token_that_ends_early_is_renewed_once,
        a_token_is_renewed_before_it_ends,
        a_database_that_is_not_there_is_named,
        the_next_coordinator_is_asked_where_one_cannot_be_reached,
        what_may_have_been_carried_out_goes_to_no_other_coordinator,
        a_server_is_trusted_if_the_authority_in_the_file_says_so,
        requests_travel_by_http_2_where_that_is_asked_for,
        requests_and_answers_are_compressed_where_that_is_asked_for,
        a_client_of_ones_own_is_taken_and_follows_no_redirects,
        a_client_that_cannot_be_made_is_told_by_connect,
        a_client_that_may_follow_redirects_is_refused,
        a_hardened_server_need_not_tell_its_version,
        all_or_nothing_over_shards_is_refused_unless_it_is_accepted,
        the_parameters_of_a_url_reach_the_wire,
        what_cannot_be_sent_is_in_no_plan_and_named,
    ];
    conclude_serially(all)
}
