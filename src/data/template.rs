//! The path of a photo out of a row's cells: the name of a column, or a text with columns in braces.

use super::table::{Row, Table, quoted};
use crate::error::Result;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

/// How a row's path is put together, as `image` or `images/{label}/{image}.jpg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

impl Template {
    /// Reads a template; a text without braces is the name of a column.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        if !text.contains(['{', '}']) {
            return match text.trim() {
                "" => Err("the name of a column is needed, found nothing".into()),
                name => Ok(Self(vec![Part::Column(name.into())])),
            };
        }
        let fail =
            || format!("columns in braces, as images/{{name}}.jpg, are needed, found `{text}`");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(fail)?;
            if before.contains('}') || name.contains('{') || name.trim().is_empty() {
                return Err(fail());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Column(name.trim().into()));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(fail());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The columns it names.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The template over a table's columns.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) naming a column that is not there.
    pub(crate) fn over(&self, table: &Table) -> Result<PathCells> {
        let find = |part: &Part| match part {
            Part::Text(text) => Ok(Piece::Text(text.clone())),
            Part::Column(name) => {
                let place = table.header.iter().position(|c| c == name);
                place.map(Piece::Cell).ok_or_else(|| {
                    table.header_error(format!(
                        "a column `{name}` is needed, which is named for `path`, found {}",
                        quoted(&table.header)
                    ))
                })
            }
        };
        let pieces = self.0.iter().map(find).collect::<Result<_>>()?;
        Ok(PathCells(pieces))
    }
}

enum Piece {
    Text(String),
    Cell(usize),
}

/// Where the parts of a path stand in a row.
pub(crate) struct PathCells(Vec<Piece>);

impl PathCells {
    /// The cell of one column, as it is.
    pub(crate) fn column(place: usize) -> Self {
        Self(vec![Piece::Cell(place)])
    }

    /// The row's path; `None` if a cell of it is empty.
    pub(crate) fn path(&self, row: &Row) -> Option<String> {
        if let [Piece::Cell(place)] = self.0[..] {
            // Spaces around a name may be part of it.
            let cell = &row.cells[place];
            return (!cell.trim().is_empty()).then(|| cell.clone());
        }
        let mut path = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => path += text,
                Piece::Cell(place) => match row.cells[*place].trim() {
                    "" => return None,
                    cell => path += cell,
                },
            }
        }
        Some(path)
    }

    /// The places of its cells.
    pub(crate) fn read(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Cell(place) => Some(*place),
            Piece::Text(_) => None,
        })
    }

    /// The name of the column, or of the first of several.
    pub(crate) fn title<'a>(&self, table: &'a Table) -> &'a str {
        self.read().next().map_or("path", |i| &table.header[i])
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn a_template_is_a_column_or_has_columns_in_braces() {
        let columns = |text: &str| {
            let template = Template::parse(text).unwrap();
            template.columns().map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(columns("image name"), ["image name"]);
        assert_eq!(columns("images/{label}/{id}.jpg"), ["label", "id"]);
        assert_eq!(columns("{id}"), ["id"]);
        for wrong in [
            "",
            " ",
            "images/{id",
            "images/id}.jpg",
            "{}",
            "{a{b}}",
            "a}{b}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
