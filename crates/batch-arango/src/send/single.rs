//! One operation, one request.

use batch_core::{
    Result,
    seam::{Answers, Chunk},
};

use super::{
    cursor::{self, FirstPage},
    last_moment, run,
};
use crate::{backend::ArangoBackend, http::Call};

impl ArangoBackend {
    pub(crate) async fn send_single(&self, chunk: &Chunk<'_>, answers: &mut Answers) -> Result<()> {
        let mut body = Vec::new();
        let Some(run) = run::encode_alone(chunk, &mut body, answers).await else { return Ok(()) };
        let mut call = Call::new(run.request.method.clone(), &run.request.path, body);
        call.if_match = run.request.if_match.as_deref();
        if run::is_query(chunk, &run) {
            call.adopt = Some(cursor::forget(&self.client));
        }
        let reply = self.client.call(&call, &|| chunk.sent()).await?;
        if let Some(page) = run::decode(chunk, &run, &reply, answers) {
            let page = FirstPage::new(&self.client, reply.server, page);
            let answer = self.whole_result(page, None, Some(last_moment(chunk)), answers).await;
            answers.set(0, answer);
        }
        Ok(())
    }
}
