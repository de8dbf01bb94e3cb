# The one list of commands. `.ci/run` reads the recipes of `ci` from here and needs no `just`, so
# these hold plain commands: no parameters, no `{{ }}`, each line by itself.

set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @just --list

# everything that a change must pass; needs a Rust toolchain, and JDK 17 with Maven or a container engine
[group: 'gate']
ci: fmt-check lint doc features guard test

# the layout of the code
[group: 'check']
fmt-check:
    cargo fmt --all -- --check

# clippy by the workspace's lints; a warning is an error
[group: 'check']
lint:
    cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

# the documentation; a warning is an error
[group: 'check']
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features

# each feature alone: nothing may lean on another's
[group: 'check']
features:
    cargo clippy --locked -p unibatch --all-targets --no-default-features -- -D warnings
    for f in memory arango cql tls arango,tls cql,tls; do cargo clippy --locked -p unibatch --all-targets --no-default-features --features "$f" -- -D warnings; done
    cargo test --locked -p unibatch --lib --no-default-features
    for f in memory arango cql tls arango,tls cql,tls; do cargo test --locked -p unibatch --lib --no-default-features --features "$f"; done
    for f in memory arango cql; do cargo clippy --locked -p unibatch-cli --no-default-features --features "$f" -- -D warnings; done
    cargo clippy --locked -p batch-core --no-default-features --features metrics -- -D warnings
    for p in batch-arango batch-cql; do cargo clippy --locked -p "$p" --all-targets --no-default-features -- -D warnings; done

# cargo's tree: neither an HTTP client nor a driver where none belongs
[group: 'check']
guard:
    scripts/guard-dependencies

# licences, known faults and sources of what is depended on; needs cargo-deny
[group: 'check']
deny:
    cargo deny --locked check

# compiles with the oldest supported compiler, which Cargo.toml names; rustup fetches it
[group: 'check']
msrv:
    rustup run --install "$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)" cargo check --locked --workspace --all-features

# every test, as the README says; without a server, those that need one are listed as ignored
[group: 'test']
test:
    cargo test --workspace

# the contract on Cassandra from one source: process, container, or the cluster of UNIBATCH_CQL_URL
[group: 'test']
test-cql source='process' *arguments:
    UNIBATCH_REQUIRE_SERVERS=1 UNIBATCH_CQL_SERVER={{ source }} cargo test --locked -p integration-tests --test cql -- {{ arguments }}

# the contract on ArangoDB: the emulator, and the images where they can be had
[group: 'test']
test-arango *arguments:
    cargo test --locked -p integration-tests --test arango -- {{ arguments }}

# fuzzes a reader of ArangoDB's answers; needs cargo-fuzz and a nightly compiler
[group: 'test']
fuzz target='multipart' *arguments:
    cd crates/batch-arango && cargo +nightly fuzz run {{ target }} -- {{ arguments }}

# the examples: runs all of them and compares what they print
[group: 'test']
examples:
    cargo test --locked -p unibatch-examples

# changes the core in ways that a named test must notice
[group: 'test']
mutants *names:
    scripts/mutants {{ names }}

# what it costs, as tables; BENCHMARKS.md says how to read them, `just bench --help` what can be said
[group: 'measure']
bench *arguments:
    cargo bench --locked -p unibatch-benches --bench costs -- {{ arguments }}

# single steps of the core, to compare two versions of the code
[group: 'measure']
bench-steps *arguments:
    cargo bench --locked -p unibatch-benches --bench micro -- {{ arguments }}

# CQL on a real server beside code by hand, as tables; `--soak` for memory, `--help` for the rest
[group: 'measure']
bench-cql *arguments:
    cargo bench --locked -p unibatch-benches --bench cql -- {{ arguments }}

# a whole commit on ArangoDB's wire beside code by hand and python-arango; `--help` for the rest
[group: 'measure']
bench-arango *arguments:
    scripts/bench-arango {{ arguments }}

# the wire forms of ArangoDB beside serde_json writing and reading the same bytes
[group: 'measure']
bench-arango-wire *arguments:
    cargo bench --locked -p unibatch-benches --bench arango_wire -- {{ arguments }}

# the program beside DSBulk, which Maven fetches once, and a loader made by hand
[group: 'measure']
bench-load *arguments:
    scripts/bench-load {{ arguments }}

# the program on the example data, or with arguments of your own
[group: 'use']
run *arguments='examples/data/students.ndjson':
    cargo run --locked -- run {{ arguments }}

# starts the Cassandra that the tests would run on, says its URL, and serves until Ctrl-D
[group: 'use']
serve:
    cargo run --locked -p integration-tests --example serve

# lays the code out
[group: 'use']
fmt:
    cargo fmt --all
