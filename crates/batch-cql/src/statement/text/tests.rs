use batch_core::ErrorKind;
use proptest::prelude::*;

use super::*;

fn read(source: &str) -> Text<'_> {
    Text::read(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn roles(source: &str) -> Vec<Role<'_>> {
    read(source).markers.into_iter().map(|marker| marker.role).collect()
}

fn writes(source: &str) -> Vec<(String, How)> {
    read(source).writes.into_iter().map(|write| (write.column.into_owned(), write.how)).collect()
}

fn value(column: &str) -> Role<'_> {
    Role::Value(column.into())
}

fn equal(column: &str) -> Role<'_> {
    Role::Equal(column.into())
}

#[test]
fn what_no_batch_can_hold_is_refused_with_the_reason() {
    use ErrorKind::{InvalidOperation as Invalid, Unsupported};
    for (source, kind, reason) in [
        ("select * from t", Unsupported, "reads cannot be batched; read one document with `get`"),
        ("/* ; */ SELECT 1", Unsupported, "reads cannot be batched"),
        ("BEGIN BATCH UPDATE t SET a = 1 WHERE b = 2; APPLY BATCH", Unsupported, "one by one"),
        ("begin transaction", Unsupported, "one by one"),
        ("CREATE TABLE t (a int PRIMARY KEY)", Unsupported, "only INSERT, UPDATE and DELETE"),
        ("truncate t", Unsupported, "let the session carry this out"),
        ("DROP TABLE t", Unsupported, "let the session carry this out"),
        ("USE school", Unsupported, "`ks.table`"),
        ("GRANT SELECT ON t TO u", Unsupported, "only INSERT, UPDATE and DELETE"),
        ("", Invalid, "there is no statement"),
        ("-- nothing", Invalid, "there is no statement"),
        ("UPSERT INTO t", Invalid, "this is no statement of CQL"),
        ("'INSERT'", Invalid, "this is no statement of CQL"),
        ("\"INSERT\" INTO t", Invalid, "this is no statement of CQL"),
        ("INSERT t (a) VALUES (1)", Invalid, "no INTO"),
        ("INSERT INTO ?", Invalid, "no table's name"),
        ("UPDATE", Invalid, "no table's name"),
        ("UPDATE ks.? SET a = 1 WHERE b = 1", Invalid, "no table's name after the keyspace"),
        ("DELETE a WHERE b = 1", Invalid, "no FROM"),
        ("DELETE", Invalid, "no FROM"),
        ("DELETE FROM t WHERE a = 'x", Invalid, "a string `'` is opened and never closed"),
        ("DELETE FROM t WHERE a = 1; DELETE FROM t WHERE a = 2", Invalid, "several statements"),
        ("DELETE FROM t WHERE a = 1;;DELETE FROM t", Invalid, "several statements"),
    ] {
        let error = Text::read(source).err().unwrap_or_else(|| panic!("{source} is read"));
        assert!(error.message().contains(reason), "{source}: {error}");
        assert_eq!(error.kind(), kind, "{source}");
        let start: String = source.chars().take(12).collect();
        assert!(error.message().contains(&start), "{source}: {error}");
    }
}

#[test]
fn what_was_right_once_is_right_again_and_what_was_wrong_stays_wrong() {
    let texts: Vec<_> = (0..20).map(|n| format!("DELETE FROM t WHERE a = {n}")).collect();
    for text in texts.iter().chain(&texts).chain(texts.iter().rev()) {
        Text::admit(text).unwrap();
        assert!(Text::admit("SELECT 1").is_err());
        assert!(Text::admit(&text.replace("FROM", "")).is_err());
    }
    let long = format!("DELETE FROM t WHERE a = '{}'", "x".repeat(10_000));
    Text::admit(&long).unwrap();
    Text::admit(&long).unwrap();
}

#[test]
fn a_statement_ends_with_any_number_of_semicolons() {
    for end in ["", ";", " ; ;", "; -- done", ";/* ; */;"] {
        let source = format!("DELETE FROM t WHERE a = ?{end}");
        assert_eq!(read(&source).markers.len(), 1, "{source}");
    }
}

