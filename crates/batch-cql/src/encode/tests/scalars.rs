//! Scalars of each type.

use scylla::cluster::metadata::NativeType as N;

use super::{REFUSED, check, native, written};

#[test]
fn integers_are_taken_as_numbers_and_as_digits_within_their_range() {
    check(
        &native(N::TinyInt),
        &[
            ("1", "01"),
            ("\"1\"", "01"),
            ("\"+1\"", "01"),
            ("\"-128\"", "80"),
            ("127", "7f"),
            ("128", "tinyint takes an integer from -128 to 127, not 128"),
            ("1.0", "tinyint takes an integer from -128 to 127, not 1.0"),
            ("1.50", "tinyint takes an integer from -128 to 127, not 1.50"),
            ("1e2", REFUSED),
            ("\" 1\"", "tinyint takes an integer from -128 to 127, not \" 1\""),
            ("\"0x10\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", "tinyint takes an integer from -128 to 127, not true"),
            ("null", "null"),
            ("[1, 2]", "tinyint takes an integer from -128 to 127, not [1,2]"),
            ("{\"a\": 1}", "tinyint takes an integer from -128 to 127, not {\"a\":1}"),
        ],
    );
    check(&native(N::SmallInt), &[("32767", "7fff"), ("-32768", "8000"), ("32768", REFUSED)]);
    check(
        &native(N::Int),
        &[
            ("1", "00000001"),
            ("\"01\"", "00000001"),
            ("-0", "00000000"),
            ("2147483648", REFUSED),
            ("\"2147483648\"", REFUSED),
            ("1e3", REFUSED),
            ("-0.0", REFUSED),
            ("-1e-400", REFUSED),
            ("\"abc\"", REFUSED),
        ],
    );
    check(
        &native(N::BigInt),
        &[
            ("9007199254740993", "0020000000000001"),
            ("\"9007199254740993\"", "0020000000000001"),
            ("-9223372036854775808", "8000000000000000"),
            ("-0", "0000000000000000"),
            (
                "9223372036854775808",
                "bigint takes an integer from -9223372036854775808 to 9223372036854775807, not 9223372036854775808",
            ),
            (
                "99999999999999999999",
                "bigint takes an integer from -9223372036854775808 to 9223372036854775807, not 99999999999999999999",
            ),
        ],
    );
    check(&native(N::Counter), &[("-1", "ffffffffffffffff"), ("\"2\"", "0000000000000002")]);
}

#[test]
fn numbers_of_any_size_keep_all_their_digits() {
    check(
        &native(N::Varint),
        &[
            ("0", "00"),
            ("-0", "00"),
            ("127", "7f"),
            ("128", "0080"),
            ("-128", "80"),
            ("-129", "ff7f"),
            ("\"+255\"", "00ff"),
            ("340282366920938463463374607431768211456", "0100000000000000000000000000000000"),
            ("\"-340282366920938463463374607431768211456\"", "ff00000000000000000000000000000000"),
            ("1.0", REFUSED),
            ("1e3", REFUSED),
            ("\"1e3\"", REFUSED),
            ("\"\"", REFUSED),
            ("\"-\"", REFUSED),
            ("true", REFUSED),
        ],
    );
    check(
        &native(N::Decimal),
        &[
            ("1", "0000000001"),
            ("1.10", "000000026e"),
            ("\"1.10\"", "000000026e"),
            ("-0.5", "00000001fb"),
            ("1e3", "fffffffd01"),
            ("1e400", "fffffe7001"),
            ("\"1E-400\"", "0000019001"),
            ("\".5\"", "0000000105"),
            ("\"5.\"", "0000000005"),
            ("\"1e2147483648\"", "8000000001"),
            ("\"1e2147483649\"", REFUSED),
            ("\"1e99999999999\"", REFUSED),
            ("\".\"", REFUSED),
            ("\"1,5\"", REFUSED),
            ("\" 1\"", REFUSED),
            ("\"NaN\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", REFUSED),
        ],
    );
    let long = "1234567890".repeat(4);
    assert_eq!(
        written(&native(N::Decimal), &format!("0.{long}")),
        format!("00000028{}", written(&native(N::Varint), &long))
    );
    for typ in [N::Varint, N::Decimal].map(native) {
        assert!(!written(&typ, &"9".repeat(20_000)).contains("takes"));
        assert!(written(&typ, &"9".repeat(20_001)).contains("at most 20000 digits"));
    }
}

