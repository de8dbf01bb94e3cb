//! Secondary indexes. Only unique ones hold something; the others are descriptions.

use serde_json::{Value, json};

use super::data::Document;

/// An index of a collection.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) fields: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) sparse: bool,
    /// Further attributes that were given, as they are shown again.
    pub(crate) more: serde_json::Map<String, Value>,
}

impl Index {
    /// The values of a document that no other one may have, as text; none where they may repeat.
    pub(crate) fn unique_values(&self, document: &Document) -> Option<String> {
        if !self.unique {
            return None;
        }
        let values: Vec<Value> = self.fields.iter().map(|field| at(document, field)).collect();
        // Where one value is missing, a sparse index does not hold the document; other unique ones
        // hold null as a value like any other.
        if self.sparse && values.iter().any(Value::is_null) {
            return None;
        }
        Some(crate::json::text(&values.into()))
    }

    /// As the index route shows it; `collection` is part of the id.
    pub(crate) fn describe(&self, collection: &str) -> Value {
        let mut shown = self.more.clone();
        shown.insert("id".into(), format!("{collection}/{}", self.id).into());
        shown.insert("name".into(), self.name.clone().into());
        shown.insert("type".into(), self.kind.clone().into());
        shown.insert("fields".into(), json!(self.fields));
        shown.insert("unique".into(), self.unique.into());
        shown.insert("sparse".into(), self.sparse.into());
        shown.into()
    }
}

/// The value at a path with dots; `[*]` is read as the list itself.
fn at(document: &Document, field: &str) -> Value {
    let mut parts = field.trim_end_matches("[*]").split('.');
    let mut value = match parts.next() {
        Some("_key") => Some(Value::from(&*document.key)),
        Some(first) => document.body.get(first).cloned(),
        None => None,
    };
    for part in parts {
        value = value.and_then(|value| value.get(part).cloned());
    }
    value.unwrap_or(Value::Null)
}
