//! A collection: its properties, its indexes and its documents.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{clock::Clock, data::Data, index::Index, keys::KeyGenerator};
use crate::{errors::Failure, version::Version};

/// What a collection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Document,
    Edge,
}

/// A collection.
#[derive(Clone, Debug)]
pub(crate) struct Collection {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) system: bool,
    pub(crate) wait_for_sync: bool,
    pub(crate) keys: KeyGenerator,
    pub(crate) indexes: Vec<Index>,
    pub(crate) data: Arc<Data>,
    object_id: u64,
    cache_enabled: bool,
    schema: Value,
    computed_values: Value,
    /// What a coordinator says more, as it was given.
    sharding: Map<String, Value>,
}

impl Collection {
    /// By the body of `POST /_api/collection`.
    pub(crate) fn new(options: &Value, clock: &mut Clock) -> Result<Self, Failure> {
        let name = options["name"].as_str().unwrap_or_default();
        let system = options["isSystem"].as_bool().unwrap_or(false);
        check_name(name, system)?;
        let kind = match &options["type"] {
            Value::Null => Kind::Document,
            kind if *kind == json!(2) || *kind == json!("document") => Kind::Document,
            kind if *kind == json!(3) || *kind == json!("edge") => Kind::Edge,
            _ => return Err(Failure::new(1218).status(400).says("illegal collection type")),
        };
        let keys = KeyGenerator::new(&options["keyOptions"])?;
        let mut sharding = Map::new();
        for name in ["numberOfShards", "replicationFactor", "shardKeys", "shardingStrategy"] {
            if let Some(given) = options.get(name) {
                sharding.insert(name.into(), given.clone());
            }
        }
        let mut collection = Self {
            id: clock.tick(),
            name: name.to_owned(),
            kind,
            system,
            wait_for_sync: false,
            keys,
            indexes: Vec::new(),
            data: Arc::default(),
            object_id: clock.tick(),
            cache_enabled: false,
            schema: Value::Null,
            computed_values: Value::Null,
            sharding,
        };
        collection.change(options);
        Ok(collection)
    }

    /// The properties that may change later, as far as they are given.
    pub(crate) fn change(&mut self, options: &Value) {
        if let Some(wait) = options["waitForSync"].as_bool() {
            self.wait_for_sync = wait;
        }
        if let Some(cached) = options["cacheEnabled"].as_bool() {
            self.cache_enabled = cached;
        }
        if let Some(schema) = options.get("schema") {
            let none = schema.as_object().is_some_and(Map::is_empty);
            self.schema = if none { Value::Null } else { schema.clone() };
        }
        if let Some(computed) = options.get("computedValues") {
            self.computed_values = computed.clone();
        }
    }

    fn kind_number(&self) -> u8 {
        match self.kind {
            Kind::Document => 2,
            Kind::Edge => 3,
        }
    }

    /// The six keys that every answer about a collection has.
    pub(crate) fn brief(&self, server: &str) -> Value {
        json!({
            "id": self.id.to_string(), "name": self.name, "status": 3, "type": self.kind_number(),
            "isSystem": self.system, "globallyUniqueId": self.unique_id(server),
        })
    }

    /// The whole description, by what the release has.
    pub(crate) fn describe(&self, server: &str, version: &Version, sharded: bool) -> Value {
        let mut shown = self.brief(server);
        let mut more = json!({
            "cacheEnabled": self.cache_enabled, "internalValidatorType": 0, "isSmartChild": false,
            "keyOptions": self.keys.describe(), "objectId": self.object_id.to_string(),
            "schema": self.schema, "syncByRevision": true, "usesRevisionsAsDocumentIds": true,
            "waitForSync": self.wait_for_sync, "writeConcern": 1,
        });
        if !version.at_least(4, 0, 0) {
            more["statusString"] = "loaded".into();
        }
        if version.at_least(3, 10, 0) {
            more["computedValues"] = self.computed_values.clone();
        }
        if version.at_least(3, 12, 8) {
            more["supportsRBAC"] = true.into();
        }
        if sharded {
            let mut defaults = json!({
                "isSmart": false, "isDisjoint": false, "minReplicationFactor": 1,
                "numberOfShards": 3, "replicationFactor": 1, "shardKeys": ["_key"],
                "shardingStrategy": "hash",
            });
            extend(&mut defaults, Value::Object(self.sharding.clone()));
            extend(&mut more, defaults);
        }
        extend(&mut shown, more);
        if version.at_least(4, 0, 0)
            && let Some(shown) = shown.as_object_mut()
        {
            shown.remove("status");
        }
        shown
    }

    fn unique_id(&self, server: &str) -> String {
        // System collections are the same ones on every server.
        if self.system { self.name.clone() } else { format!("{server}/{}", self.id) }
    }

    /// The revision of the last write; of a collection without one, the server's own start value.
    pub(crate) fn revision(&self) -> String {
        match self.data.last_revision {
            0 => "54".into(),
            revision => super::revision_text(revision),
        }
    }
}

fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}

/// The traditional naming rules: a letter first, or `_` for system collections.
pub(crate) fn check_name(name: &str, system: bool) -> Result<(), Failure> {
    let legal = name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || (b == b'_' && system));
    if legal { Ok(()) } else { Err(Failure::new(1208)) }
}
