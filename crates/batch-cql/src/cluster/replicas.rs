//! Which partitions have the same replicas.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use batch_core::seam::KeyId;
use foldhash::fast::FixedState;
use scylla::{
    cluster::{ClusterState, metadata::Strategy},
    frame::response::result::TableSpec,
    routing::{
        Token,
        partitioner::{Murmur3Partitioner, Partitioner as _, PartitionerHasher as _},
    },
};

use crate::row::CellRef;

/// Sets of replicas as numbers. Where every node has every partition, all have number 0, and no
/// token is computed.
#[derive(Debug)]
pub(crate) struct Replicas {
    state: Arc<ClusterState>,
    /// For each keyspace, whether its partitions have different replicas.
    differ: HashMap<Box<str>, bool, FixedState>,
}

/// Keeps what was found out until the cluster changes.
#[derive(Debug, Default)]
pub(crate) struct KnownReplicas {
    recent: Mutex<Option<Arc<Replicas>>>,
}

impl KnownReplicas {
    pub(crate) fn of(&self, state: &Arc<ClusterState>) -> Arc<Replicas> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.take_if(|known| Arc::ptr_eq(&known.state, state));
        let replicas = known.unwrap_or_else(|| Arc::new(Replicas::new(Arc::clone(state))));
        Arc::clone(recent.insert(replicas))
    }
}

impl Replicas {
    fn new(state: Arc<ClusterState>) -> Self {
        let nodes = state.get_nodes_info();
        let in_datacenter = |name: &str| {
            nodes.iter().filter(|node| node.datacenter.as_deref() == Some(name)).count()
        };
        let differ = state
            .keyspaces_iter()
            .map(|(name, keyspace)| {
                let differ = match &keyspace.strategy {
                    Strategy::SimpleStrategy { replication_factor } => {
                        *replication_factor < nodes.len()
                    }
                    Strategy::NetworkTopologyStrategy { datacenter_repfactors } => {
                        datacenter_repfactors
                            .iter()
                            .any(|(name, factor)| *factor < in_datacenter(name))
                    }
                    // Every node has everything, or nothing is known.
                    _ => false,
                };
                (name.into(), differ)
            })
            .collect();
        Self { state, differ }
    }

    /// Whether partitions of a keyspace have different replicas. Else all have number 0.
    pub(crate) fn differ(&self, keyspace: &str) -> bool {
        self.differ.get(keyspace).copied().unwrap_or(false)
    }

    /// The number of the replicas of a partition, which the values of its key tell; 0 if they are not known, as of
    /// the tablets of a table that nobody has written to: the first load of one would go row by row else.
    pub(crate) fn of_partition<'c>(
        &self,
        keyspace: &str,
        table: &str,
        key: impl ExactSizeIterator<Item = CellRef<'c>>,
    ) -> u16 {
        let Some(meta) = self.state.get_keyspace(keyspace) else { return 0 };
        let token = token(key);
        let table = TableSpec::borrowed(keyspace, table);
        let replicas =
            self.state.replica_locator().replicas_for_token(token, &meta.strategy, None, &table);
        let mut sum = 0_u64;
        for (node, _) in replicas {
            // The same for any order of the same nodes.
            sum = sum.wrapping_add(KeyId::of(node.host_id.as_u128()).get());
        }
        u16::try_from(sum >> 48).unwrap_or(0)
    }
}

/// Where a partition stands on the ring.
fn token<'c>(key: impl ExactSizeIterator<Item = CellRef<'c>>) -> Token {
    let mut hasher = Murmur3Partitioner.build_hasher();
    let is_one = key.len() == 1;
    let parts = key.map(|part| match part {
        CellRef::Value(bytes) => bytes,
        CellRef::Null | CellRef::Unset => &[],
    });
    for part in parts {
        if is_one {
            hasher.write(part);
        } else {
            // No part of a key is longer than its length can say.
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            hasher.write(&length.to_be_bytes());
            hasher.write(part);
            hasher.write(&[0]);
        }
    }
    hasher.finish()
}
