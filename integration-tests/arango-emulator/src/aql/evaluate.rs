//! Expressions become values.

use std::{borrow::Cow, rc::Rc};

use serde_json::{Map, Value};

use super::{
    ast::{Expression, Key, Operator},
    execute::{Machine, Row},
    functions,
    plan::resolve,
    value::{arithmetic, compare, like, text, truth, whole},
};
use crate::errors::Failure;

type Evaluated<'q> = Result<Cow<'q, Value>, Failure>;

/// A variable that no query can name.
const CURRENT: &str = "*";

/// The largest range that is made.
const LONGEST: i64 = 10_000_000;

impl<'a> Machine<'a> {
    pub(super) fn evaluate<'q>(
        &mut self,
        expression: &'q Expression,
        row: &'q Row<'q>,
    ) -> Evaluated<'q>
    where
        'a: 'q,
    {
        let owned = |value: Value| Ok(Cow::Owned(value));
        match expression {
            Expression::Literal(value) => Ok(Cow::Borrowed(value)),
            Expression::Bind(name) => {
                let binds: &'a Map<String, Value> = self.binds;
                Ok(binds.get(name).map_or(Cow::Owned(Value::Null), Cow::Borrowed))
            }
            Expression::Variable(name) => variable(name, row),
            Expression::Current => variable(CURRENT, row),
            Expression::Collection(name) => {
                let name = resolve(name, self.binds)?;
                owned(self.documents(&name)?.into())
            }
            Expression::Array(items) => owned(self.all(items, row)?.into()),
            Expression::Object(entries) => owned(self.object(entries, row)?.into()),
            Expression::Attribute(of, name) => Ok(attribute(self.evaluate(of, row)?, name)),
            Expression::BoundAttribute(of, name) => {
                let name = self.binds.get(name).map(text).unwrap_or_default();
                Ok(attribute(self.evaluate(of, row)?, &name))
            }
            Expression::Index(of, index) => {
                let index = self.evaluate(index, row)?;
                match self.evaluate(of, row)? {
                    value if value.is_object() => Ok(attribute(value, &text(&index))),
                    value => owned(element(&value, whole(&index))),
                }
            }
            Expression::Expand(list, rest) => owned(self.expand(list, rest, row)?),
            Expression::Not(value) => owned((!truth(&*self.evaluate(value, row)?)).into()),
            Expression::Negative(value) => {
                let value = self.evaluate(value, row)?;
                let negative = arithmetic(&0.into(), &value, i64::checked_sub, |a, b| a - b);
                owned(negative.unwrap_or_default())
            }
            Expression::Positive(value) => {
                let value = self.evaluate(value, row)?;
                owned(super::value::number(&value))
            }
            Expression::Binary(Operator::And, left, right) => {
                let left = self.evaluate(left, row)?;
                if truth(&left) { self.evaluate(right, row) } else { Ok(left) }
            }
            Expression::Binary(Operator::Or, left, right) => {
                let left = self.evaluate(left, row)?;
                if truth(&left) { Ok(left) } else { self.evaluate(right, row) }
            }
            Expression::Binary(operator, left, right) => {
                let left = self.evaluate(left, row)?;
                let right = self.evaluate(right, row)?;
                owned(binary(*operator, &left, &right)?)
            }
            Expression::Choice(condition, then, other) => {
                let condition = self.evaluate(condition, row)?;
                match (truth(&condition), then) {
                    (true, Some(then)) => self.evaluate(then, row),
                    (true, None) => Ok(condition),
                    (false, _) => self.evaluate(other, row),
                }
            }
            Expression::Call(name, arguments) => {
                let arguments = self.all(arguments, row)?;
                owned(match name.as_str() {
                    "DOCUMENT" => self.document(&arguments)?,
                    name => functions::call(name, &arguments),
                })
            }
            Expression::Subquery(statements) => {
                let rows = self.statements(statements, row.clone());
                owned(rows.map_err(|(_, failure)| failure)?.into())
            }
        }
    }

    fn all<'q>(
        &mut self,
        expressions: &'q [Expression],
        row: &'q Row<'q>,
    ) -> Result<Vec<Value>, Failure>
    where
        'a: 'q,
    {
        let value = |expression| Ok(self.evaluate(expression, row)?.into_owned());
        expressions.iter().map(value).collect()
    }

    fn object<'q>(
        &mut self,
        entries: &'q [(Key, Expression)],
        row: &'q Row<'q>,
    ) -> Result<Map<String, Value>, Failure>
    where
        'a: 'q,
    {
        let mut object = Map::new();
        for (key, value) in entries {
            let key = match key {
                Key::Plain(name) => name.clone(),
                Key::Bound(name) => self.binds.get(name).map(text).unwrap_or_default(),
                Key::Computed(key) => text(&*self.evaluate(key, row)?),
            };
            let value = self.evaluate(value, row)?.into_owned();
            object.insert(key, value);
        }
        Ok(object)
    }

    fn expand<'q>(
        &mut self,
        list: &'q Expression,
        rest: &'q Expression,
        row: &'q Row<'q>,
    ) -> Result<Value, Failure>
    where
        'a: 'q,
    {
        let Value::Array(items) = self.evaluate(list, row)?.into_owned() else {
            return Ok(Value::Array(Vec::new()));
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let mut inner = row.clone();
            inner.push((CURRENT, Rc::new(item)));
            values.push(self.evaluate(rest, &inner)?.into_owned());
        }
        Ok(values.into())
    }

    /// `DOCUMENT(id)`, `DOCUMENT(collection, key)`, and arrays of either.
    fn document(&mut self, arguments: &[Value]) -> Result<Value, Failure> {
        let (collection, wanted) = match arguments {
            [id] => (None, id),
            [Value::String(collection), key] => (Some(collection.as_str()), key),
            _ => return Err(Failure::new(1542)),
        };
        match wanted {
            Value::Array(many) => {
                let found = many.iter().map(|one| self.one_document(collection, one));
                let found: Vec<Value> = found.collect::<Result<_, _>>()?;
                Ok(found.into_iter().filter(|found| !found.is_null()).collect())
            }
            one => self.one_document(collection, one),
        }
    }

    fn one_document(&mut self, collection: Option<&str>, wanted: &Value) -> Result<Value, Failure> {
        let Value::String(wanted) = wanted else { return Ok(Value::Null) };
        let (collection, key) = match (wanted.split_once('/'), collection) {
            (Some(id), _) => id,
            (None, Some(collection)) => (collection, wanted.as_str()),
            (None, None) => return Ok(Value::Null),
        };
        let id = self.store.reading(self.scope, collection)?;
        let found = self.store.document(self.scope, id, key)?;
        let name = &self.store.collection(self.scope, id)?.name;
        Ok(found.map_or(Value::Null, |document| document.show(name).into()))
    }
}

