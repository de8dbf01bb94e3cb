//! From the server's bytes to JSON, in the forms that [`encode`](crate::encode) reads back to the
//! same bytes.

use std::net::IpAddr;

use num_bigint::{BigInt, Sign};
use scylla::{
    cluster::metadata::{CollectionType, ColumnType, NativeType},
    value::CqlDuration,
};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::{
    encode::text,
    wire::{self, Fields, VectorElements},
};

/// The most bytes of a number that is written in digits: as many as have the digits that are read.
const MOST_BYTES: usize = 8_300;

/// A row as a JSON object. Columns without a value are left out.
pub(crate) fn raw_document<'c>(
    columns: impl Iterator<Item = (&'c str, &'c ColumnType<'c>, Option<&'c [u8]>)>,
) -> Value {
    let attribute = |(name, typ, bytes): (&str, &ColumnType<'_>, Option<&[u8]>)| {
        Some((name.to_owned(), value(typ, bytes?)))
    };
    Value::Object(columns.filter_map(attribute).collect())
}

/// A value as JSON. What is not laid out as its type says is shown as a blob is.
pub(crate) fn value(typ: &ColumnType<'_>, bytes: &[u8]) -> Value {
    composite(typ, bytes).unwrap_or_else(|| blob(bytes))
}

fn composite(typ: &ColumnType<'_>, bytes: &[u8]) -> Option<Value> {
    Some(match typ {
        ColumnType::Native(native) => return scalar(native, bytes),
        ColumnType::Collection {
            typ: CollectionType::List(of) | CollectionType::Set(of), ..
        } => wire::elements(bytes).map(|element| value(of, element)).collect(),
        ColumnType::Collection { typ: CollectionType::Map(key, of), .. } => {
            let mut fields = wire::elements(bytes);
            let next = || Some((name(value(key, fields.next()?)), value(of, fields.next()?)));
            Value::Object(std::iter::from_fn(next).collect())
        }
        ColumnType::Vector { typ: of, .. } => {
            let elements = VectorElements { size: of.type_size_for_vector(), rest: bytes };
            elements.map(|element| value(of, element)).collect()
        }
        ColumnType::Tuple(types) => fields(types.iter(), bytes).collect(),
        ColumnType::UserDefinedType { definition, .. } => {
            let types = definition.field_types.iter().map(|(_, typ)| typ);
            let names = definition.field_types.iter().map(|(name, _)| name.to_string());
            Value::Object(names.zip(fields(types, bytes)).collect::<Map<_, _>>())
        }
        _ => return None,
    })
}

/// One value for each type; those that are missing at the end are null.
fn fields<'t>(
    types: impl Iterator<Item = &'t ColumnType<'t>>,
    bytes: &[u8],
) -> impl Iterator<Item = Value> {
    let mut given = Fields(bytes);
    types.map(move |typ| given.next().flatten().map_or(Value::Null, |bytes| value(typ, bytes)))
}

