//! The sizes that a server takes.

use std::collections::HashMap;

use scylla::client::session::Session;

use super::Product;
use crate::{cluster::connection::Asking, errors};

/// What a server takes without a warning, and at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The bytes of a batch of several partitions above which the server warns.
    pub(crate) warn_bytes: usize,
    /// Those above which it refuses.
    pub(crate) fail_bytes: usize,
    /// The partitions of an unlogged batch above which it warns.
    pub(crate) warn_partitions: u32,
    /// The bytes of a request. One that is larger takes its neighbours on the connection with it.
    pub(crate) frame_bytes: usize,
    /// The bytes of what is written to one partition at once.
    pub(crate) mutation_bytes: usize,
}

/// The settings that say so, by their names of either age.
const SETTINGS: [&str; 11] = [
    "batch_size_warn_threshold",
    "batch_size_warn_threshold_in_kb",
    "batch_size_fail_threshold",
    "batch_size_fail_threshold_in_kb",
    "unlogged_batch_across_partitions_warn_threshold",
    "native_transport_max_frame_size",
    "native_transport_max_frame_size_in_mb",
    "commitlog_segment_size",
    "commitlog_segment_size_in_mb",
    "max_mutation_size",
    "max_mutation_size_in_kb",
];

/// A frame's header, and what a request or a mutation says once.
const ROOM: usize = 1024;

impl Limits {
    /// What a product has unless it is configured otherwise.
    pub(crate) const fn of(product: Product) -> Self {
        let cassandra = Self {
            warn_bytes: 5 << 10,
            fail_bytes: 50 << 10,
            warn_partitions: 10,
            frame_bytes: 16 << 20,
            mutation_bytes: 16 << 20,
        };
        match product {
            Product::Cassandra => cassandra,
            Product::Dse => Self { warn_bytes: 64 << 10, fail_bytes: 640 << 10, ..cassandra },
            // 128 KiB and 1 MiB of its memory, of which a row takes some 3.5 times what Cassandra
            // counts, by which sizes are told here.
            Product::Scylla => Self { warn_bytes: 32 << 10, fail_bytes: 256 << 10, ..cassandra },
        }
    }

    /// Asks a node for what it is configured to. What it does not tell, or not everybody, is
    /// taken from its product.
    /// Also tells whether it says so.
    pub(super) async fn ask(session: &Session, asking: &Asking, product: Product) -> (Self, bool) {
        const WHAT: &str = "its settings";
        let limits = Self::of(product);
        let names: Vec<String> = SETTINGS.iter().map(|name| format!("'{name}'")).collect();
        let names = names.join(", ");
        let text = format!("SELECT name, value FROM system_views.settings WHERE name IN ({names})");
        let answer = super::ask(session, asking.statement(&text), WHAT).await;
        let settings = answer.and_then(|rows| {
            let rows = rows.rows::<(String, Option<String>)>();
            let rows = rows.map_err(|error| errors::unreadable(WHAT, error))?;
            Ok(rows.flatten().filter_map(|(name, value)| Some((name, value?))).collect())
        });
        let settings: HashMap<String, String> = match settings {
            Ok(settings) => settings,
            Err(error) => {
                tracing::debug!(%error, "the server does not tell its limits; those of its product are taken");
                return (limits, false);
            }
        };
        (limits.configured(|name| settings.get(name).map(String::as_str)), !settings.is_empty())
    }