#[test]
fn the_table_is_named_as_the_server_would_name_it() {
    for (source, keyspace, table) in [
        ("INSERT INTO Students (a) VALUES (1)", None, "students"),
        ("insert/**/into School.\"Students\"(a) values(1)", Some("school"), "Students"),
        ("UPDATE \"a\"\"b\" . c SET d = 1 WHERE e = 2", Some("a\"b"), "c"),
        ("UPDATE values USING TTL 1 SET d = 1 WHERE e = 2", None, "values"),
        ("DELETE FROM x.y WHERE e = 2", Some("x"), "y"),
        ("DELETE \"from\", b FROM from_ WHERE e = 2", None, "from_"),
        ("INSERT INTO json JSON ?", None, "json"),
    ] {
        let text = read(source);
        assert_eq!((text.keyspace.as_deref(), &*text.table), (keyspace, table), "{source}");
    }
}

#[test]
fn a_keyspace_is_put_in_where_the_text_has_none() {
    let text = "/* t */ UPDATE \"T\" SET t = 1 WHERE id = ?";
    assert_eq!(read(text).qualified(None, |_| None), text);
    let expected = "/* t */ UPDATE \"my \"\"ks\".\"T\" SET t = 1 WHERE id = ?";
    assert_eq!(read(text).qualified(Some("my \"ks"), |_| None), expected);
    assert_eq!(read("DELETE FROM a.b").qualified(Some("c"), |_| None), "DELETE FROM a.b");
}

#[test]
fn each_marker_has_its_role() {
    use Role::{Access, Append, Compared, Delta, Index, Json, Part, Same, Timestamp, Ttl, Where};
    for (source, expected) in [
        (
            "INSERT INTO t (a, \"B\", c) VALUES (?, :x, f(?)) IF NOT EXISTS USING TTL ? AND TIMESTAMP ?",
            vec![value("a"), value("B"), Part, Ttl, Timestamp],
        ),
        (
            "insert into t (a, b) values (?, ?) using timestamp ? and ttl ? if not exists",
            vec![value("a"), value("b"), Timestamp, Ttl],
        ),
        ("INSERT INTO t (a, b) VALUES ((int) ?, (list<text>)?)", vec![value("a"), value("b")]),
        ("INSERT INTO t (a, b) VALUES (now(), (?, ?))", vec![Part, Part]),
        ("INSERT INTO t JSON ? DEFAULT UNSET IF NOT EXISTS USING TTL ?", vec![Json, Ttl]),
        (
            "UPDATE t USING TTL ? SET a = ?, b[?] = ?, c.d = ?, e = e + ?, f = ? + f, g -= ?, h += ?, i = - ?, j[[?]] = ? WHERE k = ?",
            vec![
                Ttl,
                value("a"),
                Index,
                Part,
                Part,
                Append,
                Delta,
                Delta,
                Append,
                Part,
                Part,
                Part,
                equal("k"),
            ],
        ),
        ("UPDATE t SET a = b + ? WHERE k = ?", vec![Part, equal("k")]),
        ("UPDATE t SET a = 1 + ? - a WHERE k = ?", vec![Part, equal("k")]),
        (
            "UPDATE t SET a = {'if': :x, :y : [?]} WHERE \"K\" = :k AND (c, d) = (?, ?) AND e = f(?)",
            vec![Part, Part, Part, equal("K"), equal("c"), equal("d"), Part],
        ),
        (
            "UPDATE t SET a = ? WHERE k IN (?, ?) AND c IN ? AND d > ? AND (e, f) = ? AND (g, h) > (?, ?)",
            vec![value("a"), Where, Where, Where, Where, Where, Where, Where],
        ),
        (
            "UPDATE t SET a = ? WHERE (k = ?) AND ((c = (int)?)) AND token(d) = ?",
            vec![value("a"), equal("k"), equal("c"), Where],
        ),
        (
            "UPDATE t SET a = ? WHERE k = ? IF a = ? AND b[?] = ? AND c IN (?, ?) AND d != ? AND e >= ? AND f<? AND g IN ? AND h['x'] > :h",
            vec![
                value("a"),
                equal("k"),
                Same,
                Access,
                Same,
                Part,
                Part,
                Same,
                Compared,
                Compared,
                Compared,
                Compared,
            ],
        ),
        (
            "UPDATE t SET a = 1 IF a = (int)? AND b != (frozen<list<int>>)? AND c <= (int)? AND d IN (list<int>)? AND e = (text)(varchar)?",
            vec![Same, Same, Compared, Compared, Same],
        ),
        (
            "DELETE a, b[?], c.d FROM t USING TIMESTAMP ? WHERE k = ? IF EXISTS",
            vec![Index, Timestamp, equal("k")],
        ),
        ("DELETE FROM t WHERE k = 'IF ?' AND c = $$?$$ -- ?\n AND \"?\" = ?", vec![equal("?")]),
    ] {
        assert_eq!(roles(source), expected, "{source}");
        assert_eq!(read(source).markers.len(), expected.len(), "{source}");
    }
}

