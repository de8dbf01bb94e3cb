//! Addresses that nodes tell, and those by which they are reached.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use batch_core::Result;
use futures_util::future::join_all;
use scylla::{
    client::session_builder::SessionBuilder,
    errors::TranslationError,
    policies::address_translator::{AddressTranslator, UntranslatedPeer},
};
use uuid::Uuid;

use super::ContactPoint;
use crate::{
    cluster::{connection::Asking, server::ask},
    errors,
};

/// How nodes are reached that tell addresses which do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Translate {
    /// By the contact points alone. With one of them, every node is reached through it. With
    /// several, each is asked which node it is; a node that none of them is, such as one that joins
    /// later, is reached through any. That costs a hop, and nothing else: every node takes requests
    /// for every other.
    ContactPoints,
}

impl Translate {
    /// Finds out which contact point is which node.
    pub(super) async fn translator(
        self,
        points: &[ContactPoint],
        session: &SessionBuilder,
    ) -> Result<Arc<dyn AddressTranslator>> {
        let Self::ContactPoints = self;
        let mut translator = Translator { points: points.to_vec(), nodes: HashMap::new() };
        if points.len() > 1 {
            let asked = points
                .iter()
                .enumerate()
                .map(|(place, point)| async move { (place, node_at(point, session).await) });
            for (place, node) in join_all(asked).await {
                match node {
                    Ok(node) => {
                        translator.nodes.insert(node, place);
                    }
                    // One that is down now need not be in the way: the session says it if all are.
                    Err(error) => tracing::warn!(
                        contact_point = %points.get(place).map(ToString::to_string).unwrap_or_default(),
                        %error,
                        "which node is at this contact point cannot be told"
                    ),
                }
            }
        }
        Ok(Arc::new(translator))
    }
}

/// Asks the node behind a contact point who it is, by a session that knows no other.
async fn node_at(point: &ContactPoint, session: &SessionBuilder) -> Result<Uuid> {
    const WHAT: &str = "who it is";
    let alone = Translator { points: vec![point.clone()], nodes: HashMap::new() };
    let mut builder = session.clone();
    builder.config.known_nodes.clear();
    let builder = builder
        .known_node(point.to_string())
        .address_translator(Arc::new(alone))
        .disallow_shard_aware_port(true)
        .fetch_schema_metadata(false);
    let session = builder.build().await;
    let session = session.map_err(|error| errors::not_connected(&point.to_string(), &error))?;
    let asking = Asking::new(session.get_default_execution_profile_handle());
    let rows = ask(&session, asking.who(), WHAT).await?;
    let row = rows.single_row::<(Uuid,)>();
    row.map(|(node,)| node).map_err(|error| errors::unreadable(WHAT, error))
}

/// Leads every node to a contact point.
struct Translator {
    /// At least one.
    points: Vec<ContactPoint>,
    /// The contact points of nodes that are known to be at one.
    nodes: HashMap<Uuid, usize>,
}

impl Translator {
    fn point(&self, node: Uuid) -> Option<&ContactPoint> {
        // The same for each of a node's connections.
        let any = || usize::try_from(node.as_u128() % self.points.len().max(1) as u128).ok();
        self.points.get(self.nodes.get(&node).copied().or_else(any)?)
    }
}

impl fmt::Debug for Translator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translator").field("points", &self.points).finish_non_exhaustive()
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the driver's trait leaves it out, and so must this")]
#[async_trait]
impl AddressTranslator for Translator {
    async fn translate_address(
        &self,
        peer: &UntranslatedPeer,
    ) -> Result<std::net::SocketAddr, TranslationError> {
        let point = self
            .point(peer.host_id())
            .ok_or_else(|| TranslationError::NoRuleForAddress(peer.untranslated_address()))?;
        // Looked up anew, as for any connection: the name may have moved.
        point.address().await.map_err(|error| TranslationError::IoError(Arc::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_where_it_said_that_it_is_and_an_unknown_one_anywhere() {
        let points = ["a", "b", "c"].map(|host| ContactPoint::parse(host).unwrap());
        let known = [Uuid::from_u128(30), Uuid::from_u128(31)];
        let nodes = HashMap::from([(known[0], 2), (known[1], 0)]);
        let translator = Translator { points: points.to_vec(), nodes };
        assert_eq!(translator.point(known[0]), Some(&points[2]));
        assert_eq!(translator.point(known[1]), Some(&points[0]));
        let stranger = Uuid::from_u128(u128::MAX);
        assert!(translator.point(stranger).is_some());
        assert_eq!(translator.point(stranger), translator.point(stranger));
    }
}
