//! `unibatch check`: connect, ask, print.

use crate::{
    args::CheckArgs,
    exit::{Code, Failure},
    output::{self, Facts},
};

pub(crate) fn check(args: &CheckArgs) -> Result<Code, Failure> {
    let url = crate::parse(&args.store.url)?;
    let runtime = crate::runtime()?;
    let failed = |error| Failure::of(Code::Failed, &error);
    let store = runtime.block_on(url.connect()).map_err(failed)?;
    let server = runtime.block_on(store.ping()).map_err(failed)?;
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
