//! Connecting: logins, TLS, compression, translated addresses, sessions of one's own, and what is
//! said when it cannot be. The node asks for a login, speaks TLS alone, and tells an address where
//! it is not.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use batch_core::{
    Batch, BatchExt as _, BatchOptions, Clock, Error, ErrorKind, Fate, Guarantee, Operation, Store,
    StoreExt as _, StoreOptions, SystemClock,
};
use batch_cql::{Compression, CqlBuilder, CqlStore, Session, Translate, rustls};
use integration_tests::{
    Certified, Node, Result, Settings, conclude_serially, execute, find_process, ignored,
    is_listing, missing, trial,
};
use libtest_mimic::Trial;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::json;

/// Of no network: what a node tells that is behind a port mapping.
const NOWHERE: &str = "192.0.2.1";
/// What the node's certificate names.
const NAME: &str = "db.example.org";

/// What a node says once it has made the user that is there at first.
const FIRST_USER: &str = "Created default superuser role";
const LONGEST_SETUP: Duration = Duration::from_secs(120);

struct Secured {
    node: Node,
    tls: Certified,
}

impl Secured {
    fn start() -> Result<Self> {
        let tls = Certified::new(NAME)?;
        let server = tls.file("server.pem");
        fs::write(&server, format!("{}{}", tls.key(), tls.certificate()))?;
        let encryption = format!(
            "client_encryption_options: {{enabled: true, optional: false, keystore: {}, \
             ssl_context_factory: {{class_name: \
             org.apache.cassandra.security.PEMBasedSslContextFactory}}}}",
            server.display()
        );
        let settings = Settings::new()
            .logins()
            .java("-Dcassandra.superuser_setup_delay_ms=0")
            .yaml(format!("broadcast_rpc_address: {NOWHERE}"))
            .yaml("batch_size_fail_threshold: 100KiB")
            .yaml("max_mutation_size: 2MiB")
            .yaml(encryption);
        let node = find_process(settings)?;
        // Clients may come before there is anybody whom they could log in as.
        node.wait_for(FIRST_USER, 0, LONGEST_SETUP)?;
        Ok(Self { node, tls })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.tls.file(name)
    }

    /// Everything that is needed, for the user that is there at first.
    fn builder(&self) -> CqlBuilder {
        self.anybody().credentials("cassandra", "cassandra")
    }

    fn anybody(&self) -> CqlBuilder {
        self.untrusted().tls_with_ca_file(self.file(Certified::OURS)).tls_server_name(NAME)
    }

    fn untrusted(&self) -> CqlBuilder {
        CqlStore::builder()
            .contact_point(self.node.address().to_string())
            .translate(Translate::ContactPoints)
    }

    /// A store in a keyspace that has a table of students.
    async fn store(&self) -> Result<CqlStore> {
        self.store_by(|builder| builder).await
    }

    async fn store_by(&self, change: impl FnOnce(CqlBuilder) -> CqlBuilder) -> Result<CqlStore> {
        let store = self.builder().connect().await?;
        for statement in [
            "CREATE KEYSPACE IF NOT EXISTS school WITH replication = \
             {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
            "CREATE TABLE IF NOT EXISTS school.students (id text PRIMARY KEY, name text)",
        ] {
            execute(store.session(), statement).await?;
        }
        Ok(change(self.builder()).keyspace("school").connect().await?)
    }
}

/// Commits one operation, which is applied.
async fn put(store: &dyn Store, id: &str, name: &str) -> Result<()> {
    let mut batch = store.batch(BatchOptions::new())?;
    batch.queue(Operation::put("students").key("id", id).doc(&json!({"name": name})))?;
    let _report = batch.commit().await?.into_result()?;
    let read = store.get("students", [("id", id)]).await?;
    let read: serde_json::Value = read.ok_or("the row is not there")?.decode()?;
    assert_eq!(&read["name"], &json!(name));
    Ok(())
}

/// What a connect that must fail says. Nothing of it shows the password.
async fn refused(builder: CqlBuilder, kind: ErrorKind, says: &str) -> Result<Error> {
    let error = builder.connect().await.err().ok_or("it connected")?;
    for print in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        assert!(!print.contains("hunter2"));
    }
    if error.kind() != kind || !error.message().contains(says) {
        return Err(format!("{kind} and `{says}` were expected, not {error:?}").into());
    }
    assert_eq!(error.fate(), Fate::NotApplied);
    Ok(error)
}

async fn a_store_connects_over_tls_and_its_server_says_what_it_is(
    node: Arc<Secured>,
) -> Result<()> {
    let store = node.store().await?;
    let server = store.ping().await?;
    assert_eq!(server.name.as_str(), "Cassandra");
    assert!(server.version.starts_with("5."));
    for (name, value) in [("protocol", "4"), ("partitioner", "Murmur3Partitioner")] {
        assert!(server.facts.contains(&(name.to_owned(), value.to_owned())));
    }
    put(&store, "tls", "Abby").await
}

