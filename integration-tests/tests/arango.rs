//! The contract on ArangoDB: on the emulator of a release with the multipart call, of one whose
//! parser was written anew, and of one without the call; and on the published images.

use std::{process::ExitCode, sync::Arc};

use batch_conformance::{absent, conclude, trials};
use integration_tests::{ArangoHarness, ArangoServer, Result, is_listing, missing};

const EMULATED: [(&str, &str); 3] =
    [("emulator_3_11", "3.11.14"), ("emulator_3_12_0", "3.12.0"), ("emulator_3_12", "3.12.10")];
const IMAGES: [(&str, &str); 2] = [("image_3_11", "3.11.14"), ("image_3_12", "3.12.10")];

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (name, version) in EMULATED {
        match ArangoServer::emulator(version) {
            Ok(server) => cases.extend(trials(ArangoHarness::new(name, Arc::new(server)))),
            Err(error) => {
                cases.extend(missing(name, &error.to_string(), |why| absent(name, why)));
            }
        }
    }
    for (name, tag) in IMAGES {
        // Images are published where not every machine comes; the emulator stands in for them.
        match image(tag) {
            Ok(server) => cases.extend(trials(ArangoHarness::new(name, Arc::new(server)))),
            Err(error) => cases.extend(absent(name, &error.to_string())),
        }
    }
    match ArangoServer::named() {
        Ok(Some(server)) => cases.extend(trials(ArangoHarness::new("named", Arc::new(server)))),
        Ok(None) => {}
        Err(error) => {
            cases.extend(missing("named", &error.to_string(), |why| absent("named", why)))
        }
    }
    conclude(cases)
}

fn image(tag: &'static str) -> Result<ArangoServer> {
    if is_listing() {
        return Err("no server is started to list its cases".into());
    }
    ArangoServer::image(tag)
}
