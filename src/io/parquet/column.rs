//! What a column of a file in Parquet holds.

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, Type};

/// A column, or a field of a group of columns, which is called `group.field`.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) content: Content,
    /// The first of the columns that are stored for it.
    pub(super) leaf: usize,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A text, a number or a truth value.
    Cell,
    /// Several of these. The level of definition says how much of a list is there: below this none of it, here an empty one.
    List { empty: i16 },
    /// Bytes that are not said to be text.
    Bytes,
    /// What is not read, in words.
    Other(&'static str),
}

/// The columns of a file, in their order.
pub(super) fn columns(schema: &Type, leaves: &[std::sync::Arc<ColumnDescriptor>]) -> Vec<Column> {
    let mut found = Vec::new();
    let mut next = 0;
    add(schema, "", leaves, &mut next, &mut found);
    found
}

fn add(
    group: &Type,
    before: &str,
    leaves: &[std::sync::Arc<ColumnDescriptor>],
    next: &mut usize,
    into: &mut Vec<Column>,
) {
    for field in group.get_fields() {
        let name = format!("{before}{}", field.name());
        let leaf = *next;
        let is_plain = field.is_group()
            && field.get_basic_info().logical_type_ref().is_none()
            && field.get_basic_info().converted_type() == ConvertedType::NONE
            && !is_repeated(field);
        if is_plain {
            add(field, &format!("{name}."), leaves, next, into);
            continue;
        }
        *next += count(field);
        let content = match leaves.get(leaf) {
            Some(descr) if *next == leaf + 1 => content(field, descr),
            _ => Content::Other("lists or maps of several columns"),
        };
        into.push(Column {
            name,
            content,
            leaf,
        });
    }
}

fn is_repeated(field: &Type) -> bool {
    let info = field.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::REPEATED
}

/// The columns that are stored of a field.
fn count(field: &Type) -> usize {
    if field.is_group() {
        field.get_fields().iter().map(|f| count(f)).sum()
    } else {
        1
    }
}

fn content(field: &Type, leaf: &ColumnDescriptor) -> Content {
    let value = value(leaf);
    match (leaf.max_rep_level(), value) {
        (_, Content::Other(what)) => Content::Other(what),
        (0, value) => value,
        (1, Content::Cell) => Content::List {
            empty: levels_above(field) - 1,
        },
        _ => Content::Other("lists of lists or of bytes"),
    }
}

/// The level of definition at which an entry of a list is there, be it a null.
fn levels_above(field: &Type) -> i16 {
    let info = field.get_basic_info();
    let own = match (info.has_repetition(), is_repeated(field)) {
        (_, true) => return 1,
        (true, false) => i16::from(info.repetition() == Repetition::OPTIONAL),
        (false, _) => 0,
    };
    match field {
        Type::GroupType { fields, .. } => own + fields.first().map_or(0, |f| levels_above(f)),
        Type::PrimitiveType { .. } => own,
    }
}

/// What one value of a stored column is.
fn value(leaf: &ColumnDescriptor) -> Content {
    let is_text = matches!(
        leaf.logical_type_ref(),
        Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
    ) || matches!(
        leaf.converted_type(),
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
    );
    let is_time = matches!(
        leaf.logical_type_ref(),
        Some(LogicalType::Date | LogicalType::Time { .. } | LogicalType::Timestamp { .. })
    ) || matches!(
        leaf.converted_type(),
        ConvertedType::DATE
            | ConvertedType::TIME_MILLIS
            | ConvertedType::TIME_MICROS
            | ConvertedType::TIMESTAMP_MILLIS
            | ConvertedType::TIMESTAMP_MICROS
    );
    let is_decimal = leaf.converted_type() == ConvertedType::DECIMAL
        || matches!(leaf.logical_type_ref(), Some(LogicalType::Decimal { .. }));
    match leaf.physical_type() {
        _ if is_time => Content::Other("dates or times"),
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => Content::Cell,
        Physical::INT32 | Physical::INT64 => Content::Cell,
        Physical::INT96 => Content::Other("dates or times"),
        Physical::BYTE_ARRAY if is_text => Content::Cell,
        Physical::BYTE_ARRAY if is_decimal => Content::Other("decimals of any length"),
        Physical::BYTE_ARRAY => Content::Bytes,
        Physical::FIXED_LEN_BYTE_ARRAY => Content::Other("values of a fixed number of bytes"),
    }
}
