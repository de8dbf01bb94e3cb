//! Collections, tuples, user-defined types and vectors.

use scylla::cluster::metadata::{ColumnType, NativeType as N};

use super::{REFUSED, check, list, map, native, person, set, vector, written};

#[test]
fn collections_are_laid_out_behind_their_lengths_and_in_the_servers_order() {
    let ints = list(native(N::Int), false);
    check(
        &ints,
        &[
            ("[1,\"2\"]", "0000000200000004000000010000000400000002"),
            ("\"[1]\"", "000000010000000400000001"),
            ("[]", "00000000"),
            ("null", "null"),
            ("[1,null]", "at [1], int takes no null here, not null"),
            ("[1,2.5]", "at [1], int takes an integer from -2147483648 to 2147483647, not 2.5"),
            ("{}", "list<int> takes an array, not {}"),
            ("\"[1\"", "list<int> takes an array, not \"[1\""),
            ("\"\\\"[1]\\\"\"", REFUSED),
            ("1", "list<int> takes an array, not 1"),
            ("\"\"", REFUSED),
        ],
    );
    check(
        &set(native(N::Int)),
        &[
            ("[2,1,2]", "0000000200000004000000010000000400000002"),
            ("[2,2,1,-1,2]", "0000000300000004ffffffff00000004000000010000000400000002"),
            ("[1,1]", "000000010000000400000001"),
        ],
    );
    check(
        &map(native(N::Int), native(N::Text)),
        &[
            (
                "{\"2\":\"b\",\"1\":\"a\"}",
                "00000002000000040000000100000001610000000400000002000000 0162"
                    .replace(' ', "")
                    .as_str(),
            ),
            ("{}", "00000000"),
            ("\"{}\"", "00000000"),
            ("{\"1\":null}", "at [\"1\"], text takes no null here, not null"),
            (
                "{\"1\":\"a\",\"01\":\"b\"}",
                "frozen<map<int, text>> takes each key once, not \"01\"",
            ),
            ("{\"2\":\"a\",\"1\":\"a\",\"02\":\"b\"}", REFUSED),
            ("{\"x\":\"a\"}", "int takes an integer from -2147483648 to 2147483647, not \"x\""),
            ("[]", "frozen<map<int, text>> takes an object, not []"),
            ("[[\"1\",\"a\"]]", REFUSED),
        ],
    );
    let pair = ColumnType::Tuple(vec![native(N::Int), native(N::Text)]);
    check(
        &map(pair, native(N::Boolean)),
        &[("{\"[1, null]\":true}", "000000010000000c0000000400000001ffffffff0000000101")],
    );
}

#[test]
fn tuples_types_and_vectors_have_their_parts_in_place() {
    let triple =
        ColumnType::Tuple(vec![native(N::Int), native(N::Text), list(native(N::Int), true)]);
    check(
        &triple,
        &[
            ("[1,null,[]]", "0000000400000001ffffffff0000000400000000"),
            (
                "[1,\"a\"]",
                "tuple<int, text, frozen<list<int>>> takes an array of 3 elements, not one of 2",
            ),
            (
                "[1,\"a\",[],null]",
                "tuple<int, text, frozen<list<int>>> takes an array of 3 elements, not one of 4",
            ),
            ("{}", REFUSED),
            (
                "[1,\"a\",[true]]",
                "at [2][0], int takes an integer from -2147483648 to 2147483647, not true",
            ),
        ],
    );
    check(
        &person(),
        &[
            ("{}", "ffffffffffffffffffffffff"),
            ("{\"age\":1,\"name\":\"a\"}", "00000001610000000400000001ffffffff"),
            (
                "{\"name\":\"a\",\"age\":1,\"Tags\":[1]}",
                "000000016100000004000000010000000c000000010000000400000001",
            ),
            ("{\"\\\"Tags\\\"\":null}", "ffffffffffffffffffffffff"),
            ("{\"zz\":1}", "frozen<person> takes the fields name, age, Tags, not \"zz\""),
            ("{\"tags\":[1]}", REFUSED),
            ("{\"age\":1,\"age\":1}", "frozen<person> takes each field once, not \"age\""),
            (
                "{\"age\":\"x\"}",
                "at [\"age\"], int takes an integer from -2147483648 to 2147483647, not \"x\"",
            ),
            ("[]", "frozen<person> takes an object, not []"),
        ],
    );
    check(
        &vector(native(N::Float), 2),
        &[
            ("[1,\"NaN\"]", "3f8000007fc00000"),
            ("\"[1,2]\"", "3f80000040000000"),
            ("[1]", "vector<float, 2> takes an array of 2 elements, not one of 1"),
            ("[1,2,3]", "vector<float, 2> takes an array of 2 elements, not one of 3"),
            ("[1,null]", "at [1], float takes no null here, not null"),
            ("[]", REFUSED),
        ],
    );
    // Of elements whose size the server does not count on, each stands behind its own.
    check(&vector(native(N::Text), 2), &[("[\"a\",\"\"]", "016100")]);
    check(&vector(native(N::SmallInt), 1), &[("[1]", "020001")]);
    let long = "x".repeat(300);
    assert!(written(&vector(native(N::Text), 1), &format!("[{long:?}]")).starts_with("812c7878"));
}
