//! What real servers answered, replayed against the emulator as each of the releases that answered so.
//! `recorded/README.md` says where the recordings come from and what their members mean.

mod recording;
mod support;

use std::collections::BTreeSet;

use libtest_mimic::{Arguments, Failed, Trial};
use recording::Case;

/// What is not emulated, and why.
const OUT: [(&str, &str); 2] = [
    ("script", "transactions in JavaScript are not emulated"),
    ("aql-memory-limit", "the memory of queries is not counted"),
];

fn main() {
    let arguments = Arguments::from_args();
    let cases = match recording::load() {
        Ok(cases) => cases,
        Err(error) => {
            let fail = move || Err(Failed::from(format!("the recordings cannot be read: {error}")));
            libtest_mimic::run(&arguments, vec![Trial::test("recordings", fail)]).exit();
        }
    };
    let mut trials = Vec::new();
    for case in cases {
        let versions: BTreeSet<String> = case.versions.iter().cloned().collect();
        for version in versions {
            trials.push(trial(case.clone(), version));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(case: Case, version: String) -> Trial {
    let out = OUT.iter().find(|(what, _)| case.scope == *what || case.name.starts_with(what));
    let reason = out.map_or(String::new(), |(_, why)| format!(" ({why})"));
    let name = format!("{}::{} on {version}{reason}", case.scope, case.name);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let differences = runtime.block_on(recording::replay(&case, &version));
        if differences.is_empty() { Ok(()) } else { Err(Failed::from(differences.join("\n"))) }
    };
    Trial::test(name, run).with_ignored_flag(out.is_some())
}