#[test]
fn each_write_says_what_becomes_of_its_column() {
    use How::{Change, Count, Nothing, Part, Whole};
    for (source, expected) in [
        (
            "INSERT INTO t (a, b, c) VALUES (?, null, {x: null})",
            vec![("a", Whole), ("b", Nothing), ("c", Whole)],
        ),
        (
            "UPDATE t SET a = ?, B = NULL, c[1] = null, d.e = ?, f = [], \"G\" = 'G' + ? WHERE k = 1",
            vec![
                ("a", Whole),
                ("b", Nothing),
                ("c", Part),
                ("d", Part),
                ("f", Whole),
                ("G", Whole),
            ],
        ),
        (
            "UPDATE t SET a = a + ?, b=b-{1}, c += ?, d -= [1], e = [1, 2] + e, F = f + ? WHERE k = 1",
            vec![
                ("a", Change),
                ("b", Change),
                ("c", Change),
                ("d", Change),
                ("e", Change),
                ("f", Change),
            ],
        ),
        (
            "UPDATE t SET a = a + 1, b=b-1, c += 12 WHERE k = 1",
            vec![("a", Count), ("b", Count), ("c", Count)],
        ),
        ("UPDATE t SET a = f(a + 1) WHERE k = 1", vec![("a", Whole)]),
        ("DELETE a, b[1], c.d FROM t WHERE k = 1", vec![("a", Nothing), ("b", Part), ("c", Part)]),
        ("DELETE FROM t WHERE k = 1", vec![]),
        ("INSERT INTO t JSON '{\"a\": 1}'", vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(c, how)| (c.to_owned(), how)).collect();
        assert_eq!(writes(source), expected, "{source}");
    }
}

#[test]
fn conditions_and_timestamps_are_seen_where_they_are_none_of_the_values() {
    let flags = |source| {
        let text = read(source);
        (text.conditional, text.own_time)
    };
    for (source, expected) in [
        ("INSERT INTO t (a) VALUES (1)", (false, false)),
        ("INSERT INTO t (a) VALUES (1) iF nOt ExIsTs", (true, false)),
        ("INSERT INTO t (a) VALUES (1) USING TTL 5", (false, false)),
        ("INSERT INTO t (a) VALUES (1) USING TIMESTAMP 5 AND TTL 7", (false, true)),
        ("INSERT INTO t (a) VALUES ('IF') /* IF */ -- IF\n", (false, false)),
        ("INSERT INTO t (\"if\", timestamp, ttl) VALUES (1, 2, 3)", (false, false)),
        ("INSERT INTO t JSON ? IF NOT EXISTS", (true, false)),
        ("UPDATE t SET ttl = 1, timestamp = 2 WHERE a = 1", (false, false)),
        ("UPDATE t USING TIMESTAMP ? SET a = 1 WHERE b = 1 IF EXISTS", (true, true)),
        ("UPDATE t SET a = 1 WHERE b = 1 IF ttl = 5", (true, false)),
        ("UPDATE t SET a = 1 IF b = 1", (true, false)),
        ("DELETE FROM t USING TIMEOUT 5s WHERE a = 1", (false, false)),
        ("DELETE FROM t USING TIMEOUT 5s AND TIMESTAMP 5 WHERE a = 1", (false, true)),
        ("DELETE FROM t WHERE a = 1 IF b IN (1, 2)", (true, false)),
    ] {
        assert_eq!(flags(source), expected, "{source}");
    }
}

