//! One Cassandra node: a process that can be stopped, woken, killed and started again.

use std::{
    fmt, fs,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tempfile::TempDir;

use crate::{Result, jars::Runtime, loopback::Place, watchdog::Watchdog};

const YAML: &str = include_str!("../servers/cassandra/cassandra.yaml");
const LOGBACK: &str = include_str!("../servers/cassandra/logback.xml");
const JAVA: &str = include_str!("../servers/cassandra/java.args");

/// What a node says when clients may come.
pub(crate) const READY: &str = "Startup complete";

/// The longest that a node may take to start: on a busy machine, with a commit log to replay.
const LONGEST_START: Duration = Duration::from_secs(180);

/// How a node differs from the usual one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Settings {
    heap: String,
    durable: bool,
    yaml: Vec<String>,
    java: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { heap: "512m".to_owned(), durable: false, yaml: Vec::new(), java: Vec::new() }
    }
}

impl Settings {
    /// 512 MiB of heap, anybody may log in, nothing else changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The heap, such as `512m`.
    pub fn heap(mut self, size: &str) -> Self {
        size.clone_into(&mut self.heap);
        self
    }

    /// Adds a line to the node's `cassandra.yaml`.
    pub fn yaml(mut self, line: impl Into<String>) -> Self {
        self.yaml.push(line.into());
        self
    }

    /// Adds an argument of Java's, such as `-Dcassandra.test.fail_writes_ks=broken`.
    pub fn java(mut self, argument: impl Into<String>) -> Self {
        self.java.push(argument.into());
        self
    }

    pub(crate) fn java_arguments(&self) -> &[String] {
        &self.java
    }

    /// Logins: only with a name and a password, at first `cassandra` and `cassandra`.
    pub fn logins(self) -> Self {
        self.yaml("authenticator: PasswordAuthenticator").yaml("authorizer: CassandraAuthorizer")
    }

    /// What is acknowledged outlives a node that is killed; else the last ten seconds do not.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Tables are made and removed faster: what a node says it wrote may be lost with the machine.
    pub fn quick_schema(self) -> Self {
        self.java("-Dcassandra.test.flush_local_schema_changes=false")
            .java("-Dcassandra.unsafesystem=true")
    }
}

/// What a process said, line by line.
#[derive(Debug, Default)]
struct Output {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    /// What it can still say something on.
    open: usize,
}

impl Output {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lines as they come, on a thread of its own, until there are no more.
    fn collect(self: Arc<Self>, from: impl Read + Send + 'static) {
        self.said().open += 1;
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                self.said().lines.push(line);
                self.news.notify_all();
            }
            self.said().open -= 1;
            self.news.notify_all();
        });
    }

    /// Waits for a line that holds `text`, from line `since` on, and gives the number of the next.
    fn wait_for(&self, text: &str, since: usize, longest: Duration) -> Result<usize> {
        let until = Instant::now() + longest;
        let mut said = self.said();
        loop {
            let mut from = said.lines.iter().enumerate().skip(since);
            if let Some((number, _)) = from.find(|(_, line)| line.contains(text)) {
                return Ok(number + 1);
            }
            let left = until.saturating_duration_since(Instant::now());
            if said.open == 0 || left.is_zero() {
                let what =
                    if said.open == 0 { "the node ended" } else { "the node takes too long" };
                let from = said.lines.len().saturating_sub(15);
                let last = said.lines.get(from..).unwrap_or_default().join("\n    ");
                return Err(format!("{what}, without `{text}`; its last words:\n    {last}").into());
            }
            let waited = self.news.wait_timeout(said, left);
            said = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    output: Arc<Output>,
    // Dropped last: until the process is gone it is watched.
    _watchdog: Watchdog,
}

impl Process {
    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it and waits until it is gone, and with it its hold on addresses and files.
    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            // It ended by itself, and its number may be another's by now.
            return Ok(());
        }
        kill_process_group(self.id(), Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        let _ = self.end();
    }
}

/// A node's place among others.
#[derive(Debug)]
pub(crate) struct InRing {
    pub(crate) token: i64,
    /// The address and port where other nodes are found; its own if it is the first.
    pub(crate) seed: SocketAddr,
}

/// A node of its own data, on an address of its own. It ends when it is dropped, and its data with it.
pub struct Node {
    settings: Settings,
    runtime: Runtime,
    in_ring: InRing,
    // The order of the fields is the order of their end: the process before its files and its place.
    process: Option<Process>,
    files: TempDir,
    place: Place,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("address", &self.address())
            .field("runs", &self.process.is_some())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node that is a cluster by itself, and waits until clients may come.
    ///
    /// # Errors
    /// What is missing on this machine, or what the node said last.
    pub fn start(settings: Settings) -> Result<Self> {
        let place = Place::reserve()?;
        let seed = SocketAddr::new(place.address, place.storage);
        let node = Self::launch(Runtime::find()?, place, InRing { token: 0, seed }, settings)?;
        node.wait_until_ready()?;
        Ok(node)
    }

