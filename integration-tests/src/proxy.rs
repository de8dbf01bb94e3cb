//! A proxy in front of a node that loses, delays and forges frames.

use std::{fmt, net::SocketAddr};

use batch_core::StoreOptions;
use batch_cql::{CqlStore, Translate};
use scylla_proxy::{Node, Proxy, RequestRule, ResponseRule, RunningProxy, ShardAwareness};

use crate::{Result, loopback::Place};

/// A proxy on an address of its own, in front of a node or alone. It ends when it is dropped.
pub struct FaultyNode {
    proxy: RunningProxy,
    place: Place,
}

impl fmt::Debug for FaultyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyNode").field("place", &self.place).finish_non_exhaustive()
    }
}

impl FaultyNode {
    /// In front of a node, to which it passes everything on at first.
    ///
    /// # Errors
    /// If no address is free.
    pub async fn before(node: SocketAddr) -> Result<Self> {
        let place = Place::reserve()?;
        let behind = Node::builder()
            .proxy_address(place.contact_point())
            .real_address(node)
            .shard_awareness(ShardAwareness::Unaware)
            .build();
        let proxy = Proxy::builder().with_node(behind).build().run().await?;
        Ok(Self { proxy, place })
    }

    /// With nothing behind it: what no rule answers is never answered.
    ///
    /// # Errors
    /// If no address is free.
    pub async fn alone(rules: Vec<RequestRule>) -> Result<Self> {
        let place = Place::reserve()?;
        let node = Node::builder()
            .proxy_address(place.contact_point())
            .request_rules(rules)
            .build_dry_mode();
        let proxy = Proxy::builder().with_node(node).build().run().await?;
        Ok(Self { proxy, place })
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.place.contact_point()
    }

    /// A store that reaches the node through the proxy alone.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn store(&self, keyspace: &str, options: StoreOptions) -> Result<CqlStore> {
        let builder = CqlStore::builder()
            .contact_point(self.address().to_string())
            .keyspace(keyspace)
            .translate(Translate::ContactPoints)
            .options(options);
        Ok(builder.connect().await?)
    }

    /// From now on, what happens to requests; the first rule that fits decides.
    pub fn on_requests(&mut self, rules: &[RequestRule]) {
        for node in &mut self.proxy.running_nodes {
            node.change_request_rules(Some(rules.to_vec()));
        }
    }

    /// From now on, what happens to answers.
    pub fn on_answers(&mut self, rules: &[ResponseRule]) {
        for node in &mut self.proxy.running_nodes {
            node.change_response_rules(Some(rules.to_vec()));
        }
    }
}
