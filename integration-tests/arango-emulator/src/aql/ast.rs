//! A query as a tree.

use serde_json::Value;

/// A query: its statements, in order.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(super) statements: Vec<Statement>,
    /// Names of values that are bound, in order of their first use; `@name` for collections.
    pub(crate) binds: Vec<String>,
}

/// A collection, by name or by a bound name.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Plain(String),
    Bound(String),
}

#[derive(Debug)]
pub(super) enum Statement {
    For { variable: String, list: Expression },
    Let { variable: String, value: Expression },
    Filter(Expression),
    Sort(Vec<(Expression, bool)>),
    Limit { offset: Expression, count: Expression },
    Collect { groups: Vec<(String, Expression)>, count: Option<String> },
    Write(Box<Write>),
    Return { distinct: bool, value: Expression },
}

/// One of the five writes.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) kind: WriteKind,
    pub(super) collection: Name,
    pub(super) options: Option<Expression>,
}

#[derive(Debug)]
pub(super) enum WriteKind {
    Insert(Expression),
    Remove(Expression),
    /// The key, and what it becomes; without the latter, both are in the first.
    Update(Expression, Option<Expression>),
    Replace(Expression, Option<Expression>),
    Upsert {
        example: Expression,
        insert: Expression,
        change: Expression,
        replace: bool,
    },
}

#[derive(Debug)]
pub(super) enum Expression {
    Literal(Value),
    Bind(String),
    Variable(String),
    /// All documents of a collection.
    Collection(Name),
    Array(Vec<Self>),
    Object(Vec<(Key, Self)>),
    Attribute(Box<Self>, String),
    BoundAttribute(Box<Self>, String),
    Index(Box<Self>, Box<Self>),
    /// `list[*].path`: what follows is taken from each element.
    Expand(Box<Self>, Box<Self>),
    /// The element of the expansion around.
    Current,
    Not(Box<Self>),
    Negative(Box<Self>),
    Positive(Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
    Choice(Box<Self>, Option<Box<Self>>, Box<Self>),
    Call(String, Vec<Self>),
    Subquery(Vec<Statement>),
}

/// A name in an object.
#[derive(Debug)]
pub(super) enum Key {
    Plain(String),
    Bound(String),
    Computed(Expression),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    Like,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}
