//! Files that go to the Hub.

use crate::error::{Error, Result};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of a model file that is pushed by itself.
const MODEL: &str = "model.safetensors";

/// A file here and its name there.
pub(super) struct Local {
    pub name: String,
    pub path: PathBuf,
    pub size: u64,
}

/// The files to upload, sorted by name.
pub(super) fn files(path: &Path) -> Result<Vec<Local>> {
    let metadata = path.metadata().map_err(|e| Error::io("read", path, e))?;
    if !metadata.is_dir() {
        check_model(path, metadata.len())?;
        return Ok(vec![Local {
            name: MODEL.into(),
            path: path.into(),
            size: metadata.len(),
        }]);
    }
    let mut files = Vec::new();
    collect(path, "", &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        Err(Error::Invalid {
            what: format!("the folder {}", path.display()),
            expected: "files to upload".into(),
            found: "none".into(),
        })
    } else {
        Ok(files)
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Local>) -> Result<()> {
    let failed = |e| Error::io("read", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| Error::Invalid {
            what: format!("the name of {}", path.display()),
            expected: "UTF-8".into(),
            found: "other bytes".into(),
        })?;
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        let failed = |e| Error::io("read", &path, e);
        let kind = entry.file_type().map_err(failed)?;
        // A linked file is its content, as in the Hub's cache; a linked folder may lead around in a circle.
        let metadata = path.metadata().map_err(failed)?;
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if metadata.is_file() {
            files.push(Local {
                name,
                size: metadata.len(),
                path,
            });
        } else {
            return Err(Error::Invalid {
                what: path.display().to_string(),
                expected: "a file or a folder".into(),
                found: "a link to a folder, or a device".into(),
            });
        }
    }
    Ok(())
}

/// A safetensors file begins with the length of its header, and the header with a brace.
fn check_model(path: &Path, size: u64) -> Result<()> {
    let mut start = [0; 9];
    let (mut file, _) = crate::io::read::open(path)?;
    let is_it = size >= 9;
    if is_it {
        file.read_exact(&mut start)
            .map_err(|e| Error::io("read", path, e))?;
    }
    let [length @ .., brace] = start;
    if is_it && brace == b'{' && u64::from_le_bytes(length) <= size - 8 {
        Ok(())
    } else {
        Err(Error::Invalid {
            what: path.display().to_string(),
            expected: "a folder or a model file (safetensors)".into(),
            found: "another file".into(),
        })
    }
}
