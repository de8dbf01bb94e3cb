//! What is known of a query before it runs: its collections, its values, and the nodes of its plan.

use serde_json::{Map, Value};

use super::ast::{Expression, Key, Name, Query, Statement, Write, WriteKind};
use crate::errors::Failure;

/// Whether the values that are bound are those that the query names.
pub(crate) fn check(query: &Query, binds: &Map<String, Value>) -> Result<(), Failure> {
    if let Some(missing) = query.binds.iter().find(|name| !binds.contains_key(*name)) {
        return Err(Failure::new(1551)
            .says(format!("no value specified for declared bind parameter '{missing}'")));
    }
    if let Some(extra) = binds.keys().find(|name| !query.binds.contains(name)) {
        return Err(Failure::new(1552)
            .says(format!("bind parameter '{extra}' was not declared in the query")));
    }
    Ok(())
}

/// The collections of a query, and whether it writes to them. One that was written to cannot be read,
/// or written to, once more.
pub(crate) fn collections(
    query: &Query,
    binds: &Map<String, Value>,
) -> Result<Vec<(String, bool)>, Failure> {
    let mut found = Found { binds, all: Vec::new() };
    found.statements(&query.statements)?;
    Ok(found.all)
}

/// The name of a collection, bound or not.
pub(super) fn resolve(name: &Name, binds: &Map<String, Value>) -> Result<String, Failure> {
    match name {
        Name::Plain(name) => Ok(name.clone()),
        Name::Bound(bound) => match binds.get(bound) {
            Some(Value::String(name)) => Ok(name.clone()),
            _ => Err(Failure::new(1553)
                .says(format!("bind parameter '{bound}' has an invalid value or type"))),
        },
    }
}

struct Found<'a> {
    binds: &'a Map<String, Value>,
    all: Vec<(String, bool)>,
}

impl Found<'_> {
    fn add(&mut self, name: &Name, writes: bool) -> Result<(), Failure> {
        let name = resolve(name, self.binds)?;
        match self.all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, true)) => {
                Err(Failure::new(1579).about(format_args!(" by collection '{name}'")))
            }
            Some((_, known)) => {
                *known = writes;
                Ok(())
            }
            None => {
                self.all.push((name, writes));
                Ok(())
            }
        }
    }

    fn statements(&mut self, statements: &[Statement]) -> Result<(), Failure> {
        for statement in statements {
            for expression in expressions(statement) {
                self.expression(expression)?;
            }
            if let Statement::Write(write) = statement {
                self.add(&write.collection, true)?;
            }
        }
        Ok(())
    }

    fn expression(&mut self, expression: &Expression) -> Result<(), Failure> {
        match expression {
            Expression::Collection(name) => self.add(name, false),
            Expression::Subquery(statements) => self.statements(statements),
            _ => inner(expression).into_iter().try_for_each(|inner| self.expression(inner)),
        }
    }
}

/// The expressions of a statement.
fn expressions(statement: &Statement) -> Vec<&Expression> {
    match statement {
        Statement::For { list: value, .. }
        | Statement::Let { value, .. }
        | Statement::Filter(value)
        | Statement::Return { value, .. } => vec![value],
        Statement::Sort(keys) => keys.iter().map(|(key, _)| key).collect(),
        Statement::Limit { offset, count } => vec![offset, count],
        Statement::Collect { groups, .. } => groups.iter().map(|(_, value)| value).collect(),
        Statement::Write(write) => of_write(write),
    }
}

fn of_write(write: &Write) -> Vec<&Expression> {
    match &write.kind {
        WriteKind::Insert(value) | WriteKind::Remove(value) => vec![value],
        WriteKind::Update(key, with) | WriteKind::Replace(key, with) => {
            std::iter::once(key).chain(with).collect()
        }
        WriteKind::Upsert { example, insert, change, .. } => vec![example, insert, change],
    }
}

/// The expressions within an expression.
fn inner(expression: &Expression) -> Vec<&Expression> {
    match expression {
        Expression::Literal(_)
        | Expression::Bind(_)
        | Expression::Variable(_)
        | Expression::Collection(_)
        | Expression::Current
        | Expression::Subquery(_) => Vec::new(),
        Expression::Array(items) | Expression::Call(_, items) => items.iter().collect(),
        Expression::Object(entries) => entries
            .iter()
            .flat_map(|(key, value)| {
                let computed = match key {
                    Key::Computed(key) => Some(key),
                    Key::Plain(_) | Key::Bound(_) => None,
                };
                computed.into_iter().chain(std::iter::once(value))
            })
            .collect(),
        Expression::Attribute(of, _)
        | Expression::BoundAttribute(of, _)
        | Expression::Not(of)
        | Expression::Negative(of)
        | Expression::Positive(of) => vec![of],
        Expression::Index(left, right)
        | Expression::Expand(left, right)
        | Expression::Binary(_, left, right) => vec![left, right],
        Expression::Choice(condition, then, other) => std::iter::once(&**condition)
            .chain(then.as_deref())
            .chain(std::iter::once(&**other))
            .collect(),
    }
}

/// The nodes of the plan, in order.
pub(crate) fn nodes(query: &Query) -> Vec<&'static str> {
    nodes_until(&query.statements)
}

/// The place in [`nodes`] of a statement's own node.
pub(super) fn node_of(query: &Query, statement: usize) -> usize {
    nodes_until(&query.statements[..=statement]).len() - 1
}

fn nodes_until(statements: &[Statement]) -> Vec<&'static str> {
    let mut nodes = vec!["SingletonNode"];
    for statement in statements {
        // What is not a variable already is calculated first.
        let reads = matches!(statement, Statement::For { list: Expression::Collection(_), .. });
        let simple = |value: &&Expression| matches!(value, Expression::Variable(_));
        if !reads && !matches!(statement, Statement::Limit { .. } | Statement::Let { .. }) {
            let calculated = expressions(statement).iter().filter(|value| !simple(value)).count();
            nodes.extend(std::iter::repeat_n("CalculationNode", calculated));
        }
        nodes.push(match statement {
            Statement::For { .. } if reads => "EnumerateCollectionNode",
            Statement::For { .. } => "EnumerateListNode",
            Statement::Let { value: Expression::Subquery(_), .. } => "SubqueryNode",
            Statement::Let { .. } => "CalculationNode",
            Statement::Filter(_) => "FilterNode",
            Statement::Sort(_) => "SortNode",
            Statement::Limit { .. } => "LimitNode",
            Statement::Collect { .. } => "CollectNode",
            Statement::Return { .. } => "ReturnNode",
            Statement::Write(write) => match write.kind {
                WriteKind::Insert(_) => "InsertNode",
                WriteKind::Remove(_) => "RemoveNode",
                WriteKind::Update(..) => "UpdateNode",
                WriteKind::Replace(..) => "ReplaceNode",
                WriteKind::Upsert { .. } => "UpsertNode",
            },
        });
    }
    nodes
}
