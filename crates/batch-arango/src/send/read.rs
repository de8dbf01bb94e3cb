//! One document, outside any batch.

use batch_core::{Error, ErrorKind, Key, Result};
use bytes::Bytes;

use super::{has_key, is_of_document};
use crate::{
    array::{self, What},
    backend::ArangoBackend,
    encode,
    errors::{self, Scope},
    http::Call,
    server::answered,
};

impl ArangoBackend {
    /// By an array of one: that takes every key, also those that no path can have.
    pub(crate) async fn read_document(&self, collection: &str, key: &Key) -> Result<Option<Bytes>> {
        let (path, body, text) = encode::read_request(collection, key.as_ref())?;
        let call = Call::new(reqwest::Method::PUT, &path, body);
        // What is only read is in no doubt.
        let read =
            |error: Error| Error::new(error.kind(), error.message().to_owned()).with_source(error);
        let reply = self.client.call(&call, &|| ()).await.map_err(read)?;
        if !reply.is_success() {
            return Err(errors::refused(&answered(&reply, Scope::Call, false)));
        }
        let mut found = Ok(None);
        array::read(&reply.body, 1, true, &mut |_, element| {
            found = match element.what {
                What::Document if has_key(&element.text, &text) => Ok(Some(element.text)),
                What::Refused { number, message } => {
                    let error = errors::element(number, &message, false);
                    if is_of_document(&error) { Ok(None) } else { Err(error) }
                }
                What::Document | What::Other => {
                    let message =
                        "the answer is not the document that was asked for; read it again";
                    Err(Error::new(ErrorKind::Protocol, message))
                }
            };
        })
        .map_err(read)?;
        found
    }
}
