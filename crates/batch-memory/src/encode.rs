//! From a queued operation to what the tables take.

use std::{collections::BTreeMap, time::Duration};

use batch_core::{Error, ErrorKind, KeyRef, OperationRef, Result, Returning, Verb};
use serde_json::value::RawValue;

/// Top-level attributes with their JSON text. Null ones are kept until they are merged.
pub(crate) type Attributes = BTreeMap<String, Box<RawValue>>;

/// The attribute that a bare key is stored in.
pub(crate) const BARE_KEY: &str = "_key";

/// The attribute that reads carry the revision in; ignored in what is written.
pub(crate) const REVISION: &str = "_rev";

/// One operation, ready to be applied.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) verb: Verb,
    pub(crate) collection: String,
    pub(crate) identity: String,
    pub(crate) attributes: Attributes,
    pub(crate) if_revision: Option<Box<str>>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) returning: Option<Returning>,
}

/// The identity of a key: the string forms of its parts in the order of their names, joined by an
/// escaping that is one-to-one (`/` between, `~1` for `/`, `~0` for `~`).
pub(crate) fn identity(key: KeyRef<'_>) -> String {
    let mut out = String::new();
    for (place, form) in key.string_forms().into_iter().enumerate() {
        if place > 0 {
            out.push('/');
        }
        for character in form.chars() {
            match character {
                '~' => out.push_str("~0"),
                '/' => out.push_str("~1"),
                other => out.push(other),
            }
        }
    }
    out
}

/// Parses the document and stores the key's parts in it.
pub(crate) fn encode(operation: OperationRef<'_>) -> Result<Change> {
    let mut attributes = Attributes::new();
    if operation.verb.has_document() {
        attributes = serde_json::from_slice(operation.body).map_err(|error| {
            let message = format!("the document cannot be read: {error}");
            Error::new(ErrorKind::InvalidOperation, message).with_source(error)
        })?;
        attributes.remove(REVISION);
        let given = |name: &str| serde_json::from_str(attributes.get(name)?.get()).ok();
        operation.key.check_attributes(BARE_KEY, given)?;
        attributes.remove(BARE_KEY);
        for (name, value) in operation.key.parts() {
            let name = if name.is_empty() { BARE_KEY } else { name };
            if name == REVISION {
                let message =
                    "`_rev` is the store's own attribute; name the part of the key otherwise";
                return Err(Error::new(ErrorKind::InvalidKey, message));
            }
            let text = serde_json::value::to_raw_value(&value).map_err(|error| {
                Error::new(ErrorKind::InvalidKey, error.to_string()).with_source(error)
            })?;
            attributes.insert(name.to_owned(), text);
        }
    }
    Ok(Change {
        verb: operation.verb,
        collection: operation.collection.to_owned(),
        identity: identity(operation.key),
        attributes,
        if_revision: operation.options.if_revision.clone(),
        ttl: operation.options.ttl,
        returning: operation.options.returning,
    })
}

#[cfg(test)]
mod tests {
    use batch_core::Key;

    use super::*;

    #[test]
    fn keys_with_other_string_forms_have_other_identities() {
        let keys = [
            Key::new().part("a", "x").part("b", "y"),
            Key::new().part("a", "x/y"),
            Key::new().part("a", "x~1y"),
            Key::new().part("a", "x~").part("b", "1y"),
            Key::new().part("a", "").part("b", "x"),
            Key::new().part("a", "x"),
        ];
        let all: std::collections::HashSet<_> =
            keys.iter().map(|key| identity(key.as_ref())).collect();
        assert_eq!(all.len(), keys.len());
    }

    #[test]
    fn a_number_and_its_text_are_the_same_key() {
        assert_eq!(identity(Key::new().part("n", 1).as_ref()), identity(Key::from("1").as_ref()));
    }
}