/// A key of a map as an object's attribute: its text, or the JSON that it is.
fn name(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn scalar(native: &NativeType, bytes: &[u8]) -> Option<Value> {
    Some(match native {
        NativeType::Ascii | NativeType::Text => std::str::from_utf8(bytes).ok()?.into(),
        NativeType::Blob => return None,
        // A value that is neither null nor of its type, which other clients may have written.
        _ if bytes.is_empty() => "".into(),
        NativeType::Boolean => (bytes != [0]).into(),
        NativeType::TinyInt => i8::from_be_bytes(fixed(bytes)?).into(),
        NativeType::SmallInt => i16::from_be_bytes(fixed(bytes)?).into(),
        NativeType::Int => i32::from_be_bytes(fixed(bytes)?).into(),
        NativeType::BigInt | NativeType::Counter => i64::from_be_bytes(fixed(bytes)?).into(),
        NativeType::Varint => varint(bytes)?,
        NativeType::Decimal => decimal(bytes)?,
        // By its own digits: those of the same number as a double are more.
        NativeType::Float => {
            let number = f32::from_be_bytes(fixed(bytes)?);
            real(number.to_string().parse().ok(), number.into())
        }
        NativeType::Double => {
            let number = f64::from_be_bytes(fixed(bytes)?);
            real(Some(number), number)
        }
        NativeType::Date => text::date(u32::from_be_bytes(fixed(bytes)?)).into(),
        NativeType::Time => text::time(i64::from_be_bytes(fixed(bytes)?)).into(),
        NativeType::Timestamp => {
            let milliseconds = i64::from_be_bytes(fixed(bytes)?);
            text::timestamp(milliseconds).map_or_else(|| milliseconds.into(), Value::from)
        }
        NativeType::Duration => {
            let mut bytes = bytes;
            let mut next = || wire::take_signed(&mut bytes);
            let months = i32::try_from(next()?).ok()?;
            let days = i32::try_from(next()?).ok()?;
            text::duration(&CqlDuration { months, days, nanoseconds: next()? }).into()
        }
        NativeType::Inet => match bytes.len() {
            4 => IpAddr::from(fixed::<4>(bytes)?).to_string().into(),
            _ => IpAddr::from(fixed::<16>(bytes)?).to_string().into(),
        },
        NativeType::Uuid | NativeType::Timeuuid => Uuid::from_slice(bytes).ok()?.to_string().into(),
        _ => return None,
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A number, or the name of what JSON has no number for.
fn real(shown: Option<f64>, number: f64) -> Value {
    match shown.and_then(Number::from_f64) {
        Some(shown) => Value::Number(shown),
        None if number.is_nan() => "NaN".into(),
        None if number < 0.0 => "-Infinity".into(),
        None => "Infinity".into(),
    }
}

/// A number where all readers of JSON keep its digits, else a string of them.
fn varint(bytes: &[u8]) -> Option<Value> {
    let number = big(bytes)?;
    let small = i64::try_from(&number).map(Value::from);
    let small = small.or_else(|_| u64::try_from(&number).map(Value::from));
    Some(small.unwrap_or_else(|_| number.to_string().into()))
}

fn big(bytes: &[u8]) -> Option<BigInt> {
    (bytes.len() <= MOST_BYTES).then(|| BigInt::from_signed_bytes_be(bytes))
}

/// A number where that keeps the digits, zeros at the end among them; else a string of them.
fn decimal(bytes: &[u8]) -> Option<Value> {
    let (scale, digits) = bytes.split_first_chunk()?;
    let (scale, number) = (i32::from_be_bytes(*scale), big(digits)?);
    if scale == 0 {
        return varint(digits);
    }
    let sign = if number.sign() == Sign::Minus { "-" } else { "" };
    let digits = number.magnitude().to_string();
    let places = usize::try_from(scale).ok();
    let text = match places.filter(|places| *places <= digits.len() + 6) {
        Some(places) => {
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = digits.split_at_checked(digits.len() - places)?;
            format!("{sign}{whole}.{fraction}")
        }
        None => format!("{sign}{digits}e{}", -i64::from(scale)),
    };
    let number = text.parse().ok().and_then(Number::from_f64);
    Some(match number.filter(|number| number.to_string() == text) {
        Some(number) => Value::Number(number),
        None => text.into(),
    })
}

fn blob(bytes: &[u8]) -> Value {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]);
    Value::String("0x".chars().chain(digits).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use scylla::cluster::metadata::UserDefinedType;
    use serde_json::json;

    use super::*;
    use crate::{
        encode::{self, arbitrary},
        row::Written,
    };

    fn encoded(typ: &ColumnType<'_>, json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let written = encode::value(typ, json, &mut out);
        assert_eq!(written.map_err(|misfit| misfit.to_string()), Ok(Written::Value), "{json}");
        out
    }

    fn native(native: NativeType) -> ColumnType<'static> {
        ColumnType::Native(native)
    }

    #[test]
    fn each_type_is_shown_in_a_form_that_can_be_written() {
        use NativeType as N;
        for (typ, given, shown) in [
            (N::Ascii, r#""a""#, json!("a")),
            (N::Text, r#""""#, json!("")),
            (N::Boolean, r#""TRUE""#, json!(true)),
            (N::TinyInt, "-1", json!(-1)),
            (N::SmallInt, "-300", json!(-300)),
            (N::Int, "70000", json!(70000)),
            (N::BigInt, "-9223372036854775808", json!(i64::MIN)),
            (N::Counter, "5", json!(5)),
            (N::Varint, "18446744073709551615", json!(u64::MAX)),
            (N::Varint, "18446744073709551616", json!("18446744073709551616")),
            (N::Decimal, "12", json!(12)),
            (N::Decimal, "1.5", json!(1.5)),
            (N::Decimal, "-0.5", json!(-0.5)),
            (N::Decimal, "1.50", json!("1.50")),
            (N::Decimal, "0.000001", json!("0.000001")),
            (N::Decimal, "1e400", json!("1e400")),
            (N::Decimal, "-12e-30", json!("-12e-30")),
            (N::Float, "0.1", json!(0.1)),
            (N::Float, r#""NaN""#, json!("NaN")),
            (N::Float, r#""-Infinity""#, json!("-Infinity")),
            (N::Double, "1e300", json!(1e300)),
            (N::Double, r#""Infinity""#, json!("Infinity")),
            (N::Blob, r#""0x00FF""#, json!("0x00ff")),
            (N::Date, r#""2023-11-14""#, json!("2023-11-14")),
            (N::Date, r#""4294967295""#, json!("+5881580-07-11")),
            (N::Time, r#""1:2:3""#, json!("01:02:03.000000000")),
            (N::Timestamp, "0", json!("1970-01-01 00:00:00.000Z")),
            (N::Timestamp, "-99999999999999", json!(-99_999_999_999_999_i64)),
            (N::Duration, r#""90m""#, json!("1h30m")),
            (N::Duration, r#""0s""#, json!("0s")),
            (N::Inet, r#""::FFFF:192.0.2.1""#, json!("192.0.2.1")),
            (N::Inet, r#""2001:DB8::1""#, json!("2001:db8::1")),
            (
                N::Uuid,
                r#""123E4567-E89B-42D3-A456-426614174000""#,
                json!("123e4567-e89b-42d3-a456-426614174000"),
            ),
        ] {
            let typ = native(typ);
            assert_eq!(value(&typ, &encoded(&typ, given)), shown, "{given}");
        }
    }

    #[test]
    fn nulls_are_shown_in_tuples_and_types_and_left_out_of_rows() {
        let pair = ColumnType::Tuple(vec![native(NativeType::Int), native(NativeType::Text)]);
        let person = ColumnType::UserDefinedType {
            frozen: true,
            definition: Arc::new(UserDefinedType {
                name: "person".into(),
                keyspace: "k".into(),
                field_types: vec![
                    ("name".into(), native(NativeType::Text)),
                    ("Age".into(), native(NativeType::Int)),
                ],
            }),
        };
        let (one, two) = (encoded(&pair, "[1,null]"), encoded(&person, r#"{"name":"Abby"}"#));
        let row = [("a", &pair, Some(&one[..])), ("b", &person, Some(&two)), ("c", &pair, None)];
        let shown = raw_document(row.into_iter());
        assert_eq!(shown, json!({"a": [1, null], "b": {"name": "Abby", "Age": null}}));
        // Fields that were added to the type since.
        assert_eq!(value(&person, &[]), json!({"name": null, "Age": null}));
    }

    #[test]
    fn keys_of_maps_are_shown_as_texts() {
        let map = |key| ColumnType::Collection {
            frozen: false,
            typ: CollectionType::Map(Box::new(key), Box::new(native(NativeType::Int))),
        };
        let pair = ColumnType::Tuple(vec![native(NativeType::Int), native(NativeType::Text)]);
        for (typ, json) in [
            (map(native(NativeType::Text)), json!({"a\"b": 1})),
            (map(native(NativeType::Boolean)), json!({"true": 1})),
            (map(pair), json!({r#"[1,"x"]"#: 1})),
        ] {
            assert_eq!(value(&typ, &encoded(&typ, &json.to_string())), json);
        }
    }

    #[test]
    fn a_value_that_is_not_laid_out_as_its_type_says_is_shown_as_bytes() {
        assert_eq!(value(&native(NativeType::Int), &[1, 2]), json!("0x0102"));
        assert_eq!(value(&native(NativeType::Text), &[0xff]), json!("0xff"));
        assert_eq!(value(&native(NativeType::Int), &[]), json!(""));
    }

    proptest! {
        #[test]
        fn what_was_written_is_shown_so_that_it_can_be_written_again(
            (typ, json) in arbitrary::types().prop_flat_map(|typ| (Just(typ.clone()), arbitrary::json_of(&typ))),
        ) {
            let mut bytes = Vec::new();
            if encode::value(&typ, &json, &mut bytes).is_ok_and(|written| written == Written::Value) {
                let shown = value(&typ, &bytes).to_string();
                prop_assert_eq!(encoded(&typ, &shown), bytes, "{}", shown);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(typ in arbitrary::types(), bytes: Vec<u8>) {
            let _ = value(&typ, &bytes);
        }
    }
}
