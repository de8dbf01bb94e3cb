//! The names of types, as CQL writes them.

use std::fmt;

use scylla::cluster::metadata::{CollectionType, ColumnType};

use crate::schema::quoted;

/// A type's name for people: quoted no more than CQL asks for.
pub(crate) struct TypeName<'a>(pub(crate) &'a ColumnType<'a>);

/// A type's name for the server: user-defined types are of their own keyspace, not of the session's.
pub(crate) struct QualifiedType<'a>(pub(crate) &'a ColumnType<'a>);

impl fmt::Display for TypeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, false)
    }
}

impl fmt::Display for QualifiedType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, true)
    }
}

fn write(f: &mut fmt::Formatter<'_>, typ: &ColumnType<'_>, qualified: bool) -> fmt::Result {
    match typ {
        // The driver's names are CQL's, but for their case.
        ColumnType::Native(native) => f.write_str(&format!("{native:?}").to_ascii_lowercase()),
        ColumnType::Collection { frozen, typ } => write_frozen(f, *frozen, |f| match typ {
            CollectionType::List(of) => write_list(f, "list", [&**of], qualified),
            CollectionType::Set(of) => write_list(f, "set", [&**of], qualified),
            CollectionType::Map(key, value) => write_list(f, "map", [&**key, &**value], qualified),
            // The driver may learn of kinds that this release has never heard of.
            _ => f.write_str("collection"),
        }),
        ColumnType::Vector { typ, dimensions } => {
            f.write_str("vector<")?;
            write(f, typ, qualified)?;
            write!(f, ", {dimensions}>")
        }
        ColumnType::UserDefinedType { frozen, definition } => write_frozen(f, *frozen, |f| {
            if qualified {
                write!(f, "{}.{}", quoted(&definition.keyspace), quoted(&definition.name))
            } else if is_plain(&definition.name) {
                f.write_str(&definition.name)
            } else {
                f.write_str(&quoted(&definition.name))
            }
        }),
        // Always frozen, which CQL needs not be told.
        ColumnType::Tuple(types) => write_list(f, "tuple", types, qualified),
        _ => f.write_str("unknown"),
    }
}

fn write_frozen(
    f: &mut fmt::Formatter<'_>,
    frozen: bool,
    inner: impl FnOnce(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    if !frozen {
        return inner(f);
    }
    f.write_str("frozen<")?;
    inner(f)?;
    f.write_str(">")
}

fn write_list<'a>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    types: impl IntoIterator<Item = &'a ColumnType<'a>>,
    qualified: bool,
) -> fmt::Result {
    f.write_str(name)?;
    for (place, typ) in types.into_iter().enumerate() {
        f.write_str(if place == 0 { "<" } else { ", " })?;
        write(f, typ, qualified)?;
    }
    f.write_str(">")
}

/// Whether CQL reads a name as it is without quotes.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use scylla::cluster::metadata::{NativeType, UserDefinedType};

    use super::*;

    #[test]
    fn a_type_is_named_as_in_the_statement_that_made_it() {
        let native = ColumnType::Native;
        let ints = |frozen| ColumnType::Collection {
            frozen,
            typ: CollectionType::List(Box::new(native(NativeType::Int))),
        };
        let map = ColumnType::Collection {
            frozen: false,
            typ: CollectionType::Map(Box::new(native(NativeType::Text)), Box::new(ints(true))),
        };
        let named = |name: &'static str, frozen| ColumnType::UserDefinedType {
            frozen,
            definition: Arc::new(UserDefinedType {
                name: name.into(),
                keyspace: "k".into(),
                field_types: Vec::new(),
            }),
        };
        let vector = ColumnType::Vector { typ: Box::new(native(NativeType::Float)), dimensions: 3 };
        for (typ, name) in [
            (map, "map<text, frozen<list<int>>>"),
            (
                ColumnType::Tuple(vec![ints(true), native(NativeType::Timeuuid)]),
                "tuple<frozen<list<int>>, timeuuid>",
            ),
            (vector, "vector<float, 3>"),
            (named("address", true), "frozen<address>"),
            (named("Address", false), "\"Address\""),
        ] {
            assert_eq!(TypeName(&typ).to_string(), name);
        }
        assert_eq!(QualifiedType(&named("address", true)).to_string(), "frozen<\"k\".\"address\">");
    }
}
