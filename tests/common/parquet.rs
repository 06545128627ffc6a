//! Tables in Parquet for tests, and what stands in one.

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The values of a column.
#[derive(Clone)]
pub enum Values {
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Whole(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
    /// Bytes and path of each photo, as Hugging Face's `datasets` lay them.
    Image(Vec<(Option<Vec<u8>>, Option<String>)>),
    Words(Vec<Option<Vec<String>>>),
    Date(Vec<Option<i64>>),
}

/// How a table is written.
pub struct Form {
    /// Rows of a group.
    pub rows: usize,
    pub compression: Compression,
    /// Bytes of a page.
    pub page: usize,
    /// What `datasets` would note.
    pub note: Option<String>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            rows: 7,
            compression: Compression::SNAPPY,
            page: 4096,
            note: None,
        }
    }
}

impl Values {
    fn field(&self, name: &str) -> String {
        match self {
            Self::Text(_) => format!("optional binary {name} (STRING);"),
            Self::Bytes(_) => format!("optional binary {name};"),
            Self::Whole(_) => format!("optional int64 {name};"),
            Self::Double(_) => format!("optional double {name};"),
            Self::Flag(_) => format!("optional boolean {name};"),
            Self::Image(_) => format!(
                "optional group {name} {{ optional binary bytes; optional binary path (STRING); }}"
            ),
            Self::Words(_) => format!(
                "optional group {name} (LIST) {{ repeated group list {{ optional binary element (STRING); }} }}"
            ),
            Self::Date(_) => format!("optional int64 {name} (TIMESTAMP(MICROS,true));"),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::Whole(v) | Self::Date(v) => v.len(),
            Self::Double(v) => v.len(),
            Self::Flag(v) => v.len(),
            Self::Image(v) => v.len(),
            Self::Words(v) => v.len(),
        }
    }
}

/// Writes a table.
pub fn write(path: &Path, columns: &[(&str, Values)], form: &Form) {
    let fields: String = columns.iter().map(|(name, v)| v.field(name)).collect();
    let schema = parse_message_type(&format!("message schema {{ {fields} }}")).unwrap();
    let mut properties = WriterProperties::builder()
        .set_compression(form.compression)
        .set_write_batch_size(1)
        .set_data_page_size_limit(form.page)
        .set_dictionary_page_size_limit(form.page);
    if let Some(note) = &form.note {
        let note = KeyValue::new("huggingface".to_string(), note.clone());
        properties = properties.set_key_value_metadata(Some(vec![note]));
    }
    let file = File::create(path).unwrap();
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
    let all = columns.first().map_or(0, |(_, v)| v.len());
    for start in (0..all).step_by(form.rows) {
        let range = start..(start + form.rows).min(all);
        let mut group = writer.next_row_group().unwrap();
        for (_, values) in columns {
            let of_text = |text: &String| ByteArray::from(text.as_str());
            let of_bytes = |bytes: &Vec<u8>| ByteArray::from(bytes.clone());
            let range = range.clone();
            match values {
                Values::Text(v) => flat::<ByteArrayType, _>(&mut group, &v[range], of_text),
                Values::Bytes(v) => flat::<ByteArrayType, _>(&mut group, &v[range], of_bytes),
                Values::Whole(v) | Values::Date(v) => {
                    flat::<Int64Type, _>(&mut group, &v[range], |v| *v)
                }
                Values::Double(v) => flat::<DoubleType, _>(&mut group, &v[range], |v| *v),
                Values::Flag(v) => flat::<BoolType, _>(&mut group, &v[range], |v| *v),
                Values::Image(v) => {
                    let (bytes, paths): (Vec<_>, Vec<_>) = v[range].iter().cloned().unzip();
                    for (levels, values) in
                        [levels_of(&bytes, of_bytes), levels_of(&paths, of_text)]
                    {
                        // The group itself is always there.
                        let levels: Vec<i16> = levels.iter().map(|l| l + 1).collect();
                        put::<ByteArrayType>(&mut group, &values, &levels, None);
                    }
                }
                Values::Words(v) => {
                    let (mut levels, mut starts, mut values) = (vec![], vec![], vec![]);
                    for words in &v[range] {
                        match words {
                            None => levels.push(0),
                            Some(words) if words.is_empty() => levels.push(1),
                            Some(words) => levels.extend(words.iter().map(|_| 3)),
                        }
                        starts.push(0);
                        starts.resize(levels.len(), 1);
                        values.extend(words.iter().flatten().map(of_text));
                    }
                    put::<ByteArrayType>(&mut group, &values, &levels, Some(&starts));
                }
            }
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn levels_of<V, T>(values: &[Option<V>], of: impl Fn(&V) -> T) -> (Vec<i16>, Vec<T>) {
    let levels = values.iter().map(|v| i16::from(v.is_some())).collect();
    (levels, values.iter().flatten().map(of).collect())
}

fn flat<T: DataType, V>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[Option<V>],
    of: impl Fn(&V) -> T::T,
) {
    let (levels, values) = levels_of(values, of);
    put::<T>(group, &values, &levels, None);
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: &[i16],
    starts: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<T>();
    typed.write_batch(values, Some(levels), starts).unwrap();
    column.close().unwrap();
}

/// The columns of a table with their values.
pub fn read(path: &Path) -> (Vec<String>, Vec<Vec<Field>>) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema();
    let names = schema.get_fields().iter().map(|f| f.name().into());
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        row.get_column_iter().map(|(_, f)| f.clone()).collect()
    });
    (names.collect(), rows.collect())
}
