//! What a document may say of its key, where a store keeps the parts of keys as attributes.

use serde_json::Value;

use super::KeyRef;
use crate::{Error, ErrorKind, Result};

impl KeyRef<'_> {
    /// Refuses a document that says another key, for backends that keep the parts of keys as
    /// attributes, and a bare key in the attribute `bare`. `attribute` gives what the document
    /// has. It may repeat each part by its string form, and beside named parts `bare` may be the
    /// text of the only one; null is as absent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOperation`], naming the attribute.
    pub fn check_attributes(
        self,
        bare: &str,
        attribute: impl Fn(&str) -> Option<Value>,
    ) -> Result<()> {
        let mut parts = self.string_parts();
        let only = parts.next().map(|(_, form)| form).filter(|_| parts.next().is_none());
        let own = self.string_parts().map(|(name, form)| match name {
            "" => (bare, Some(form)),
            name => (name, Some(form)),
        });
        let has_bare = self.string_parts().any(|(name, _)| name.is_empty() || name == bare);
        let beside = (!has_bare).then_some((bare, only));
        for (name, form) in own.chain(beside) {
            let agrees = match attribute(name) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => form == Some(&*text),
                Some(other) => form == Some(&*other.to_string()),
            };
            if !agrees {
                let message = format!(
                    "the document's attribute `{name}` contradicts the key; leave it out of the document"
                );
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Key;

    #[test]
    fn a_document_may_repeat_its_key_and_says_no_other() {
        let id = || Key::new().part("id", 7);
        for (key, document, agrees) in [
            (Key::from("a"), json!({"b": 1}), true),
            (Key::from("a"), json!({"_key": "a"}), true),
            (Key::from("a"), json!({"_key": "b"}), false),
            (id(), json!({"id": "7", "_key": 7}), true),
            (id(), json!({"id": null, "_key": null}), true),
            (id(), json!({"id": 7.5}), false),
            (id(), json!({"_key": "8"}), false),
            (id().part("n", true), json!({"id": 7, "n": true}), true),
            (id().part("n", true), json!({"n": "false"}), false),
            (id().part("n", true), json!({"_key": "7"}), false),
            (id().part("_key", "x"), json!({"_key": "x"}), true),
            (Key::new().part("_key", "x"), json!({"_key": "y"}), false),
        ] {
            let given = |name: &str| document.get(name).cloned();
            let checked = key.as_ref().check_attributes("_key", given);
            assert_eq!(checked.is_ok(), agrees, "{key:?} {document}: {checked:?}");
        }
    }
}