    /// Starts a node and does not wait for it.
    pub(crate) fn launch(
        runtime: Runtime,
        place: Place,
        in_ring: InRing,
        settings: Settings,
    ) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("unibatch-cassandra-").tempdir()?;
        let mut node = Self { settings, runtime, in_ring, process: None, files, place };
        node.write_files()?;
        node.spawn()?;
        Ok(node)
    }

    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        self.wait_for(READY, 0, LONGEST_START)?;
        Ok(())
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.contact_point()
    }

    pub(crate) fn storage_port(&self) -> u16 {
        self.place.storage
    }

    /// Stops the process where it stands (`SIGSTOP`), and waits until it does: it keeps its
    /// connections and says nothing.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        let id = self.running()?.id();
        kill_process(id, Signal::STOP)?;
        waitid(WaitId::Pid(id), WaitIdOptions::STOPPED)?;
        Ok(())
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&self) -> Result<()> {
        Ok(kill_process(self.running()?.id(), Signal::CONT)?)
    }

    /// Ends the process at once (`SIGKILL`), and waits until it is gone. Its data stays.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.running()?;
        match self.process.take() {
            Some(mut process) => process.end(),
            None => Ok(()),
        }
    }

    /// Starts a killed node on its data and its address, and waits until clients may come.
    ///
    /// # Errors
    /// What the node said last.
    pub fn start_again(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Err("the node runs; kill it first".into());
        }
        self.spawn()?;
        self.wait_until_ready()
    }

    /// How many lines the process has said.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.output.said().lines.len())
    }

    /// Waits until the process has said a line that holds `text`, from line `since` on, and gives
    /// the number of the next line.
    ///
    /// # Errors
    /// The last lines, if it ends or takes too long.
    pub fn wait_for(&self, text: &str, since: usize, longest: Duration) -> Result<usize> {
        self.running()?.output.wait_for(text, since, longest)
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().ok_or_else(|| "the node does not run".into())
    }

    fn write_files(&self) -> Result<()> {
        let Place { address, cql, storage, .. } = &self.place;
        let mut yaml = format!(
            "{YAML}\n\
             initial_token: {}\nlisten_address: {address}\nrpc_address: {address}\n\
             storage_port: {storage}\nnative_transport_port: {cql}\n\
             seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    \
             parameters:\n      - seeds: \"{}\"\n",
            self.in_ring.token, self.in_ring.seed
        );
        let commit_log = if self.settings.durable {
            "commitlog_sync: batch\n"
        } else {
            "commitlog_sync: periodic\ncommitlog_sync_period: 10s\n"
        };
        yaml.push_str(commit_log);
        for line in &self.settings.yaml {
            yaml.push_str(line);
            yaml.push('\n');
        }
        let folder = self.files.path();
        fs::write(folder.join("cassandra.yaml"), yaml)?;
        fs::write(folder.join("logback.xml"), LOGBACK)?;
        fs::write(folder.join("java.args"), JAVA)?;
        Ok(())
    }

    fn spawn(&mut self) -> Result<()> {
        let folder = self.files.path();
        let at = |name: &str| folder.join(name).display().to_string();
        let heap = &self.settings.heap;
        let library = self.runtime.library.join("*");
        let mut child = Command::new(&self.runtime.java)
            .arg(format!("@{}", at("java.args")))
            .arg(format!("-javaagent:{}", self.runtime.agent()?.display()))
            .args([format!("-Xms{heap}"), format!("-Xmx{heap}")])
            .arg(format!("-Dcassandra.config=file://{}", at("cassandra.yaml")))
            .arg(format!("-Dcassandra.storagedir={}", at("data")))
            .arg(format!("-Dcassandra.logdir={}", at("log")))
            .arg(format!("-Dlogback.configurationFile={}", at("logback.xml")))
            .args(&self.settings.java)
            .arg("-cp")
            .arg(library)
            .arg("org.apache.cassandra.service.CassandraDaemon")
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = Arc::<Output>::default();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            Arc::clone(&output).collect(out);
            Arc::clone(&output).collect(err);
        }
        let watchdog = Watchdog::over_process(child.id(), folder)?;
        self.process = Some(Process { child, output, _watchdog: watchdog });
        Ok(())
    }
}