fn variable<'q>(name: &str, row: &'q Row<'q>) -> Evaluated<'q> {
    let found = row.iter().rev().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| Cow::Borrowed(&**value))
        .ok_or_else(|| Failure::new(1512).says(format!("unknown variable '{name}'")))
}

fn attribute<'q>(of: Cow<'q, Value>, name: &str) -> Cow<'q, Value> {
    match of {
        Cow::Borrowed(value) => value.get(name).map_or(Cow::Owned(Value::Null), Cow::Borrowed),
        Cow::Owned(mut value) => {
            Cow::Owned(value.get_mut(name).map(Value::take).unwrap_or_default())
        }
    }
}

/// An element by its place, from the end if that is negative.
fn element(of: &Value, place: i64) -> Value {
    let Value::Array(items) = of else { return Value::Null };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = if place < 0 { length + place } else { place };
    usize::try_from(place).ok().and_then(|place| items.get(place).cloned()).unwrap_or_default()
}

fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value, Failure> {
    let order = || compare(left, right);
    Ok(match operator {
        Operator::Equal => order().is_eq().into(),
        Operator::Unequal => order().is_ne().into(),
        Operator::Less => order().is_lt().into(),
        Operator::LessOrEqual => order().is_le().into(),
        Operator::Greater => order().is_gt().into(),
        Operator::GreaterOrEqual => order().is_ge().into(),
        Operator::In => holds(right, left).into(),
        Operator::NotIn => (!holds(right, left)).into(),
        Operator::Like => like(&text(left), &text(right)).into(),
        Operator::Range => {
            let (first, last) = (whole(left), whole(right));
            if first.abs_diff(last) > LONGEST.unsigned_abs() {
                return Err(Failure::new(32).says("query would use more memory than allowed"));
            }
            if first <= last { (first..=last).collect() } else { (last..=first).rev().collect() }
        }
        Operator::Add => sum(arithmetic(left, right, i64::checked_add, |a, b| a + b)),
        Operator::Subtract => sum(arithmetic(left, right, i64::checked_sub, |a, b| a - b)),
        Operator::Multiply => sum(arithmetic(left, right, i64::checked_mul, |a, b| a * b)),
        // What is divided is a number with a fraction, and by zero it is null, with a warning.
        Operator::Divide => sum(arithmetic(left, right, |_, _| None, |a, b| a / b)),
        Operator::Modulo => sum(arithmetic(left, right, i64::checked_rem, |a, b| a % b)),
        Operator::And | Operator::Or => Value::Null,
    })
}

fn sum(value: Option<Value>) -> Value {
    value.unwrap_or_default()
}

fn holds(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|known| compare(known, item).is_eq()))
}
