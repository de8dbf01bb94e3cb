//! The names of types, as CQL writes them.

use std::fmt;

use scylla::cluster::metadata::{CollectionType, ColumnType, NativeType};

/// A type's name for people: quoted no more than CQL asks for.
pub(crate) struct TypeName<'a>(pub(crate) &'a ColumnType<'a>);

impl fmt::Display for TypeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ColumnType::Native(native) => f.write_str(native_name(native)),
            ColumnType::Collection { frozen, typ } => {
                let (open, close) = if *frozen { ("frozen<", ">") } else { ("", "") };
                f.write_str(open)?;
                match typ {
                    CollectionType::List(of) => write!(f, "list<{}>", TypeName(of))?,
                    CollectionType::Set(of) => write!(f, "set<{}>", TypeName(of))?,
                    CollectionType::Map(key, value) => {
                        write!(f, "map<{}, {}>", TypeName(key), TypeName(value))?;
                    }
                    // The driver may learn of kinds that this release has never heard of.
                    _ => f.write_str("collection")?,
                }
                f.write_str(close)
            }
            ColumnType::Vector { typ, dimensions } => {
                write!(f, "vector<{}, {dimensions}>", TypeName(typ))
            }
            ColumnType::UserDefinedType { frozen, definition } => {
                let name = Identifier(&definition.name);
                if *frozen { write!(f, "frozen<{name}>") } else { write!(f, "{name}") }
            }
            ColumnType::Tuple(types) => {
                f.write_str("tuple<")?;
                for (place, typ) in types.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", TypeName(typ))?;
                }
                f.write_str(">")
            }
            _ => f.write_str("unknown"),
        }
    }
}

pub(crate) fn native_name(native: &NativeType) -> &'static str {
    match native {
        NativeType::Ascii => "ascii",
        NativeType::Boolean => "boolean",
        NativeType::Blob => "blob",
        NativeType::Counter => "counter",
        NativeType::Date => "date",
        NativeType::Decimal => "decimal",
        NativeType::Double => "double",
        NativeType::Duration => "duration",
        NativeType::Float => "float",
        NativeType::Int => "int",
        NativeType::BigInt => "bigint",
        NativeType::Text => "text",
        NativeType::Timestamp => "timestamp",
        NativeType::Inet => "inet",
        NativeType::SmallInt => "smallint",
        NativeType::TinyInt => "tinyint",
        NativeType::Time => "time",
        NativeType::Timeuuid => "timeuuid",
        NativeType::Uuid => "uuid",
        NativeType::Varint => "varint",
        _ => "unknown",
    }
}

struct Identifier<'a>(&'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.0.starts_with(|c: char| c.is_ascii_lowercase()) && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use scylla::cluster::metadata::UserDefinedType;

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
    }
}