    /// With what a server's settings say. Their names lost their units with Cassandra 4.1, and
    /// their values got them.
    fn configured<'s>(self, setting: impl Fn(&str) -> Option<&'s str>) -> Self {
        let bytes = |name: &str, unit: &str| {
            let now = setting(name).and_then(|value| read(value, "B"));
            now.or_else(|| read(setting(&format!("{name}_in_{unit}"))?, unit))
                .filter(|bytes| *bytes > 0)
        };
        let segment = bytes("commitlog_segment_size", "mb").map(|segment| segment / 2);
        let partitions = setting("unlogged_batch_across_partitions_warn_threshold");
        Self {
            warn_bytes: bytes("batch_size_warn_threshold", "kb").unwrap_or(self.warn_bytes),
            fail_bytes: bytes("batch_size_fail_threshold", "kb").unwrap_or(self.fail_bytes),
            warn_partitions: partitions
                .and_then(|value| value.parse().ok())
                .unwrap_or(self.warn_partitions),
            frame_bytes: bytes("native_transport_max_frame_size", "mb").unwrap_or(self.frame_bytes),
            mutation_bytes: bytes("max_mutation_size", "kb")
                .or(segment)
                .unwrap_or(self.mutation_bytes),
        }
    }

    /// The bytes that all statements of a request may have together. Where frames may be larger than what is written
    /// to one partition at once, as they are by default on Cassandra 4.0, a larger request would fail on the replicas:
    /// what is large is of one partition.
    pub(crate) fn request_bytes(&self) -> usize {
        self.request_bytes_of(1).saturating_sub(ROOM)
    }

    /// The bytes on the wire of a request with so many rows. Several repeat their partition's key there, of which the
    /// server writes one.
    pub(crate) fn request_bytes_of(&self, rows: usize) -> usize {
        if rows > 1 { self.frame_bytes } else { self.frame_bytes.min(self.mutation_bytes) }
    }
}

/// A size such as `5KiB`, `16MiB` or, with the unit told elsewhere, `5`.
fn read(value: &str, unit: &str) -> Option<usize> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, own) = value.split_at(end);
    let shift = match if own.is_empty() { unit } else { own.trim() } {
        "B" => 0,
        "KiB" | "kb" => 10,
        "MiB" | "mb" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_either_age_are_read_and_the_rest_is_the_products() {
        let new = HashMap::from([
            ("batch_size_warn_threshold", "7KiB"),
            ("batch_size_fail_threshold", "70KiB"),
            ("unlogged_batch_across_partitions_warn_threshold", "20"),
            ("native_transport_max_frame_size", "8MiB"),
            ("commitlog_segment_size", "5MiB"),
        ]);
        let own = Limits::of(Product::Cassandra);
        let limits = own.configured(|name| new.get(name).copied());
        let expected = Limits {
            warn_bytes: 7168,
            fail_bytes: 71_680,
            warn_partitions: 20,
            frame_bytes: 8 << 20,
            mutation_bytes: 5 << 19,
        };
        assert_eq!(limits, expected);
        let old = HashMap::from([
            ("batch_size_warn_threshold_in_kb", "7"),
            ("batch_size_fail_threshold_in_kb", "70"),
            ("native_transport_max_frame_size_in_mb", "8"),
            ("commitlog_segment_size_in_mb", "32"),
            ("max_mutation_size_in_kb", "2560"),
        ]);
        let limits = own.configured(|name| old.get(name).copied());
        assert_eq!(limits, Limits { warn_partitions: 10, ..expected });
        assert_eq!(own.configured(|_| None), own);
        assert_eq!(own.configured(|_| Some("null")), own);
    }

    #[test]
    fn a_request_has_no_more_than_a_frame_nor_than_a_mutation() {
        let limits = |frame_bytes, mutation_bytes| Limits {
            frame_bytes,
            mutation_bytes,
            ..Limits::of(Product::Cassandra)
        };
        for (frame, mutation) in [(16 << 20, 16 << 20), (256 << 20, 16 << 20), (16 << 20, 64 << 20)]
        {
            assert_eq!(limits(frame, mutation).request_bytes(), (16 << 20) - ROOM);
            assert_eq!(limits(frame, mutation).request_bytes_of(2), frame);
        }
    }

    #[test]
    fn a_size_is_read_with_its_unit_and_nothing_else_is() {
        let cases = [
            ("5KiB", Some(5120)),
            ("51200B", Some(51_200)),
            ("16MiB", Some(16 << 20)),
            ("1GiB", Some(1 << 30)),
            ("512", Some(512)),
            ("", None),
            ("KiB", None),
            ("-1KiB", None),
            ("5s", None),
            ("99999999999999999999KiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(read(text, "B"), bytes, "{text}");
        }
        assert_eq!(read("5", "kb"), Some(5120));
        assert_eq!(read("5B", "kb"), Some(5));
    }
}
