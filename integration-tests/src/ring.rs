//! Several nodes on loopback that are one cluster.

use std::{net::SocketAddr, thread, time::Duration};

use crate::{Node, Result, Settings, jars::Runtime, loopback::Place, node::InRing};

/// The longest that nodes may take to see each other.
const LONGEST_MEETING: Duration = Duration::from_secs(120);

/// Nodes that share one ring. They end when it is dropped.
#[derive(Debug)]
pub struct Ring {
    nodes: Vec<Node>,
}

impl Ring {
    /// Starts so many nodes, and waits until each has seen all others up.
    ///
    /// # Errors
    /// What is missing on this machine, or what a node said last.
    pub fn start(count: u8, settings: &Settings) -> Result<Self> {
        let runtime = Runtime::find()?;
        let places = Place::reserve_all(count.into())?;
        let Some(first) = places.first() else { return Err("a ring has nodes".into()) };
        let seed = SocketAddr::new(first.address, first.storage);
        let step = u64::MAX / u64::from(count.max(1));
        let mut nodes = Vec::new();
        for (token, place) in
            (0..).map(|number| i64::MIN.wrapping_add_unsigned(number * step)).zip(places)
        {
            let in_ring = InRing { token, seed };
            let node = Node::launch(runtime.clone(), place, in_ring, settings.clone())?;
            if nodes.is_empty() {
                // The others look for the first one as soon as they start, and then start side by side.
                node.wait_until_ready()?;
            }
            nodes.push(node);
        }
        let ring = Self { nodes };
        for node in &ring.nodes {
            node.wait_until_ready()?;
            ring.wait_until_seen_by_all(node)?;
        }
        Ok(ring)
    }

    /// The nodes, the first one first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes, to kill one.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Where clients find a node.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn address(&self, number: usize) -> Result<SocketAddr> {
        Ok(self.nodes.get(number).ok_or("the ring has no such node")?.address())
    }

    /// Starts a killed node again, and waits until all others see it up.
    ///
    /// # Errors
    /// What a node said last.
    pub fn start_again(&mut self, number: usize) -> Result<()> {
        let since: Vec<usize> = self.nodes.iter().map(Node::lines).collect();
        let node = self.nodes.get_mut(number).ok_or("the ring has no such node")?;
        node.start_again()?;
        let up = up(node);
        for (place, (other, since)) in self.nodes.iter().zip(since).enumerate() {
            if place != number {
                other.wait_for(&up, since, LONGEST_MEETING)?;
            }
        }
        Ok(())
    }

    fn wait_until_seen_by_all(&self, node: &Node) -> Result<()> {
        for other in self.nodes.iter().filter(|other| other.address() != node.address()) {
            other.wait_for(&up(node), 0, LONGEST_MEETING)?;
        }
        Ok(())
    }
}

/// What others say when they see a node up.
fn up(node: &Node) -> String {
    format!("/{}:{} is now UP", node.address().ip(), node.storage_port())
}

impl Drop for Ring {
    /// All at once: each takes a moment to go.
    fn drop(&mut self) {
        thread::scope(|scope| {
            for node in self.nodes.drain(..) {
                scope.spawn(move || drop(node));
            }
        });
    }
}
