//! A published server in a container.

use std::{fmt, net::SocketAddr, time::Duration};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    bollard::Docker,
    core::{IntoContainerPort as _, WaitFor},
    runners::AsyncRunner as _,
};
use tokio::{net::lookup_host, runtime::Runtime, time::timeout};

use crate::{Result, node::READY, tell, watchdog::Watchdog};

/// The longest that a container engine may take to say that it is there.
const LONGEST_PROBE: Duration = Duration::from_secs(5);
/// The longest that an image may take to be pulled, and its server to start.
const LONGEST_START: Duration = Duration::from_secs(400);

const CQL: u16 = 9042;
const ARANGO: u16 = 8529;

/// A published image, how its server is started, and what it says when clients may come.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    name: &'static str,
    tag: &'static str,
    variables: Vec<(&'static str, String)>,
    arguments: &'static [&'static str],
    port: u16,
    ready: WaitFor,
}

impl Published {
    pub(crate) fn cassandra(java: &[String]) -> Self {
        Self {
            name: "cassandra",
            tag: "5.0",
            variables: vec![
                // Clients come through a mapped port of this machine, and would else be sent to an
                // address inside the engine.
                ("CASSANDRA_BROADCAST_ADDRESS", "127.0.0.1".to_owned()),
                ("MAX_HEAP_SIZE", "512M".to_owned()),
                ("HEAP_NEWSIZE", "128M".to_owned()),
                ("JVM_EXTRA_OPTS", java.join(" ")),
            ],
            arguments: &[],
            port: CQL,
            ready: WaitFor::message_on_stdout(READY),
        }
    }

    pub(crate) fn arango(tag: &'static str, password: &str) -> Self {
        Self {
            name: "arangodb",
            tag,
            variables: vec![("ARANGO_ROOT_PASSWORD", password.to_owned())],
            arguments: &[],
            port: ARANGO,
            ready: WaitFor::message_on_either_std("is ready for business"),
        }
    }

    pub(crate) fn scylla() -> Self {
        Self {
            name: "scylladb/scylla",
            tag: "2025.3.8",
            variables: Vec::new(),
            arguments: &[
                "--smp=1",
                "--memory=1G",
                "--overprovisioned=1",
                "--developer-mode=1",
                "--broadcast-rpc-address=127.0.0.1",
            ],
            port: CQL,
            ready: WaitFor::message_on_either_std("init - serving"),
        }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// A server in a container, which is removed when this is dropped.
pub struct Container {
    // In this order: the container is removed on the runtime.
    container: Option<ContainerAsync<GenericImage>>,
    runtime: Runtime,
    address: SocketAddr,
    _watchdog: Watchdog,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Container {
    /// Starts the image, which is pulled if the engine does not have it. Where there is no engine,
    /// that is known at once.
    pub(crate) fn start(image: &Published) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(probe(image))?;
        let (container, address) = runtime.block_on(async {
            let started = timeout(LONGEST_START, run(image)).await;
            started.map_err(|_| format!("{image} did not start within {LONGEST_START:?}"))?
        })?;
        let watchdog = Watchdog::over_container(container.id())?;
        Ok(Self { container: Some(container), runtime, address, _watchdog: watchdog })
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(container) = self.container.take()
            && let Err(error) = self.runtime.block_on(container.rm())
        {
            tell(format_args!("a container is left behind: {error}"));
        }
    }
}

async fn probe(image: &Published) -> Result<()> {
    let engine = Docker::connect_with_defaults()?;
    let answered = timeout(LONGEST_PROBE, engine.ping()).await;
    answered.map_err(|_| format!("no engine answered within {LONGEST_PROBE:?}"))??;
    if engine.inspect_image(&image.to_string()).await.is_err() {
        tell(format_args!("the container engine pulls {image}"));
    }
    Ok(())
}

async fn run(image: &Published) -> Result<(ContainerAsync<GenericImage>, SocketAddr)> {
    let mut request = GenericImage::new(image.name, image.tag)
        .with_exposed_port(image.port.tcp())
        .with_wait_for(image.ready.clone())
        .with_startup_timeout(LONGEST_START)
        .with_cmd(image.arguments.iter().copied());
    for (name, value) in &image.variables {
        request = request.with_env_var(*name, value);
    }
    let container = request.start().await?;
    let host = container.get_host().await?.to_string();
    let port = container.get_host_port_ipv4(image.port).await?;
    // The port is mapped on the engine's IPv4 addresses.
    let address = lookup_host((host, port)).await?.find(SocketAddr::is_ipv4);
    Ok((container, address.ok_or("the engine's host has no IPv4 address")?))
}
