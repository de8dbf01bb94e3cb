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

/// What a node says each time that it has gone through its batch log, every ten seconds.
const REPLAYED: &str = "Finished replayFailedBatches";
const LONGEST_REPLAY: Duration = Duration::from_secs(60);

/// A node gives up the search for others after twice this time; on a busy machine they are not
/// found at once.
const PATIENT: &str = "-Dcassandra.ring_delay_ms=15000";

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
            let settings =
                if nodes.is_empty() { settings.clone() } else { settings.clone().java(PATIENT) };
            let node = Node::launch(runtime.clone(), place, in_ring, settings)?;
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

    /// Kills a node, and waits until all others see it down.
    ///
    /// # Errors
    /// What a node said last.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let since: Vec<usize> = self.nodes.iter().map(Node::lines).collect();
        let node = self.nodes.get_mut(number).ok_or("the ring has no such node")?;
        node.kill()?;
        let down = format!("{} is now DOWN", name(node));
        self.wait_for_others(number, &down, &since)
    }

    /// Starts a killed node again, and waits until all others see it up.
    ///
    /// # Errors
    /// What a node said last.
    pub fn start_again(&mut self, number: usize) -> Result<()> {
        let since: Vec<usize> = self.nodes.iter().map(Node::lines).collect();
        let node = self.nodes.get_mut(number).ok_or("the ring has no such node")?;
        node.start_again()?;
        let up = format!("{} is now UP", name(node));
        self.wait_for_others(number, &up, &since)
    }

    /// Waits until every node has carried out what was in its batch log when this was called.
    ///
    /// # Errors
    /// What a node said last.
    pub fn replay(&self) -> Result<()> {
        let since: Vec<usize> = self.nodes.iter().map(Node::lines).collect();
        for (node, since) in self.nodes.iter().zip(since) {
            // One that began before may have looked already.
            let next = node.wait_for(REPLAYED, since, LONGEST_REPLAY)?;
            node.wait_for(REPLAYED, next, LONGEST_REPLAY)?;
        }
        Ok(())
    }

    fn wait_for_others(&self, number: usize, text: &str, since: &[usize]) -> Result<()> {
        for (place, (other, since)) in self.nodes.iter().zip(since).enumerate() {
            if place != number {
                other.wait_for(text, *since, LONGEST_MEETING)?;
            }
        }
        Ok(())
    }

    fn wait_until_seen_by_all(&self, node: &Node) -> Result<()> {
        for other in self.nodes.iter().filter(|other| other.address() != node.address()) {
            other.wait_for(&format!("{} is now UP", name(node)), 0, LONGEST_MEETING)?;
        }
        Ok(())
    }
}

/// What others call a node.
fn name(node: &Node) -> String {
    format!("/{}:{}", node.address().ip(), node.storage_port())
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