#[test]
fn numbers_with_fractions_are_the_nearest_there_are_and_never_infinite_by_themselves() {
    check(
        &native(N::Double),
        &[
            ("1", "3ff0000000000000"),
            ("-0", "0000000000000000"),
            ("-0.0", "8000000000000000"),
            ("0.1", "3fb999999999999a"),
            // Read exactly, where a quick parser is off by one.
            ("2.2250738585072011e-308", "000fffffffffffff"),
            ("9007199254740993", "4340000000000000"),
            ("\"1.5\"", "3ff8000000000000"),
            ("\" 1.5d \"", "3ff8000000000000"),
            ("\"0x1.8p3\"", "4028000000000000"),
            ("\"-0x.8P-2\"", "bfc0000000000000"),
            ("\"0x1.fffffffffffff8p0\"", "4000000000000000"),
            ("\"0x1p-1074\"", "0000000000000001"),
            ("\"NaN\"", "7ff8000000000000"),
            ("\"-Infinity\"", "fff0000000000000"),
            ("1e309", REFUSED),
            ("\"0x1p1024\"", REFUSED),
            ("\"inf\"", REFUSED),
            ("\"nan\"", REFUSED),
            ("\"+-1\"", REFUSED),
            ("\"0x1\"", REFUSED),
            ("\"0xp1\"", REFUSED),
            ("\"\"", REFUSED),
            ("true", REFUSED),
            ("[]", REFUSED),
        ],
    );
    check(
        &native(N::Float),
        &[
            ("0.1", "3dcccccd"),
            ("16777217", "4b800000"),
            ("1e-46", "00000000"),
            ("\"1f\"", "3f800000"),
            ("\"0x1p-149\"", "00000001"),
            ("\"NaN\"", "7fc00000"),
            (
                "1e39",
                "float takes a number within its range, as it is or in a string, or \"NaN\", \"Infinity\", \"-Infinity\", not 1e39",
            ),
            ("3.4028236e38", REFUSED),
        ],
    );
}

#[test]
fn texts_are_taken_as_they_are() {
    check(
        &native(N::Text),
        &[
            ("\"\"", ""),
            ("\"a\\u0000\\\"\\u00e9\"", "610022c3a9"),
            ("\"\\ud83d\\ude00\"", "f09f9880"),
            ("1", "text takes a string, not 1"),
            ("true", "text takes a string, not true"),
            ("{}", "text takes a string, not {}"),
            ("[]", "text takes a string, not []"),
        ],
    );
    assert!(written(&native(N::Text), "\"\\ud800\"").contains("well-formed"));
    check(
        &native(N::Ascii),
        &[("\"~\"", "7e"), ("\"\\u00e9\"", REFUSED), ("\"\\u0080\"", REFUSED)],
    );
    check(
        &native(N::Boolean),
        &[
            ("true", "01"),
            ("\"TRUE\"", "01"),
            ("\"False\"", "00"),
            ("\"\"", REFUSED),
            ("\"yes\"", REFUSED),
            ("\"1\"", REFUSED),
            ("1", "boolean takes true or false, not 1"),
            ("0", REFUSED),
        ],
    );
    check(
        &native(N::Blob),
        &[
            ("\"0x\"", ""),
            ("\"0x00fF\"", "00ff"),
            ("\"0X00ff\"", REFUSED),
            ("\"00ff\"", REFUSED),
            ("\"\"", REFUSED),
            ("\"0xf\"", REFUSED),
            ("\"0xzz\"", REFUSED),
            ("\"0x\u{e9}\"", REFUSED),
            ("\"AP8=\"", REFUSED),
            ("1", REFUSED),
        ],
    );
}

