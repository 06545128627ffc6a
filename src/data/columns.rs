//! Which column of a listing holds what, and what its cells say.

use super::label_cell::{Word, parse};
use super::sample::{Split, Value};
use super::table::{Row, Table, quoted};
use super::template::Template;
use crate::error::{Error, Result};
use crate::head::{HeadSpec, LabelSpec, MultiLabelSpec};
use std::collections::BTreeMap;

/// What columns are called by listings: under `path`, `person` or `group`, `split` or the name of a head the name of the column
/// that holds it. `path` may be a template, as `images/{image}.jpg`.
pub(crate) type ColumnNames = BTreeMap<String, String>;

/// Words for what a column holds that is no head's label.
pub(crate) const WORDS: [&str; 4] = ["path", "person", "group", "split"];

/// Checks the names that a configuration gives.
///
/// # Errors
/// [`Error::UnknownName`] if something is named that is neither one of [`WORDS`] nor a head, [`Error::Invalid`] if `path` is no
/// template, a name is empty, or persons are named twice.
pub(crate) fn check_names(names: &ColumnNames, heads: &[HeadSpec]) -> Result<()> {
    let invalid = |word: &str, expected: &str, found: String| {
        Err(Error::Invalid {
            what: format!("model.columns, {word}"),
            expected: expected.into(),
            found,
        })
    };
    for (word, name) in names {
        let is_head = heads.iter().any(|h| h.name == *word);
        if !is_head && !WORDS.contains(&word.as_str()) {
            let heads = heads.iter().map(|h| h.name.clone());
            return Err(Error::UnknownName {
                what: "head, nor other content of a column,",
                found: word.clone(),
                known: WORDS.map(String::from).into_iter().chain(heads).collect(),
            });
        }
        if word == "path"
            && let Err(found) = Template::parse(name)
        {
            return invalid(
                word,
                "the name of a column, or a text with columns in braces",
                found,
            );
        }
        if name.trim().is_empty() {
            return invalid(word, "the name of a column", "nothing".into());
        }
    }
    let is_person = |word: &str| names.contains_key(word) && heads.iter().all(|h| h.name != word);
    if is_person("person") && is_person("group") {
        return invalid(
            "group",
            "one of `person` and `group`, which mean the same",
            "both".into(),
        );
    }
    Ok(())
}

/// Names of columns, and whether a listing has to have them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming<'a> {
    names: &'a ColumnNames,
    /// Whether a listing without a column that is named, and without one called as usual, is an error. It is none where the names
    /// are those of the listing that a model was trained on.
    needed: bool,
    /// Whether there is no other listing for which a name could be meant: then one called as usual is no column that is named.
    alone: bool,
}

impl<'a> Naming<'a> {
    /// Names that a listing has to have.
    pub(crate) fn given(names: &'a ColumnNames) -> Self {
        Self {
            names,
            needed: true,
            alone: false,
        }
    }

    /// Names that a listing may have.
    pub(crate) fn remembered(names: &'a ColumnNames) -> Self {
        Self {
            names,
            needed: false,
            alone: false,
        }
    }

    /// The same for the listings of so many sources.
    pub(crate) fn of_sources(self, sources: usize) -> Self {
        let alone = sources == 1;
        Self { alone, ..self }
    }

    /// Whether a column called as usual serves where the one that is named is not there.
    pub(crate) fn takes_usual(&self) -> bool {
        !(self.needed && self.alone)
    }

