//! Rows → the columns of a .parquet file, each of the one type that all its values have.
//!
//! A list or an object is cut into its leaves, with two numbers beside each value: how much of what it stands in is there, and
//! in which list it begins a new item (Dremel's levels).

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::Result as Written;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::{kind_of, short};

/// Names of the objects of a column at most: where each row has its own, they are no columns.
const NAMES: usize = 1000;
/// A group of rows ends behind so many rows or bytes of text: a reader may keep one in memory.
const GROUP: (usize, usize) = (100_000, 64 << 20);

/// What all values of a column are.
#[derive(Debug)]
enum Kind {
    Null,
    Bool,
    Whole {
        negative: bool,
        /// Beyond 63 bits.
        large: bool,
    },
    Real,
    Text,
    List(Box<Kind>),
    Object {
        fields: Vec<(String, Kind)>,
        /// Whether one of them lacks a field that another has.
        uneven: bool,
    },
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Real,
            Value::Number(_) => Self::Whole { negative: false, large: false },
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List(Box::new(Self::Null)),
            Value::Object(fields) => Self::Object { fields: fields.keys().map(|name| (name.clone(), Self::Null)).collect(), uneven: false },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "truth values",
            Self::Whole { .. } => "whole numbers",
            Self::Real => "numbers with a point",
            Self::Text => "texts",
            Self::List(_) => "lists",
            Self::Object { .. } => "objects",
        }
    }

    /// Takes one more value in, or says why it has no place beside the others.
    fn take(&mut self, value: &Value) -> Result<(), String> {
        if matches!(self, Self::Null) {
            *self = Self::of(value);
        }
        match (self, value) {
            (_, Value::Null) | (Self::Bool, Value::Bool(_)) | (Self::Text, Value::String(_)) => Ok(()),
            (Self::Real, Value::Number(number)) if number.is_f64() => Ok(()),
            (Self::Whole { negative, large }, Value::Number(number)) if !number.is_f64() => {
                *negative |= number.as_i64().is_some_and(|number| number < 0);
                *large |= number.as_i64().is_none();
                match *negative && *large {
                    true => Err("no type of 64 bits holds numbers below 0 and numbers beyond 63 bits".into()),
                    false => Ok(()),
                }
            }
            (Self::List(kind), Value::Array(items)) => items.iter().try_for_each(|item| kind.take(item)),
            (Self::Object { fields, uneven }, Value::Object(given)) => {
                let before = fields.len();
                for (at, (name, value)) in given.iter().enumerate() {
                    // Most objects have their fields in one order.
                    let place = match fields.get(at).is_some_and(|(known, _)| known == name) {
                        true => Some(at),
                        false => fields.iter().position(|(known, _)| known == name),
                    };
                    let place = place.unwrap_or_else(|| {
                        fields.push((name.clone(), Self::Null));
                        fields.len() - 1
                    });
                    fields[place].1.take(value).map_err(|why| format!("field `{name}`: {why}"))?;
                }
                *uneven |= fields.len() > before || given.len() < before;
                match fields.len() {
                    0 => Err("an object without a field has no place".into()),
                    count if count > NAMES => Err(format!("its objects have more than {NAMES} different names")),
                    _ => Ok(()),
                }
            }
            (Self::Real | Self::Whole { .. }, Value::Number(_)) => Err("whole numbers stand beside numbers with a point".into()),
            (kind, value) => Err(format!("{} stands beside {}: {}", kind_of(value), kind.name(), short(value))),
        }
    }

    fn is_uneven(&self) -> bool {
        match self {
            Self::List(kind) => kind.is_uneven(),
            Self::Object { fields, uneven } => *uneven || fields.iter().any(|(_, kind)| kind.is_uneven()),
            _ => false,
        }
    }

    /// The type in the file's schema; each may be null.
    fn node(&self, name: &str) -> Written<TypePtr> {
        let leaf = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        let group = |fields| Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL).with_fields(fields);
        Ok(Arc::new(match self {
            Self::Null => leaf(Physical::INT32).with_logical_type(Some(LogicalType::Unknown)).build()?,
            Self::Bool => leaf(Physical::BOOLEAN).build()?,
            Self::Whole { large: true, .. } => leaf(Physical::INT64).with_converted_type(ConvertedType::UINT_64).build()?,
            Self::Whole { .. } => leaf(Physical::INT64).build()?,
            Self::Real => leaf(Physical::DOUBLE).build()?,
            Self::Text => leaf(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build()?,
            Self::List(kind) => {
                let items = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
                let items = items.with_fields(vec![kind.node("element")?]).build()?;
                group(vec![Arc::new(items)]).with_logical_type(Some(LogicalType::List)).build()?
            }
            Self::Object { fields, .. } => group(fields.iter().map(|(name, kind)| kind.node(name)).collect::<Written<_>>()?).build()?,
        }))
    }

    /// What stands at its ends, in the order of the schema.
    fn leaves(&self) -> Vec<Leaf> {
        let values = match self {
            Self::List(kind) => return kind.leaves(),
            Self::Object { fields, .. } => return fields.iter().flat_map(|(_, kind)| kind.leaves()).collect(),
            Self::Null => Values::Null,
            Self::Bool => Values::Bool(Vec::new()),
            Self::Whole { .. } => Values::Whole(Vec::new()),
            Self::Real => Values::Real(Vec::new()),
            Self::Text => Values::Text(Vec::new()),
        };
        vec![Leaf { values, there: Vec::new(), begins: Vec::new() }]
    }

    /// Adds a value to the leaves; gives back those that belong to what follows.
    fn cut<'a>(&self, value: Option<&Value>, place: Place, leaves: &'a mut [Leaf]) -> &'a mut [Leaf] {
        let value = value.filter(|value| !value.is_null());
        let there = place.there + i16::from(value.is_some());
        match (self, value) {
            (Self::List(kind), Some(Value::Array(items))) if !items.is_empty() => {
                let inner = Place { there: there + 1, lists: place.lists + 1, ..place };
                let mut left = 0;
                for (index, item) in items.iter().enumerate() {
                    let begins = if index == 0 { place.begins } else { inner.lists };
                    left = kind.cut(Some(item), Place { begins, ..inner }, leaves).len();
                }
                let used = leaves.len() - left;
                &mut leaves[used..]
            }
            (Self::List(kind), _) => kind.cut(None, Place { there, ..place }, leaves),
            (Self::Object { fields, .. }, value) => {
                let inner = Place { there, ..place };
                fields.iter().fold(leaves, |leaves, (name, kind)| kind.cut(value.and_then(|value| value.get(name)), inner, leaves))
            }
            (_, value) => match leaves.split_first_mut() {
                Some((leaf, rest)) => {
                    leaf.push(value, there, place.begins);
                    rest
                }
                None => &mut [],
            },
        }
    }
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How many of the lists and objects around it, and of their items, are there.
    there: i16,
    /// The list, counted from the outermost as 1, in which it begins a new item; 0 begins a row.
    begins: i16,
    /// The lists around it.
    lists: i16,
}

