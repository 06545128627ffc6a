//! A figure that belongs to no run: as SVG, and on a page from which it can be saved as PNG.

use super::figure::Figure;
use super::page;
use crate::error::Result;
use crate::io::write_atomically;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Data<'a> {
    view: &'static str,
    title: &'a str,
}

/// Writes `NAME.svg` and `NAME.html` into a folder.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(crate) fn write(figure: &Figure, folder: &Path, name: &str) -> Result<()> {
    write_atomically(
        &folder.join(format!("{name}.svg")),
        figure.file().as_bytes(),
    )?;
    let shell = page::Shell {
        title: &figure.title,
        body: page::RUN,
        figures: &[figure.inline()],
        live: false,
    };
    let data = Data {
        view: "figure",
        title: &figure.title,
    };
    write_atomically(
        &folder.join(format!("{name}.html")),
        page::html(&shell, &data)?.as_bytes(),
    )
}
