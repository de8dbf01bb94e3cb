//! Runs the statements of a query, one after another over all rows.

use std::{cmp::Ordering, rc::Rc};

use serde_json::{Map, Value};

use super::{
    Stats,
    ast::{Expression, Query, Statement},
    plan::{node_of, resolve},
    value::{compare, truth, whole},
};
use crate::{
    errors::Failure,
    storage::{Scope, Store},
};

/// The variables of a row; of those with one name, the last counts.
pub(super) type Row<'q> = Vec<(&'q str, Rc<Value>)>;

/// What runs a query.
pub(super) struct Machine<'a> {
    pub(super) store: &'a mut Store,
    pub(super) scope: &'a Scope,
    pub(super) binds: &'a Map<String, Value>,
    pub(super) stats: Stats,
}

/// Runs a query; an error comes with the place of its node.
pub(super) fn run(
    store: &mut Store,
    scope: &Scope,
    query: &Query,
    binds: &Map<String, Value>,
) -> Result<(Vec<Value>, Stats), (usize, Failure)> {
    let mut machine = Machine { store, scope, binds, stats: Stats::default() };
    let rows = machine
        .statements(&query.statements, Row::new())
        .map_err(|(statement, failure)| (node_of(query, statement), failure))?;
    Ok((rows, machine.stats))
}

impl<'a> Machine<'a> {
    /// The values that the statements return, from one row on. An error comes with its statement.
    pub(super) fn statements<'q>(
        &mut self,
        statements: &'q [Statement],
        start: Row<'q>,
    ) -> Result<Vec<Value>, (usize, Failure)>
    where
        'a: 'q,
    {
        let mut rows = vec![start];
        for (place, statement) in statements.iter().enumerate() {
            if let Statement::Return { distinct, value } = statement {
                return self.returned(&rows, *distinct, value).map_err(|failure| (place, failure));
            }
            rows = self.statement(statement, rows).map_err(|failure| (place, failure))?;
        }
        Ok(Vec::new())
    }

    fn returned<'q>(
        &mut self,
        rows: &[Row<'q>],
        distinct: bool,
        value: &'q Expression,
    ) -> Result<Vec<Value>, Failure>
    where
        'a: 'q,
    {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let value = self.evaluate(value, row)?.into_owned();
            if !distinct || !values.contains(&value) {
                values.push(value);
            }
        }
        Ok(values)
    }

    fn statement<'q>(
        &mut self,
        statement: &'q Statement,
        mut rows: Vec<Row<'q>>,
    ) -> Result<Vec<Row<'q>>, Failure>
    where
        'a: 'q,
    {
        match statement {
            Statement::For { variable, list } => self.each(variable, list, &rows),
            Statement::Let { variable, value } => {
                for row in &mut rows {
                    let value = self.evaluate(value, row)?.into_owned();
                    row.push((variable, Rc::new(value)));
                }
                Ok(rows)
            }
            Statement::Filter(condition) => {
                let mut kept = Vec::new();
                for row in rows {
                    if truth(&*self.evaluate(condition, &row)?) {
                        kept.push(row);
                    } else {
                        self.stats.filtered += 1;
                    }
                }
                Ok(kept)
            }
            Statement::Sort(keys) => self.sorted(keys, rows),
            Statement::Limit { offset, count } => {
                let nothing = Row::new();
                let mut number = |value: &'q Expression, default| -> Result<usize, Failure> {
                    let value = self.evaluate(value, &nothing)?;
                    if value.is_null() {
                        return Ok(default);
                    }
                    let value = whole(&value);
                    usize::try_from(value)
                        .map_err(|_| Failure::new(1501).says("invalid LIMIT value"))
                };
                let (offset, count) = (number(offset, 0)?, number(count, usize::MAX)?);
                self.stats.full = Some(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                Ok(rows.into_iter().skip(offset).take(count).collect())
            }
            Statement::Collect { groups, count } => self.collected(groups, count.as_deref(), &rows),
            Statement::Write(write) => {
                for row in &mut rows {
                    self.write(write, row)?;
                }
                Ok(rows)
            }
            // It ends the query and is not asked for here.
            Statement::Return { .. } => Ok(rows),
        }
    }

    fn each<'q>(
        &mut self,
        variable: &'q str,
        list: &'q Expression,
        rows: &[Row<'q>],
    ) -> Result<Vec<Row<'q>>, Failure>
    where
        'a: 'q,
    {
        let mut all = Vec::new();
        for row in rows {
            let items: Vec<Rc<Value>> = match list {
                Expression::Collection(name) => {
                    let name = resolve(name, self.binds)?;
                    let items = self.documents(&name)?;
                    self.stats.scanned += u64::try_from(items.len()).unwrap_or(u64::MAX);
                    items.into_iter().map(Rc::new).collect()
                }
                list => match self.evaluate(list, row)?.into_owned() {
                    Value::Array(items) => items.into_iter().map(Rc::new).collect(),
                    _ => {
                        return Err(Failure::new(1563)
                            .says("collection or array expected as operand to FOR loop"));
                    }
                },
            };
            for item in items {
                let mut row = row.clone();
                row.push((variable, item));
                all.push(row);
            }
        }
        Ok(all)
    }

    fn sorted<'q>(
        &mut self,
        keys: &'q [(Expression, bool)],
        rows: Vec<Row<'q>>,
    ) -> Result<Vec<Row<'q>>, Failure>
    where
        'a: 'q,
    {
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            let mut values = Vec::with_capacity(keys.len());
            for (key, _) in keys {
                values.push(self.evaluate(key, &row)?.into_owned());
            }
            keyed.push((values, row));
        }
        let order = |left: &[Value], right: &[Value]| {
            let each = left.iter().zip(right).zip(keys);
            each.map(|((left, right), (_, down))| {
                let order = compare(left, right);
                if *down { order.reverse() } else { order }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
        };
        keyed.sort_by(|left, right| order(&left.0, &right.0));
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }

    fn collected<'q>(
        &mut self,
        groups: &'q [(String, Expression)],
        count: Option<&'q str>,
        rows: &[Row<'q>],
    ) -> Result<Vec<Row<'q>>, Failure>
    where
        'a: 'q,
    {
        let mut found: Vec<(Vec<Value>, u64)> = Vec::new();
        for row in rows {
            let mut values = Vec::with_capacity(groups.len());
            for (_, value) in groups {
                values.push(self.evaluate(value, row)?.into_owned());
            }
            match found.iter_mut().find(|(known, _)| *known == values) {
                Some((_, count)) => *count += 1,
                None => found.push((values, 1)),
            }
        }
        if groups.is_empty() && found.is_empty() {
            found.push((Vec::new(), 0));
        }
        found.sort_by(|left, right| compare(&left.0.clone().into(), &right.0.clone().into()));
        let names = groups.iter().map(|(name, _)| name.as_str());
        let row = |(values, number): (Vec<Value>, u64)| {
            let values = values.into_iter().map(Rc::new);
            let number = count.map(|name| (name, Rc::new(Value::from(number))));
            names.clone().zip(values).chain(number).collect()
        };
        Ok(found.into_iter().map(row).collect())
    }

    /// All documents of a collection.
    pub(super) fn documents(&mut self, name: &str) -> Result<Vec<Value>, Failure> {
        let id = self.store.reading(self.scope, name)?;
        let name = self.store.collection(self.scope, id)?.name.clone();
        let data = self.store.data(self.scope, id)?;
        Ok(data.iter().map(|document| document.show(&name).into()).collect())
    }
}