    /// The name of the column that holds this.
    pub(crate) fn of(&self, word: &str) -> Option<&'a str> {
        self.names.get(word).map(String::as_str)
    }

    /// These names and more of them.
    pub(crate) fn and(&self, more: ColumnNames) -> ColumnNames {
        let mut all = self.names.clone();
        all.extend(more);
        all
    }

    /// The name of the column of persons, by either word.
    fn of_person(&self, heads: &[HeadSpec]) -> Option<&'a str> {
        let group = || {
            self.of("group")
                .filter(|_| heads.iter().all(|h| h.name != "group"))
        };
        self.of("person").or_else(group)
    }

    /// The column named for `word`, if the table has it.
    ///
    /// # Errors
    /// [`Error::Data`] if it is needed and not there, nor, beside other listings, one of the usual name.
    fn find(&self, table: &Table, word: &str, name: &str, usual: &str) -> Result<Option<usize>> {
        let place = |name: &str| table.header.iter().position(|c| c == name);
        match place(name) {
            None if self.needed && (self.alone || place(usual).is_none()) => Err(table
                .header_error(format!(
                    "a column `{name}` is needed, which is named for `{word}`, found {}",
                    quoted(&table.header)
                ))),
            found => Ok(found),
        }
    }
}

/// Where a row's photo, labels, person and side stand.
pub(crate) struct Columns {
    heads: Vec<Option<usize>>,
    person: Option<usize>,
    split: Option<usize>,
}

type Cells = (Vec<Option<Value>>, Option<String>, Option<Split>);

impl Columns {
    /// Looks the columns up. `given` are columns whose values come from elsewhere, such as the names of files.
    ///
    /// # Errors
    /// [`Error::Data`] if a column that is named is not there, one looks misspelt, or no head has one.
    pub(crate) fn find(
        table: &Table,
        heads: &[HeadSpec],
        given: &[&str],
        naming: Naming,
    ) -> Result<Self> {
        let mut known = WORDS.to_vec();
        known.extend(heads.iter().map(HeadSpec::column));
        known.extend(naming.names.values().map(String::as_str));
        let template = naming
            .of("path")
            .and_then(|text| Template::parse(text).ok());
        known.extend(template.iter().flat_map(Template::columns));
        let find = |word: &str, name: Option<&str>, usual: &str| {
            if given.contains(&usual) {
                return Ok(None);
            }
            let named = match name {
                Some(name) => naming.find(table, word, name, usual)?,
                None => None,
            };
            match named {
                Some(place) => Ok(Some(place)),
                None => table.column(usual, &known),
            }
        };
        let of_head = |head: &HeadSpec| find(&head.name, naming.of(&head.name), head.column());
        let by_head: Vec<Option<usize>> = heads.iter().map(of_head).collect::<Result<_>>()?;
        let group = || {
            let place = table.header.iter().position(|c| c == "group");
            place.filter(|place| !by_head.contains(&Some(*place)))
        };
        let person = find("person", naming.of_person(heads), "person")?.or_else(group);
        let columns = Self {
            person,
            split: find("split", naming.of("split"), "split")?,
            heads: by_head,
        };
        if columns.heads.iter().all(Option::is_none)
            && !heads.iter().any(|h| given.contains(&h.column()))
        {
            let wanted: Vec<&str> = heads.iter().map(HeadSpec::column).collect();
            return Err(table.header_error(format!(
                "a column for at least one head is needed ({}), found {}",
                quoted(&wanted),
                quoted(&table.header)
            )));
        }
        Ok(columns)
    }

    /// The places of the columns that are read.
    pub(crate) fn read(&self) -> impl Iterator<Item = usize> {
        let heads = self.heads.iter().copied();
        heads.chain([self.person, self.split]).flatten()
    }