async fn a_wrong_password_is_refused_and_not_shown(node: Arc<Secured>) -> Result<()> {
    let builder = node.anybody().credentials("cassandra", "hunter2");
    assert!(!format!("{builder:?}").contains("hunter2"));
    refused(builder, ErrorKind::Unauthorized, "refuses the user or the password").await?;
    let builder = node.anybody().credentials("nobody", "hunter2");
    refused(builder, ErrorKind::Unauthorized, "refuses the user or the password").await?;
    Ok(())
}

async fn a_user_who_is_not_given_is_asked_for(node: Arc<Secured>) -> Result<()> {
    refused(node.anybody(), ErrorKind::Unauthorized, "give a user and a password").await?;
    Ok(())
}

async fn a_server_that_speaks_tls_is_told_from_one_that_is_down(node: Arc<Secured>) -> Result<()> {
    let plain = node.untrusted().credentials("cassandra", "hunter2");
    refused(plain, ErrorKind::Connection, "whether it asks for TLS").await?;
    let nobody = CqlStore::builder().contact_points(["127.0.0.1:1", "[::1]:1"]);
    refused(nobody, ErrorKind::Connection, "127.0.0.1:1, [::1]:1: nothing listens").await?;
    Ok(())
}

async fn a_certificate_that_proves_nothing_is_refused(node: Arc<Secured>) -> Result<()> {
    let other =
        node.untrusted().tls_with_ca_file(node.file(Certified::OTHER)).tls_server_name(NAME);
    refused(other, ErrorKind::Connection, "TLS failed").await?;
    let machine = node.untrusted().tls_with_native_roots().tls_server_name(NAME);
    // A machine without authorities of its own says so.
    let error = machine.connect().await.err().ok_or("it connected")?;
    let kinds = [ErrorKind::Connection, ErrorKind::InvalidOperation];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    let named_otherwise = node.untrusted().tls_with_ca_file(node.file(Certified::OURS));
    refused(named_otherwise, ErrorKind::Connection, "not valid for").await?;
    let other_name = node.anybody().tls_server_name("other.example.org");
    refused(other_name, ErrorKind::Connection, "not valid for").await?;
    Ok(())
}

async fn tls_settings_of_ones_own_are_taken(node: Arc<Secured>) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(node.file(Certified::OURS))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    // They check the address, which the certificate does not name.
    let builder = node.untrusted().tls(Arc::clone(&config)).credentials("cassandra", "cassandra");
    refused(builder, ErrorKind::Connection, "not valid for").await?;
    let both = node.anybody().tls(config);
    refused(both, ErrorKind::InvalidOperation, "TLS settings of your own").await?;
    Ok(())
}

async fn requests_are_compressed_as_was_asked(node: Arc<Secured>) -> Result<()> {
    for (compression, name) in [(Compression::Lz4, "lz4"), (Compression::Snappy, "snappy")] {
        let store = node.store_by(|builder| builder.compression(compression)).await?;
        put(&store, name, &"Abby ".repeat(10_000)).await?;
        // What the server knows of its connections.
        let text = "SELECT client_options['COMPRESSION'] FROM system_views.clients";
        let rows = execute(store.session(), text).await?.into_rows_result()?;
        let mut used = rows.rows::<(Option<String>,)>()?.flatten();
        assert!(used.any(|(own,)| own.as_deref() == Some(name)));
    }
    Ok(())
}

async fn nodes_at_addresses_that_do_not_exist_here_need_a_translation(
    node: Arc<Secured>,
) -> Result<()> {
    let untranslated = CqlStore::builder()
        .contact_point(node.node.address().to_string())
        .tls_with_ca_file(node.file(Certified::OURS))
        .tls_server_name(NAME)
        .credentials("cassandra", "cassandra")
        .connect_timeout(Duration::from_secs(6));
    refused(untranslated, ErrorKind::Connection, &format!("they are at {NOWHERE}")).await?;
    // With several contact points, each is asked which node it is; one that is down is not in the way.
    let store = node.store_by(|builder| builder.contact_point("127.0.0.1:1")).await?;
    put(&store, "translated", "Abby").await
}

