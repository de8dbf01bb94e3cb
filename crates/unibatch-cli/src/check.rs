//! `unibatch check`: connect, ask, print.

use crate::{
    args::CheckArgs,
    exit::{Code, Failure},
    output::{self, Facts},
};

pub(crate) fn check(args: &CheckArgs) -> Result<Code, Failure> {
    let runtime = crate::runtime()?;
    let (url, store) = crate::connect(&runtime, &args.store.url)?;
    let server =
        runtime.block_on(store.ping()).map_err(|error| Failure::of(Code::Failed, &error))?;
    let facts = Facts {
        url: url.to_string(),
        store: store.name(),
        server,
        capabilities: store.capabilities(),
    };
    output::print_check(&facts, args.output)?;
    crate::close(&runtime, &*store);
    Ok(Code::Done)
}
