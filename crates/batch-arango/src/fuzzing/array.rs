//! The array reader.

use bytes::Bytes;
use serde_json::{Value, value::RawValue};

use super::{Script, is_within};
use crate::array::{What, read};

/// Reads bytes as they are, as the answer to as many elements as they have by another parser.
pub fn any_array(data: &[u8]) {
    let answer = Bytes::copy_from_slice(data);
    let by_other: Option<Vec<&RawValue>> = serde_json::from_slice(data).ok();
    let expected = by_other.as_ref().map_or(1, Vec::len);
    for reading in [false, true] {
        let mut visited = Vec::new();
        let outcome = read(&answer, expected, reading, &mut |place, element| {
            assert_eq!(place, visited.len(), "elements come in order");
            assert!(is_within(&element.text, &answer), "a copy was made");
            visited.push(element);
        });
        let Some(by_other) = by_other.as_ref().filter(|_| outcome.is_ok()) else {
            assert!(outcome.is_err() && visited.is_empty(), "what is no array was read as one");
            continue;
        };
        assert_eq!(visited.len(), expected);
        for (element, raw) in visited.iter().zip(by_other) {
            assert_eq!(element.text, raw.get().as_bytes());
            // Nested deeper than this parser goes.
            let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { continue };
            let has_key = value["_key"].is_string() || value["_id"].is_string();
            match &element.what {
                What::Document => assert!(has_key && (reading || value["error"] != true)),
                What::Refused { number, .. } => {
                    assert!(value["error"] == true && value["errorNum"] == *number);
                }
                What::Other => {}
            }
        }
    }
}

/// Makes an array's answer, damages it once, and reads it: if it is taken, nothing has changed.
pub fn mutated_array(data: &[u8]) {
    let script = &mut Script::new(data);
    let expected = script.below(6);
    let element = |script: &mut Script<'_>, place: usize| match script.byte() % 4 {
        0 => format!("{{\"_id\":\"c/{place}\",\"_key\":\"{place}\",\"_rev\":\"_l6-\"}}"),
        1 => "{\"error\":true,\"errorNum\":1210,\"errorMessage\":\"taken: ],[{\"}".to_owned(),
        2 => format!("{{\"_key\":\"{place}\",\"new\":{{\"a\":[1,{{\"b\":\"}},{{\"}}]}}}}"),
        _ => "null".to_owned(),
    };
    let elements: Vec<_> = (0..expected).map(|place| element(script, place)).collect();
    let mut damaged = elements.clone();
    match script.byte() % 4 {
        0 if expected > 0 => {
            let place = script.below(expected);
            damaged.insert(script.below(expected + 1), elements[place].clone());
        }
        1 if expected > 0 => drop(damaged.remove(script.below(expected))),
        _ => {}
    }
    let mut text = format!("[{}]", damaged.join(",")).into_bytes();
    let mut is_damaged = damaged.len() != expected;
    match script.byte() % 3 {
        0 if !is_damaged => {
            text.truncate(script.below(text.len()));
            is_damaged = true;
        }
        1 if !is_damaged => {
            // What holds the array together: its brackets, and the ends of its elements.
            let mut ends = vec![0, text.len() - 1];
            let mut at = 1;
            for element in &elements {
                ends.extend([at, at + element.len() - 1, at + element.len()]);
                at += element.len() + 1;
            }
            let (place, byte) = (script.pick(&ends), script.byte());
            text[place] ^= byte;
            is_damaged = byte != 0;
        }
        _ => {}
    }
    let text = Bytes::from(text);
    let mut visited = Vec::new();
    let outcome = read(&text, expected, false, &mut |_, element| visited.push(element));
    if outcome.is_ok() {
        let told = visited.iter().map(|element| &*element.text);
        assert!(told.eq(elements.iter().map(String::as_bytes)), "other elements are told");
    }
    assert_eq!(outcome.is_ok(), !is_damaged, "{outcome:?}");
}
