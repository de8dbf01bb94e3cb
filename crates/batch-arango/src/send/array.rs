//! The array call: many documents of one collection, one verb, one request. Each is applied or
//! refused by itself.

use batch_core::{
    ErrorKind, Fate, Result,
    seam::{Answers, Chunk},
};

use super::run;
use crate::{backend::ArangoBackend, http::Call};

impl ArangoBackend {
    pub(crate) async fn send_array(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let mut body = Vec::with_capacity(usize::try_from(chunk.bytes()).unwrap_or(0));
        let run = run::encode_array(chunk, 0..chunk.len(), &mut body, answers).await;
        let Some(run) = run else { return Ok(()) };
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
