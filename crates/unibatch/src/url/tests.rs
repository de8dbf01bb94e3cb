use std::time::Duration;

use super::*;

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

fn read(url: &str) -> StoreUrl {
    StoreUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[test]
fn every_form_of_the_address_is_read() {
    type Case<'a> = (&'a str, Scheme, Option<&'a str>, Option<&'a str>, Vec<Host>, Option<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        ("memory:", Scheme::Memory, None, None, vec![], None),
        ("memory://", Scheme::Memory, None, None, vec![], None),
        (
            "arango://user:pass@host:8529/db",
            Scheme::Arango,
            Some("user"),
            Some("pass"),
            vec![host("host", 8529)],
            Some("db"),
        ),
        (
            "arango+https://db.example.org",
            Scheme::ArangoHttps,
            None,
            None,
            vec![host("db.example.org", 8529)],
            None,
        ),
        (
            "cql://user:pass@host:9042,host2:9043/keyspace",
            Scheme::Cql,
            Some("user"),
            Some("pass"),
            vec![host("host", 9042), host("host2", 9043)],
            Some("keyspace"),
        ),
        (
            "cql+tls://h1,h2:1,[::1],[fe80::1]:65535/",
            Scheme::CqlTls,
            None,
            None,
            vec![host("h1", 9042), host("h2", 1), host("::1", 9042), host("fe80::1", 65535)],
            None,
        ),
        ("CQL://h", Scheme::Cql, None, None, vec![host("h", 9042)], None),
        (
            "cql://user@127.0.0.1",
            Scheme::Cql,
            Some("user"),
            None,
            vec![host("127.0.0.1", 9042)],
            None,
        ),
        ("cql://user:@h", Scheme::Cql, Some("user"), Some(""), vec![host("h", 9042)], None),
        (
            "cql://a%40b%3A:p%2F%3F%23%25%40:%C3%BC@h/k%20s",
            Scheme::Cql,
            Some("a@b:"),
            Some("p/?#%@:ü"),
            vec![host("h", 9042)],
            Some("k s"),
        ),
    ];
    for (text, scheme, user, password, hosts, path) in cases {
        let url = read(text);
        assert_eq!(url.scheme(), scheme, "{text}");
        assert_eq!((url.user(), url.password()), (user, password), "{text}");
        assert_eq!((url.hosts(), url.path()), (&*hosts, path), "{text}");
        assert_eq!(*url.parameters(), Parameters::default(), "{text}");
    }
}

#[test]
fn every_parameter_is_read() {
    let everywhere =
        "timeout=1m%2030s&max_in_flight=4&max_batch_bytes=1048576&max_batch_operations=100";
    let common = Parameters {
        timeout: Some(Duration::from_secs(90)),
        max_in_flight: Some(4),
        max_batch_bytes: Some(1_048_576),
        max_batch_operations: Some(100),
        ..Parameters::default()
    };
    assert_eq!(*read(&format!("memory:?{everywhere}")).parameters(), common);
    let arango = "auth=jwt&protocol=http2&sharded_transactions=accept&compression=gzip";
    let plain = Parameters {
        auth: Some("jwt"),
        protocol: Some("http2"),
        sharded_transactions: Some("accept"),
        compression: Some("gzip"),
        ..common.clone()
    };
    assert_eq!(*read(&format!("arango://h/db?{arango}&{everywhere}")).parameters(), plain);
    assert_eq!(
        *read(&format!("arango+https://h,i/db?{arango}&{everywhere}&tls_ca=ca.pem")).parameters(),
        Parameters { tls_ca: Some("ca.pem".to_owned()), ..plain }
    );
    let cql = "consistency=local_quorum&serial_consistency=serial&local_dc=dc%261&translate=contact-points&compression=lz4";
    let plain = Parameters {
        consistency: Some("local_quorum"),
        serial_consistency: Some("serial"),
        local_dc: Some("dc&1".to_owned()),
        translate: Some("contact-points"),
        compression: Some("lz4"),
        ..common
    };
    assert_eq!(*read(&format!("cql://h?{cql}&{everywhere}")).parameters(), plain);
    assert_eq!(
        *read(&format!("cql+tls://h?{cql}&{everywhere}&tls_ca=/a%20b/ca.pem&tls_name=db"))
            .parameters(),
        Parameters {
            tls_ca: Some("/a b/ca.pem".to_owned()),
            tls_name: Some("db".to_owned()),
            ..plain
        }
    );
    assert_eq!(
        read("memory:?timeout=250ms").parameters().timeout,
        Some(Duration::from_millis(250))
    );
    let options = read("memory:?timeout=250ms").parameters().store_options();
    assert_eq!(options.default_timeout(), Duration::from_millis(250));
}

