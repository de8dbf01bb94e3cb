//! The array call: many documents of one collection, one verb, one request. Each is applied or
//! refused by itself.

use batch_core::{
    ErrorKind, Fate, Result,
    seam::{Answers, Chunk},
};

use super::{
    SLICE,
    run::{self, Encoded},
};
use crate::{
    backend::ArangoBackend,
    encode::{self, Form},
    http::Call,
};

impl ArangoBackend {
    pub(crate) async fn send_array(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let mut body = Vec::with_capacity(usize::try_from(chunk.bytes()).unwrap_or(0));
        let Some(run) = encode_slowly(chunk, &mut body, answers).await else { return Ok(()) };
        let call = Call::new(run.request.method.clone(), &run.request.path, body);
        let reply = self.client.call(&call, &|| chunk.sent()).await?;
        run::array_answers(chunk, &run, &reply, answers).map_err(|error| {
            // Some servers refuse all for one: which one that is shows when it is alone.
            let of_one = reply.status == 400
                && error.fate() == Fate::NotApplied
                && error.kind() != ErrorKind::TooLarge
                && run.places.len() > 1;
            if of_one { error.of_some() } else { error }
        })
    }
}

/// Encodes all of a chunk, and gives way in between.
async fn encode_slowly(
    chunk: &Chunk<'_>,
    body: &mut Vec<u8>,
    answers: &mut Answers,
) -> Option<Encoded> {
    let first = chunk.operation(0)?;
    let form = Form::of(first)?;
    let mut places = Vec::with_capacity(chunk.len());
    body.push(b'[');
    for (place, operation) in chunk.operations().enumerate() {
        let start = body.len();
        if !places.is_empty() {
            body.push(b',');
        }
        match encode::write_element(operation, body) {
            Ok(()) => places.push(place),
            Err(error) => {
                body.truncate(start);
                answers.set(place, Err(error));
            }
        }
        if place % SLICE == SLICE - 1 {
            tokio::task::yield_now().await;
        }
    }
    body.push(b']');
    if places.is_empty() {
        return None;
    }
    let request = encode::array_request(first.collection, form);
    Some(Encoded { request, is_array: true, places })
}