    /// Reads a row's cells, and `given` (column, cell) pairs with them; what is wrong is added to the table's faults.
    pub(crate) fn parse(
        &self,
        table: &mut Table,
        row: &Row,
        heads: &[HeadSpec],
        given: &[(&str, &str)],
    ) -> Cells {
        let mut values = Vec::with_capacity(heads.len());
        for (head, column) in heads.iter().zip(&self.heads) {
            let given = given.iter().find(|(name, _)| *name == head.column());
            let (name, cell) = match (given, column) {
                (Some((name, cell)), _) => (*name, *cell),
                (None, Some(i)) => (table.header[*i].as_str(), row.cells[*i].as_str()),
                (None, None) => (head.column(), ""),
            };
            // Several heads may read one column: what is another's label is not known to this one.
            let of_column = heads.iter().zip(&self.heads);
            let of_column = of_column.filter(|(_, c)| c.is_some() && *c == column);
            let is_others = |cell: &str| {
                let others = of_column.clone().filter(|(h, _)| h.name != head.name);
                let mut others = others.map(|(other, _)| &other.labels);
                others.any(|of| of.names.iter().any(|l| l == cell) || of.groups.contains_key(cell))
            };
            // Of several labels at once each word is asked for.
            let is_all_others = |cell: &str| {
                let mut words = cell.split(MultiLabelSpec::SEPARATORS);
                let is_set = of_column.clone().any(|(h, _)| h.is_multi_label());
                is_others(cell) || is_set && words.all(|word| is_others(word.trim()))
            };
            // Nor is a cell's word one of a head that does not apply under what another head's cell says.
            let says_other = |(of, allowed): (&String, &Vec<String>)| {
                let earlier = heads.iter().zip(&values).find(|(h, _)| h.name == *of);
                earlier.is_some_and(|(h, value)| match value {
                    Some(Value::Label(label)) => !h.labels.is_under(*label, allowed),
                    _ => false,
                })
            };
            let is_needless = || head.labels.when.iter().any(says_other);
            let value = match parse_value(head, name, cell) {
                Err(_) if is_all_others(cell.trim()) || is_needless() => None,
                Err(message) => {
                    table.fault(row.line, message);
                    None
                }
                Ok(value) => value,
            };
            values.push(value);
        }
        let text = |column: Option<usize>| {
            let cell = column.map_or("", |i| row.cells[i].trim());
            (!cell.is_empty()).then_some(cell)
        };
        let split = text(self.split).and_then(|word| {
            let name = table.header[self.split.unwrap_or_default()].clone();
            Split::of_word(word)
                .map_err(|e: Error| table.fault(row.line, format!("column `{name}`: {e}")))
                .ok()
        });
        (values, text(self.person).map(str::to_string), split)
    }
}

/// What a cell of a column says about a head; `None` if it is empty or a word for what is not known.
pub(crate) fn parse_value(
    head: &HeadSpec,
    column: &str,
    cell: &str,
) -> std::result::Result<Option<Value>, String> {
    let cell = cell.trim();
    if cell.is_empty() || head.labels.unknown.iter().any(|word| word == cell) {
        return Ok(None);
    }
    let unknown = |word: &str| {
        let unknown = Error::UnknownLabel {
            head: head.name.clone(),
            expected: head.labels.words(),
            found: word.into(),
        };
        format!("column `{column}`: {unknown}")
    };
    if let Some(several) = &head.labels.multi_label {
        let labels = parse(several, &head.labels.names, cell);
        return labels
            .map(|labels| Some(Value::Labels(labels)))
            .map_err(|wrong| match wrong {
                Word::Unknown(word) => unknown(&word),
                Word::Twice(word) => format!(
                    "column `{column}`: each label of head `{}` once is needed, found `{word}` twice",
                    head.name
                ),
            });
    }
    if head.labels.thresholds.is_empty() {
        let found = named(&head.labels, cell);
        return found.map(Some).ok_or_else(|| unknown(cell));
    }
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(Value::Number(number))),
        _ => Err(format!(
            "column `{column}`: a number is needed, found `{cell}`"
        )),
    }
}

/// The label of this name, or the group: one with a single label is that label.
pub(crate) fn named(labels: &LabelSpec, word: &str) -> Option<Value> {
    if let Some(label) = labels.names.iter().position(|l| l == word) {
        return Some(Value::Label(label));
    }
    let group = labels.groups.keys().position(|g| g == word)?;
    let mut inside = labels.groups.get(word);
    while let Some([only]) = inside.map(Vec::as_slice) {
        if let Some(label) = labels.names.iter().position(|l| l == only) {
            return Some(Value::Label(label));
        }
        inside = labels.groups.get(only);
    }
    Some(Value::Group(group))
}