#[test]
fn identifiers_and_addresses_are_taken_in_their_full_form() {
    check(
        &native(N::Uuid),
        &[
            ("\"123E4567-e89b-42d3-a456-426614174000\"", "123e4567e89b42d3a456426614174000"),
            ("\"123e4567e89b42d3a456426614174000\"", REFUSED),
            ("\"{123e4567-e89b-42d3-a456-426614174000}\"", REFUSED),
            ("\"abc\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Timeuuid),
        &[
            ("\"50554d6e-29bb-11e5-b345-feff819cdc9f\"", "50554d6e29bb11e5b345feff819cdc9f"),
            ("\"123e4567-e89b-42d3-a456-426614174000\"", REFUSED),
            ("\"now\"", REFUSED),
        ],
    );
    check(
        &native(N::Inet),
        &[
            ("\"192.0.2.1\"", "c0000201"),
            ("\"::ffff:1.2.3.4\"", "01020304"),
            ("\"::1\"", "00000000000000000000000000000001"),
            ("\"2001:DB8::1\"", "20010db8000000000000000000000001"),
            ("\"localhost\"", REFUSED),
            ("\"1.2.3\"", REFUSED),
            ("\"01.2.3.4\"", REFUSED),
            ("\"256.1.1.1\"", REFUSED),
            ("\"1.2.3.4/8\"", REFUSED),
            ("\"fe80::1%lo\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
}

#[test]
fn points_in_time_exist_and_depend_on_no_server() {
    check(
        &native(N::Timestamp),
        &[
            ("0", "0000000000000000"),
            ("-1", "ffffffffffffffff"),
            ("1700000000000", "0000018bcfe56800"),
            ("\"1700000000000\"", "0000018bcfe56800"),
            ("\"20231114\"", "000000000134b3ca"),
            ("\"2023-11-14\"", "0000018bcb20b400"),
            ("\"2023-11-14T22:13\"", "0000018bcfe519e0"),
            ("\"2023-11-14 22:13:20\"", "0000018bcfe56800"),
            ("\"2023-11-14T22:13:20.1Z\"", "0000018bcfe56864"),
            ("\"2023-11-14T22:13:20.123456Z\"", "0000018bcfe5687b"),
            ("\"2023-11-14T23:13:20+0100\"", "0000018bcfe56800"),
            ("\"2023-11-14T23:13:20+01:00\"", "0000018bcfe56800"),
            ("\"2023-11-14T23:13:20 +01\"", "0000018bcfe56800"),
            ("\"2023-11-14 22:13:20 UTC\"", "0000018bcfe56800"),
            ("\"2023-02-30\"", REFUSED),
            ("\"2023-11-14T24:00\"", REFUSED),
            ("\"2023-11-14T22:13:60\"", REFUSED),
            ("\"2023-11-14T22:13:20+19:00\"", REFUSED),
            ("\"2023-11-14T22:13:20 CET\"", REFUSED),
            ("\"0000-01-01\"", REFUSED),
            ("\"10000-01-01T00:00:00Z\"", REFUSED),
            ("\"Tue, 14 Nov 2023 22:13:20 GMT\"", REFUSED),
            ("\"now\"", REFUSED),
            ("\"\"", REFUSED),
            ("1.5", REFUSED),
            ("9223372036854775808", REFUSED),
        ],
    );
    check(
        &native(N::Date),
        &[
            ("\"1970-01-01\"", "80000000"),
            ("\"2023-11-14\"", "80004cdb"),
            ("\"-0001-01-01\"", "7ff503eb"),
            ("\"2147483648\"", "80000000"),
            ("\"4294967296\"", REFUSED),
            ("\"2023-02-30\"", REFUSED),
            ("\"2023-1-2\"", REFUSED),
            ("\"10000-01-01\"", REFUSED),
            ("\"2023-11-14T00:00:00Z\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Time),
        &[
            ("\"22:13:20\"", "000048c273950000"),
            ("\"00:00:00.000000001\"", "0000000000000001"),
            ("\"1:2:3\"", "00000362d417ae00"),
            ("\"22:13\"", REFUSED),
            ("\"24:00:00\"", REFUSED),
            ("\"22:13:60\"", REFUSED),
            ("\"-1:00:00\"", REFUSED),
            ("\"00:00:00.\"", REFUSED),
            ("\"00:00:00.0000000001\"", REFUSED),
            ("\"\"", REFUSED),
            ("1", REFUSED),
        ],
    );
    check(
        &native(N::Duration),
        &[
            ("\"1h30m\"", "0000fc09d29229e000"),
            ("\"1y2mo3w4d\"", "1c3200"),
            ("\"-1d\"", "000100"),
            ("\"PT1.5S\"", REFUSED),
            ("\"1 h\"", REFUSED),
            ("\"\"", REFUSED),
            ("60", REFUSED),
        ],
    );
}