/// Text between two tokens.
fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![" ", "\n", "\t ", " /* ? ; ' IF */ ", " -- ? ' \" /*\n", " // ;\r"])
}

/// A name, as it is and as CQL writes it.
fn name() -> impl Strategy<Value = (String, String)> {
    let reserved = ["if", "in", "set", "from", "into", "where", "using", "and", "null", "token"];
    let plain = "[a-z][a-z0-9_]{0,8}"
        .prop_filter("not a word of CQL", move |name| !reserved.contains(&name.as_str()));
    prop_oneof![
        plain.clone().prop_map(|name| (name.clone(), name)),
        plain.prop_map(|name| (name.clone(), name.to_uppercase())),
        "[ -~ä?;']{1,8}".prop_map(|name| {
            let quoted = format!("\"{}\"", name.replace('"', "\"\""));
            (name, quoted)
        }),
    ]
}

/// A value, and whether it is a marker by itself.
fn term() -> impl Strategy<Value = (String, bool)> {
    prop_oneof![
        3 => Just(("?".to_owned(), true)),
        1 => Just(("(int)\n?".to_owned(), true)),
        1 => name().prop_map(|(_, written)| (format!(":{written}"), true)),
        1 => "[ -~ä]{0,8}".prop_map(|text| (format!("'{}'", text.replace('\'', "''")), false)),
        1 => Just(("$$ ' ? IF $$".to_owned(), false)),
        1 => (-99_i32..99).prop_map(|number| (number.to_string(), false)),
        1 => Just(("{'a': [1, 2], 'if' : (3)}".to_owned(), false)),
    ]
}

#[derive(Clone, Debug)]
struct Made {
    kind: Kind,
    keyspace: Option<(String, String)>,
    table: (String, String),
    columns: Vec<((String, String), (String, bool))>,
    keys: Vec<((String, String), (String, bool))>,
    stamp: Option<(String, bool)>,
    condition: bool,
    gap: &'static str,
    end: &'static str,
}

fn made() -> impl Strategy<Value = Made> {
    let columns = || prop::collection::vec((name(), term()), 1..4);
    let kind = prop::sample::select(vec![Kind::Insert, Kind::Update, Kind::Delete]);
    let end = prop::sample::select(vec!["", ";", " ; ;", "; -- end"]);
    let rest = (prop::option::of(term()), any::<bool>(), gap(), end);
    (kind, prop::option::of(name()), name(), columns(), columns(), rest).prop_map(
        |(kind, keyspace, table, columns, keys, (stamp, condition, gap, end))| Made {
            kind,
            keyspace,
            table,
            columns,
            keys,
            stamp,
            condition,
            gap,
            end,
        },
    )
}

impl Made {
    fn write(&self) -> String {
        let gap = self.gap;
        let list = |items: &mut dyn Iterator<Item = String>, between: &str| {
            items.collect::<Vec<_>>().join(between)
        };
        let comma = format!("{gap},");
        let and = format!("{gap}aNd{gap}");
        let equals = |((_, name), (value, _)): &((String, String), (String, bool))| {
            format!("{name}{gap}={gap}{value}")
        };
        let keyspace = self.keyspace.as_ref();
        let keyspace = keyspace.map_or(String::new(), |(_, name)| format!("{name}{gap}.{gap}"));
        let table = format!("{keyspace}{}", self.table.1);
        let using = self.stamp.as_ref();
        let using = using.map_or(String::new(), |(stamp, _)| {
            format!("{gap}using{gap}ttl{gap}5{gap}AND{gap}Timestamp{gap}{stamp}")
        });
        let wheres = list(&mut self.keys.iter().map(equals), &and);
        let text = match self.kind {
            Kind::Insert => {
                let both = || self.columns.iter().chain(&self.keys);
                let names = list(&mut both().map(|((_, name), _)| name.clone()), &comma);
                let values = list(&mut both().map(|(_, (value, _))| value.clone()), &comma);
                let exists = if self.condition { " IF NOT EXISTS" } else { "" };
                format!("INSERT{gap}into{gap}{table}({names})VALUES({values}){exists}{using}")
            }
            Kind::Update => {
                let sets = list(&mut self.columns.iter().map(equals), &comma);
                format!("update{gap}{table}{using}{gap}SET{gap}{sets}{gap}where{gap}{wheres}")
            }
            Kind::Delete => {
                let names =
                    list(&mut self.columns.iter().map(|((_, name), _)| name.clone()), &comma);
                format!("Delete{gap}{names}{gap}FROM{gap}{table}{using}{gap}WHERE{gap}{wheres}")
            }
        };
        let exists = if self.condition && self.kind != Kind::Insert { " if\nexists" } else { "" };
        format!("{gap}{text}{exists}{}", self.end)
    }