#[test]
fn a_mistake_is_refused_with_what_was_expected() {
    for (url, expected) in [
        ("", "it has no scheme; `memory:`"),
        ("students.ndjson", "it has no scheme"),
        ("memory:x", "neither host nor path"),
        ("memory:/x", "neither host nor path"),
        ("memory://host", "neither host nor path"),
        ("memory:#x", "has no `#`"),
        ("cql:h", "`cql:` is followed by `//`"),
        ("cql:", "`cql:` is followed by `//`"),
        ("cql://", "it names no host"),
        ("cql:///ks", "it names no host"),
        ("cql://u:p@/ks", "it names no host"),
        ("cql://h,", "host 2: a host is a name"),
        ("cql://h h", "host 1: a host is a name"),
        ("cql://:9042", "host 1: a host is a name"),
        ("cql://h:", "host 1: a port is a number"),
        ("cql://h:0", "host 1: a port is a number"),
        ("cql://h:+1", "host 1: a port is a number"),
        ("cql://h,i:65536", "host 2: a port is a number"),
        ("cql://h:x", "host 1: a port is a number"),
        ("cql://::1:9042", "an IPv6 address stands in brackets"),
        ("cql://[::1", "is not closed"),
        ("cql://[localhost]", "no IPv6 address in the brackets"),
        ("cql://[::1]9042", "behind the bracket"),
        ("cql://@h", "no user's name"),
        ("cql://:p@h", "no user's name"),
        ("cql://u:p@q@h", "more than one `@`"),
        ("cql://u:p/q@h", "`@` behind the host"),
        ("cql://u:p?q@h", "`@` behind the host"),
        ("cql://u:p#q@h", "`@` behind the host"),
        ("cql://u:%4@h", "the password has a `%`"),
        ("cql://u:%zz@h", "the password has a `%`"),
        ("cql://%:p@h", "the user's name has a `%`"),
        ("cql://u:%FF@h", "the password is not UTF-8"),
        ("cql://h/a/b", "the path is one name"),
        ("cql://h/a/", "the path is one name"),
        ("cql://h/a%", "the path has a `%`"),
        ("cql://h/a#b", "has no `#`"),
        (
            "memory:?",
            "there is an empty parameter; a `memory` store has timeout, max_in_flight, max_batch_bytes, max_batch_operations",
        ),
        ("memory:?timeout=3s&", "there is an empty parameter"),
        ("memory:?auth=jwt", "there is no parameter `auth`; a `memory` store has timeout"),
        (
            "arango://h?local_dc=x",
            "there is no parameter `local_dc`; a `arango` store has timeout, max_in_flight, max_batch_bytes, max_batch_operations, auth, protocol, sharded_transactions, compression",
        ),
        (
            "cql://h?auth=jwt",
            "a `cql` store has timeout, max_in_flight, max_batch_bytes, max_batch_operations, consistency, serial_consistency, local_dc, translate, compression",
        ),
        ("cql://h?tls_ca=ca.pem", "there is no parameter `tls_ca`; a `cql` store has timeout"),
        ("cql+tls://h?auth=jwt", "local_dc, translate, compression, tls_ca, tls_name"),
        ("cql://h?compression=zstd", "`compression` is one of lz4, snappy"),
        ("memory:?Timeout=3s", "there is no parameter `Timeout`"),
        ("memory:?time%6Fut=3s", "there is an unknown parameter;"),
        ("memory:?timeout=3s&timeout=4s", "`timeout` is given twice"),
        ("memory:?timeout", "`timeout` has no value"),
        ("memory:?timeout=", "`timeout` has no value"),
        ("memory:?timeout=3", "a time above zero with its unit"),
        ("memory:?timeout=0s", "a time above zero with its unit"),
        ("memory:?timeout=-3s", "a time above zero with its unit"),
        ("memory:?timeout=soon", "a time above zero with its unit"),
        ("memory:?max_in_flight=0", "`max_in_flight` is a whole number from 1"),
        ("memory:?max_in_flight=-1", "`max_in_flight` is a whole number from 1"),
        ("memory:?max_in_flight=+1", "`max_in_flight` is a whole number from 1"),
        ("memory:?max_batch_bytes=1e6", "`max_batch_bytes` is a whole number from 1"),
        (
            "memory:?max_batch_operations=99999999999999999999",
            "`max_batch_operations` is a whole number",
        ),
        ("memory:?max_batch_bytes=%", "the value of the parameter `max_batch_bytes` has a `%`"),
        ("arango://h?auth=digest", "`auth` is one of basic, jwt"),
        ("arango://h?protocol=http3", "`protocol` is one of http1, http2"),
        ("arango://h?sharded_transactions=yes", "`sharded_transactions` is one of accept"),
        ("arango://h?compression=lz4", "`compression` is one of gzip"),
        ("arango://h?tls_ca=ca.pem", "there is no parameter `tls_ca`"),
        ("cql://h?consistency=most", "`consistency` is one of any, one, two"),
        (
            "cql://h?serial_consistency=quorum",
            "`serial_consistency` is one of serial, local_serial",
        ),
        ("cql://h?translate=all", "`translate` is one of contact-points"),
        ("cql://h?local_dc=", "`local_dc` has no value"),
    ] {
        let error = StoreUrl::parse(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::InvalidOperation, "{url}: {error}");
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
}

#[test]
fn an_unknown_scheme_is_unsupported_and_the_known_ones_are_listed() {
    for (url, start) in [
        ("mongo://h", "`mongo` scheme is no store's; `memory:`, `arango://`"),
        ("http://h:8529/db", "`http` scheme is no store's"),
        (":memory:", "its scheme is no store's"),
        ("C:\\students.ndjson", "its scheme is no store's"),
    ] {
        let error = StoreUrl::parse(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{url}: {error}");
        assert!(error.to_string().starts_with(start), "{url}: {error}");
    }
}

#[test]
fn no_print_of_a_url_shows_its_password() {
    let url = read("cql://abby:hunter2@h1,h2/school?timeout=3s");
    assert_eq!(url.to_string(), "cql://abby@h1:9042,h2:9042/school");
    for print in [format!("{url:?}"), format!("{url:#?}"), url.to_string()] {
        assert!(!print.contains("hunter2"), "{print}");
    }
    assert!(format!("{url:?}").contains("password: Some(…)"));
}

#[test]
fn no_error_shows_any_part_of_a_password_however_the_url_is_broken() {
    // Every delimiter within a password, and every mistake behind or before one.
    let passwords = [
        "hunter2",
        "hun/ter2",
        "hun?ter2",
        "hun#ter2",
        "hun@ter2",
        "hun:ter2",
        "hun%ter2",
        "hun ter2",
        "hun&ter2",
        "hun=ter2",
        "hun,ter2",
        "hun[ter2",
        "hun?ter2=1",
        "hun?x&ter2=1",
        "hun%FFter2",
        "hun?timeout=ter2",
        "hun?auth=ter2",
    ];
    let shapes = [
        "{}",
        "{}@h",
        "u:{}@h",
        "://u:{}@h",
        "cql:u:{}@h",
        "cql:{}",
        "cql:/u:{}@h",
        "cql://u:{}@h:x/ks",
        "cql://u:{}@h:99999/ks",
        "cql://u:{}@/ks",
        "cql://u:{}@h/a/b",
        "cql://u:{}@h?x=1",
        "cql://:{}@h",
        "cql://u:{}@h?timeout=1",
        "cql://u:{}@[::1/ks",
        "arango://u:{}@h,i/db",
        "mongo://u:{}@h/db",
        "memory://u:{}@h",
        "memory:u:{}@h",
        "u:{}@h:9042/ks",
        "http://u:{}@h",
        "cql://u:{}@h@i/ks",
    ];
    let mut refused = 0;
    for password in passwords {
        for shape in shapes {
            let text = shape.replace("{}", password);
            let Err(error) = StoreUrl::parse(&text) else { continue };
            refused += 1;
            for print in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
                assert!(!print.contains("hun") && !print.contains("ter2"), "{text}: {print}");
            }
        }
    }
    assert!(refused > 300, "only {refused} of them were refused, so little was shown");
}

#[test]
fn a_password_from_elsewhere_yields_to_the_one_in_the_url() {
    let from =
        |url: &str| read(url).or_password(Some("other".to_owned())).password().map(str::to_owned);
    assert_eq!(from("cql://u@h").as_deref(), Some("other"));
    assert_eq!(from("cql://u:own@h").as_deref(), Some("own"));
    assert_eq!(from("cql://u:@h").as_deref(), Some(""));
    assert_eq!(from("memory:"), None);
    assert_eq!(read("cql://u@h").or_password(None).password(), None);
}
