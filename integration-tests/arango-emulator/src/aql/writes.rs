//! The five writes, with `OLD` and `NEW` for what follows.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{
    ast::{Write, WriteKind},
    execute::{Machine, Row},
    plan::resolve,
    value::compare,
};
use crate::{
    errors::Failure,
    storage::{Modify, Options, Overwrite, Written},
};

/// Where a write goes, and its options.
struct Target {
    id: u64,
    name: String,
    options: Options,
}

impl<'a> Machine<'a> {
    /// Writes for one row, which gets `OLD` and `NEW`.
    pub(super) fn write<'q>(&mut self, write: &'q Write, row: &mut Row<'q>) -> Result<(), Failure>
    where
        'a: 'q,
    {
        let (target, ignore) = self.target(write, row)?;
        let result = self.one(write, &target, row);
        let written = match result {
            Ok(written) => written,
            Err(failure) if ignore && !failure.waits => {
                self.stats.ignored += 1;
                row.push(("OLD", Rc::new(Value::Null)));
                row.push(("NEW", Rc::new(Value::Null)));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if written.ignored {
            self.stats.ignored += 1;
        } else {
            self.stats.executed += 1;
        }
        let show = |document: &crate::storage::Document| Value::from(document.show(&target.name));
        let old = written.old.as_deref().map(show).unwrap_or_default();
        let new = if written.removed { Value::Null } else { show(&written.document) };
        row.push(("OLD", Rc::new(old)));
        row.push(("NEW", Rc::new(new)));
        Ok(())
    }

    fn target<'q>(&mut self, write: &'q Write, row: &Row<'q>) -> Result<(Target, bool), Failure>
    where
        'a: 'q,
    {
        let name = resolve(&write.collection, self.binds)?;
        let id = self.store.writing(self.scope, &name)?;
        let name = self.store.collection(self.scope, id)?.name.clone();
        let given = match &write.options {
            Some(options) => self.evaluate(options, row)?.into_owned(),
            None => Value::Null,
        };
        let flag = |name: &str, default| given[name].as_bool().unwrap_or(default);
        let overwrite = match given["overwriteMode"].as_str() {
            Some("ignore") => Overwrite::Ignore,
            Some("replace") => Overwrite::Replace,
            Some("update") => Overwrite::Update,
            _ if flag("overwrite", false) => Overwrite::Replace,
            _ => Overwrite::Conflict,
        };
        let options = Options {
            overwrite,
            keep_null: flag("keepNull", true),
            merge_objects: flag("mergeObjects", true),
            ignore_revs: flag("ignoreRevs", true),
            version_attribute: given["versionAttribute"].as_str().map(str::to_owned),
            ..Options::default()
        };
        Ok((Target { id, name, options }, flag("ignoreErrors", false)))
    }

    fn one<'q>(
        &mut self,
        write: &'q Write,
        target: &Target,
        row: &Row<'q>,
    ) -> Result<Written, Failure>
    where
        'a: 'q,
    {
        match &write.kind {
            WriteKind::Insert(body) => {
                let body = self.evaluate(body, row)?.into_owned();
                self.store.insert(self.scope, target.id, &body, &target.options)
            }
            WriteKind::Remove(key) => {
                let selector = self.evaluate(key, row)?.into_owned();
                let revision = revision(&selector, &target.options);
                self.store.remove(self.scope, target.id, key_of(&selector)?, revision)
            }
            WriteKind::Update(key, with) => {
                self.modify(key, with.as_ref(), Modify::Update, target, row)
            }
            WriteKind::Replace(key, with) => {
                self.modify(key, with.as_ref(), Modify::Replace, target, row)
            }
            WriteKind::Upsert { example, insert, change, replace } => {
                let example = self.evaluate(example, row)?.into_owned();
                let found = self.like_example(target, &example)?;
                let mut inner = row.clone();
                inner.push(("OLD", Rc::new(found.clone().unwrap_or_default())));
                let Some(found) = found else {
                    let body = self.evaluate(insert, &inner)?.into_owned();
                    return self.store.insert(self.scope, target.id, &body, &target.options);
                };
                let Value::Object(body) = self.evaluate(change, &inner)?.into_owned() else {
                    return Err(Failure::new(1227));
                };
                let way = if *replace { Modify::Replace } else { Modify::Update };
                let key = key_of(&found)?;
                self.store.modify(self.scope, target.id, key, &body, None, way, &target.options)
            }
        }
    }

    fn modify<'q>(
        &mut self,
        key: &'q super::ast::Expression,
        with: Option<&'q super::ast::Expression>,
        way: Modify,
        target: &Target,
        row: &Row<'q>,
    ) -> Result<Written, Failure>
    where
        'a: 'q,
    {
        let selector = self.evaluate(key, row)?.into_owned();
        let body = match with {
            Some(with) => self.evaluate(with, row)?.into_owned(),
            None => selector.clone(),
        };
        let Value::Object(body) = body else { return Err(Failure::new(1227)) };
        let revision = revision(&selector, &target.options);
        let key = key_of(&selector)?;
        self.store.modify(self.scope, target.id, key, &body, revision, way, &target.options)
    }

    /// The first document with the attributes of an example.
    fn like_example(&self, target: &Target, example: &Value) -> Result<Option<Value>, Failure> {
        fn fits(document: &Map<String, Value>, example: &Map<String, Value>) -> bool {
            example.iter().all(|(name, value)| match (document.get(name), value) {
                (Some(Value::Object(inner)), Value::Object(example)) => fits(inner, example),
                (found, value) => compare(found.unwrap_or(&Value::Null), value).is_eq(),
            })
        }
        let Value::Object(example) = example else {
            return Err(Failure::new(1501).says("UPSERT needs an object to search for"));
        };
        let data = self.store.data(self.scope, target.id)?;
        let mut shown = data.iter().map(|document| document.show(&target.name));
        Ok(shown.find(|document| fits(document, example)).map(Value::from))
    }
}

/// The key of a key, an id, or a document.
fn key_of(selector: &Value) -> Result<&str, Failure> {
    let text = match selector {
        Value::String(text) => Some(text.as_str()),
        Value::Object(object) => {
            object.get("_key").or_else(|| object.get("_id")).and_then(Value::as_str)
        }
        _ => None,
    };
    let text = text.ok_or_else(|| Failure::new(1221))?;
    Ok(text.split_once('/').map_or(text, |(_, key)| key))
}

fn revision<'a>(selector: &'a Value, options: &Options) -> Option<&'a str> {
    if options.ignore_revs { None } else { selector["_rev"].as_str() }
}