    fn roles(&self) -> Vec<Role<'_>> {
        let pick = |pairs: &'_ [((String, String), (String, bool))], key: bool| {
            let markers = pairs.iter().filter(|(_, (_, is_marker))| *is_marker);
            let names: Vec<String> = markers.map(|((name, _), _)| name.clone()).collect();
            let role = |name: String| match key {
                true => Role::Equal(name.into()),
                false => Role::Value(name.into()),
            };
            names.into_iter().map(role).collect::<Vec<Role<'static>>>()
        };
        let stamp: Vec<_> =
            self.stamp.iter().filter(|(_, is)| *is).map(|_| Role::Timestamp).collect();
        match self.kind {
            Kind::Insert => [pick(&self.columns, false), pick(&self.keys, false), stamp].concat(),
            Kind::Update => [stamp, pick(&self.columns, false), pick(&self.keys, true)].concat(),
            Kind::Delete => [stamp, pick(&self.keys, true)].concat(),
        }
    }
}

proptest! {
    #[test]
    fn statements_are_read_as_they_were_made(made in made()) {
        let source = made.write();
        let text = Text::read(&source).map_err(|e| TestCaseError::fail(format!("{source}: {e}")))?;
        prop_assert_eq!(text.kind, made.kind);
        prop_assert_eq!(text.keyspace.as_deref(), made.keyspace.as_ref().map(|(name, _)| name.as_str()));
        prop_assert_eq!(&*text.table, &made.table.0);
        prop_assert_eq!(text.conditional, made.condition);
        prop_assert_eq!(text.own_time, made.stamp.is_some());
        let roles: Vec<_> = text.markers.iter().map(|marker| marker.role.clone()).collect();
        prop_assert_eq!(roles, made.roles(), "{}", source);
        let columns: Vec<_> = text.writes.iter().map(|write| write.column.to_string()).collect();
        let keys = made.keys.iter().filter(|_| made.kind == Kind::Insert);
        let expected: Vec<_> =
            made.columns.iter().chain(keys).map(|((name, _), _)| name.clone()).collect();
        prop_assert_eq!(columns, expected);
        let qualified = text.qualified(Some("k s"), |_| Some("frozen<list<int>>".to_owned()));
        let again = Text::read(&qualified).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(again.keyspace.as_deref(), text.keyspace.as_deref().or(Some("k s")));
        prop_assert_eq!(&again.table, &text.table);
        let again: Vec<_> = again.markers.into_iter().map(|marker| marker.role).collect();
        prop_assert_eq!(again, made.roles(), "{}", qualified);
    }

    #[test]
    fn no_text_is_a_panic(source in "\\PC{0,60}") {
        let _ = Text::read(&source);
    }

    #[test]
    fn no_words_in_any_order_are_a_panic(words in prop::collection::vec(prop::sample::select(vec![
        "INSERT", "INTO", "UPDATE", "DELETE", "FROM", "SET", "WHERE", "IF", "USING", "AND", "JSON",
        "VALUES", "TTL", "TIMESTAMP", "t", "a", "(", ")", "[", "]", "{", "}", "=", "+", "-", ",",
        ".", "?", ":", ":x", "'s'", "\"q\"", "1", "$$d$$", "IN", "NULL", ";", "--\n",
    ]), 0..24), verb in prop::sample::select(vec!["INSERT INTO t", "UPDATE t SET", "DELETE", ""])) {
        let _ = Text::read(&format!("{verb} {}", words.join(" ")));
    }
}