#[derive(Debug)]
enum Values {
    Null,
    Bool(Vec<bool>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
    Text(Vec<ByteArray>),
}

/// The values of one leaf.
#[derive(Debug)]
struct Leaf {
    values: Values,
    there: Vec<i16>,
    begins: Vec<i16>,
}

impl Leaf {
    fn push(&mut self, value: Option<&Value>, there: i16, begins: i16) {
        match (&mut self.values, value) {
            (Values::Bool(values), Some(Value::Bool(truth))) => values.push(*truth),
            // Beyond 63 bits the same bits.
            (Values::Whole(values), Some(Value::Number(number))) => {
                values.extend(number.as_i64().or(number.as_u64().map(|number| number as i64)));
            }
            (Values::Real(values), Some(Value::Number(number))) => values.extend(number.as_f64()),
            (Values::Text(values), Some(Value::String(text))) => values.push(text.as_str().into()),
            _ => {}
        }
        self.there.push(there);
        self.begins.push(begins);
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> Written<usize> {
        let (there, begins) = (Some(self.there.as_slice()), Some(self.begins.as_slice()));
        match &self.values {
            Values::Null => column.typed::<Int32Type>().write_batch(&[], there, begins),
            Values::Bool(values) => column.typed::<BoolType>().write_batch(values, there, begins),
            Values::Whole(values) => column.typed::<Int64Type>().write_batch(values, there, begins),
            Values::Real(values) => column.typed::<DoubleType>().write_batch(values, there, begins),
            Values::Text(values) => column.typed::<ByteArrayType>().write_batch(values, there, begins),
        }
    }
}

/// A data set with the type of each column.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    data: &'a Dataset,
    kinds: Vec<(String, Kind)>,
}

impl<'a> Columns<'a> {
    /// Looks at all values.
    ///
    /// # Errors
    /// The column, the row, and why it has no place there.
    pub(crate) fn of(data: &'a Dataset) -> Result<Self, (String, usize, String)> {
        let mut kinds: Vec<(String, Kind)> = data.columns().into_iter().map(|name| (name, Kind::Null)).collect();
        for (name, kind) in &mut kinds {
            for (row, example) in data.iter().enumerate() {
                let value = example.value(name).unwrap_or(&Value::Null);
                kind.take(value).map_err(|why| (name.clone(), row, why))?;
            }
        }
        match data.iter().position(|example| example.fields().is_empty()).filter(|_| kinds.is_empty()) {
            Some(row) => Err((String::new(), row, "a row without a field has no place".into())),
            None => Ok(Self { data, kinds }),
        }
    }

    /// Columns with objects of which some lack fields that others have: those are null in the file.
    pub(crate) fn uneven(&self) -> Vec<String> {
        self.kinds.iter().filter(|(_, kind)| kind.is_uneven()).map(|(name, _)| name.clone()).collect()
    }

    /// Writes the file.
    pub(crate) fn write(&self, file: impl Write + Send) -> Written<()> {
        let fields = self.kinds.iter().map(|(name, kind)| kind.node(name)).collect::<Written<_>>()?;
        let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        let mut rows = self.data.iter().peekable();
        while rows.peek().is_some() {
            let mut leaves: Vec<Leaf> = self.kinds.iter().flat_map(|(_, kind)| kind.leaves()).collect();
            let (mut count, mut bytes) = (0, 0);
            while count < GROUP.0
                && bytes < GROUP.1
                && let Some(example) = rows.next()
            {
                let place = Place { there: 0, begins: 0, lists: 0 };
                self.kinds.iter().fold(leaves.as_mut_slice(), |leaves, (name, kind)| kind.cut(example.value(name), place, leaves));
                bytes += example.fields().iter().map(|(_, value)| size(value)).sum::<usize>();
                count += 1;
            }
            let mut group = writer.next_row_group()?;
            for leaf in &leaves {
                let Some(mut column) = group.next_column()? else { break };
                leaf.write(&mut column)?;
                column.close()?;
            }
            group.close()?;
        }
        writer.close().map(drop)
    }
}

/// About the bytes of a value in memory.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 8,
    }
}