async fn a_session_of_ones_own_can_be_given(node: Arc<Secured>) -> Result<()> {
    let own: Arc<Session> = Arc::clone(node.store().await?.session());
    let before = format!("{own:?}");
    let store =
        CqlStore::from_session(Arc::clone(&own), Some("school"), StoreOptions::new()).await?;
    put(&store, "given", "Abby").await?;
    assert!(Arc::ptr_eq(store.session(), &own));
    let settings = |session: &str| {
        session.split_once("default_execution_profile_handle").map(|(_, rest)| rest.to_owned())
    };
    assert_eq!(settings(&format!("{own:?}")), settings(&before));
    let lost = CqlStore::from_session(own, Some("nowhere"), StoreOptions::new()).await;
    assert_eq!(lost.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    Ok(())
}

async fn what_the_cluster_does_not_have_is_named_with_what_it_has(
    node: Arc<Secured>,
) -> Result<()> {
    node.store().await?;
    let lost = node.builder().keyspace("nowhere");
    let error = refused(lost, ErrorKind::NotFound, "no keyspace `nowhere`").await?;
    assert!(error.message().contains("school"));
    // A keyspace is looked for in the case that it has.
    refused(node.builder().keyspace("School"), ErrorKind::NotFound, "no keyspace `School`").await?;
    let far = node.builder().local_datacenter("mars");
    refused(far, ErrorKind::InvalidOperation, "the cluster has datacenter1").await?;
    node.builder().local_datacenter("datacenter1").connect().await?;
    Ok(())
}

async fn what_a_user_may_not_do_is_refused_and_not_applied(node: Arc<Secured>) -> Result<()> {
    let store = node.store().await?;
    for statement in [
        "CREATE TABLE IF NOT EXISTS school.teachers (id text PRIMARY KEY, name text)",
        "CREATE ROLE IF NOT EXISTS pupil WITH PASSWORD = 'pen' AND LOGIN = true",
        "GRANT SELECT ON KEYSPACE school TO pupil",
        "GRANT MODIFY ON TABLE school.students TO pupil",
    ] {
        execute(store.session(), statement).await?;
    }
    let pupil = node.anybody().credentials("pupil", "pen").keyspace("school").connect().await?;
    put(&pupil, "pupil", "Abby").await?;
    let mut batch = pupil.batch(BatchOptions::new())?;
    let job =
        batch.queue(Operation::put("teachers").key("id", "Bob").doc(&json!({"name": "Bob"})))?;
    let report = batch.commit().await?;
    assert_eq!((report.applied(), report.not_applied(), report.unknown()), (0, 1, 0));
    let error = job.outcome().err().ok_or("it was applied")?;
    assert_eq!((error.kind(), error.is_retry_safe()), (ErrorKind::Unauthorized, true));
    assert!(error.to_string().contains("no MODIFY permission"));
    assert!(store.get("teachers", [("id", "Bob")]).await?.is_none());
    Ok(())
}

/// A batch that fits is applied, and any other refused for its size.
async fn is_taken_or_too_large(mut batch: Box<dyn Batch>, fits: bool) {
    match batch.commit().await {
        Ok(report) => assert_eq!((report.is_success(), fits), (true, true)),
        Err(error) => assert_eq!((error.kind(), fits), (ErrorKind::TooLarge, false)),
    }
}

async fn the_servers_own_limits_are_read(node: Arc<Secured>) -> Result<()> {
    let store = node.store().await?;
    // More than a server takes in a logged batch unless it is told otherwise, as this one is.
    let whole = Guarantee::AllOrNothing { isolated: false };
    for (bytes, fits) in [(60 << 10, true), (120 << 10, false)] {
        let mut batch = store.batch(BatchOptions::new().guarantee(whole))?;
        for id in ["one", "two"] {
            let name = "x".repeat(bytes / 2);
            batch.queue(Operation::put("students").key("id", id).doc(&json!({"name": name})))?;
        }
        is_taken_or_too_large(batch, fits).await;
    }
    Ok(())
}

/// A frame may have 16 MiB here. What is larger than a mutation would be sent, fail on the replicas, and end as unknown.
async fn no_request_has_more_than_is_written_to_a_partition_at_once(
    node: Arc<Secured>,
) -> Result<()> {
    const MUTATION: usize = 2 << 20;
    let store = node.store().await?;
    let table =
        "CREATE TABLE IF NOT EXISTS school.large (p text, c int, v text, PRIMARY KEY (p, c))";
    execute(store.session(), table).await?;
    let row = |operation: Operation, c: i64, bytes: usize| {
        operation.key("p", "p").key("c", c).doc(&json!({"v": "x".repeat(bytes)}))
    };
    let put = |c, bytes| row(Operation::put("large"), c, bytes);
    let whole = || BatchOptions::new().guarantee(Guarantee::AllOrNothing { isolated: true });

    let mut batch = store.batch(BatchOptions::new())?;
    let rejected = batch.queue(put(0, MUTATION)).err().ok_or("it is queued")?;
    assert_eq!(rejected.error.kind(), ErrorKind::TooLarge);
    assert!(rejected.error.message().contains("a request may have 2096128"), "{}", rejected.error);
    // The largest that is taken here is taken by the server, by itself and with a condition.
    let (mut fits, mut is_over) = (MUTATION - 4096, MUTATION);
    while is_over - fits > 1 {
        let bytes = usize::midpoint(fits, is_over);
        let mut batch = store.batch(BatchOptions::new())?;
        let is_taken = batch.queue(put(0, bytes)).is_ok() && batch.plan().await?.refused.is_empty();
        batch.discard();
        *(if is_taken { &mut fits } else { &mut is_over }) = bytes;
    }
    batch.queue(put(1, fits))?;
    batch.queue(row(Operation::insert("large"), 2, fits))?;
    let _report = batch.commit().await?.into_result()?;

    // Rows that are larger together are one by one under best effort, and refused as a whole.
    for (options, fits) in [(BatchOptions::new(), true), (whole(), false)] {
        let mut batch = store.batch(options)?;
        for c in 10..15 {
            batch.queue(put(c, MUTATION / 4))?;
        }
        is_taken_or_too_large(batch, fits).await;
    }
    Ok(())
}

/// A clock that is ten minutes off.
#[derive(Debug)]
struct Ahead;

impl Clock for Ahead {
    fn now_micros(&self) -> i64 {
        SystemClock.now_micros() + 600_000_000
    }
}

async fn writes_are_stamped_with_the_servers_time(node: Arc<Secured>) -> Result<()> {
    let options = StoreOptions::new().clock(Arc::new(Ahead));
    let store = node.store_by(|builder| builder.options(options)).await?;
    put(&store, "stamped", "Abby").await?;
    let text = "SELECT writetime(name) FROM school.students WHERE id = 'stamped'";
    let rows = execute(store.session(), text).await?.into_rows_result()?;
    let (stamp,) = rows.single_row::<(i64,)>()?;
    let late = SystemClock.now_micros() - stamp;
    // Server and test share a clock here, and the store's is ten times as far off.
    assert!((-60_000_000..60_000_000).contains(&late), "{late} us");
    Ok(())
}

async fn a_url_says_it_all(node: Arc<Secured>) -> Result<()> {
    node.store().await?;
    let url = format!(
        "cql+tls://cassandra:cassandra@{}/school?tls_ca={}&tls_name={NAME}&translate=contact-points\
         &compression=lz4&consistency=one&serial_consistency=serial&local_dc=datacenter1&timeout=20s",
        node.node.address(),
        node.file(Certified::OURS).display()
    );
    let store = unibatch::connect(&url).await?;
    put(&*store, "url", "Abby").await
}

async fn a_server_that_says_nothing_is_waited_for_no_longer_than_was_said(
    node: Arc<Secured>,
) -> Result<()> {
    node.node.pause()?;
    let start = Instant::now();
    let builder = node.builder().connect_timeout(Duration::from_secs(2));
    let said = refused(builder, ErrorKind::Timeout, &node.node.address().to_string()).await;
    let took = start.elapsed();
    node.node.resume()?;
    said?;
    // On a busy machine two seconds are more; without a limit it would wait until the node goes on.
    assert!(took < Duration::from_secs(20), "{took:?}");
    // It is up again.
    put(&node.store().await?, "again", "Abby").await
}

macro_rules! trials {
    ($($name:ident),+ $(,)?) => {
        const NAMES: &[&str] = &[$(concat!("connect::", stringify!($name))),+];

        fn trials(node: &Arc<Secured>) -> Vec<Trial> {
            vec![$(trial(concat!("connect::", stringify!($name)), $name(Arc::clone(node)))),+]
        }
    };
}

trials![
    a_store_connects_over_tls_and_its_server_says_what_it_is,
    a_wrong_password_is_refused_and_not_shown,
    a_user_who_is_not_given_is_asked_for,
    a_server_that_speaks_tls_is_told_from_one_that_is_down,
    a_certificate_that_proves_nothing_is_refused,
    tls_settings_of_ones_own_are_taken,
    requests_are_compressed_as_was_asked,
    nodes_at_addresses_that_do_not_exist_here_need_a_translation,
    a_session_of_ones_own_can_be_given,
    what_the_cluster_does_not_have_is_named_with_what_it_has,
    what_a_user_may_not_do_is_refused_and_not_applied,
    the_servers_own_limits_are_read,
    no_request_has_more_than_is_written_to_a_partition_at_once,
    writes_are_stamped_with_the_servers_time,
    a_url_says_it_all,
    a_server_that_says_nothing_is_waited_for_no_longer_than_was_said,
];

fn main() -> ExitCode {
    let all_ignored = |why: &str| NAMES.iter().map(|name| ignored(name, why)).collect::<Vec<_>>();
    if is_listing() {
        return conclude_serially(all_ignored("no server is started to list its tests"));
    }
    match Secured::start() {
        Ok(node) => conclude_serially(trials(&Arc::new(node))),
        Err(error) => conclude_serially(missing("connect", &error.to_string(), all_ignored)),
    }
}
