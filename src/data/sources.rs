//! What a path given as data stands for: itself, several by braces, or the shards in a folder.

use super::held::is_held;
use super::person_folder;
use crate::error::{Error, Result, shown};
use crate::input::{find_images, is_image_name};
use crate::io::remote;
use crate::location::{is_remote, is_remote_folder, of_file_url};
use std::path::{Path, PathBuf};

/// Files that the braces of a path may stand for.
const MOST: usize = 1 << 20;

/// The listings, folders of photos and shards that these paths stand for, in their order: `faces-{000..011}.tar` and
/// `{train,valid}.csv` are several, and a folder that holds shards and no photos is its shards, sorted.
///
/// # Errors
/// [`Error::Invalid`] if braces stand for too many, [`Error::Io`] if a folder cannot be listed.
pub(crate) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let path = match path.to_str().and_then(of_file_url) {
            Some(file) => file,
            None => path.clone(),
        };
        for path in of_braces(path)? {
            match shards(&path)? {
                Some(shards) => all.extend(shards),
                None => all.push(path),
            }
        }
    }
    Ok(all)
}

/// The paths that one with braces stands for; one of a file that is there is that file's.
fn of_braces(path: PathBuf) -> Result<Vec<PathBuf>> {
    let text = path.to_str().filter(|text| text.contains('{'));
    let Some(text) = text.filter(|_| is_remote(&path) || !path.exists()) else {
        return Ok(vec![path]);
    };
    let mut all = vec![String::new()];
    let mut rest = text;
    while let Some((before, inner, behind)) = next_braces(rest) {
        let words = words(inner).filter(|words| words.len().saturating_mul(all.len()) <= MOST);
        let Some(words) = words else {
            return Err(Error::Invalid {
                what: format!("the braces in {}", shown(&path)),
                expected: format!("that they stand for at most {MOST} files"),
                found: format!("`{{{inner}}}`"),
            });
        };
        let longer = |start: &String| {
            let words = words.iter().map(|word| format!("{start}{before}{word}"));
            words.collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
        rest = behind;
    }
    Ok(all.into_iter().map(|start| (start + rest).into()).collect())
}

/// The next braces that stand for several words: what is before them, in them and behind them.
fn next_braces(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let close = open + text[open..].find('}')?;
        let inner = &text[open + 1..close];
        let is_list = inner.contains(',') && !inner.contains('{');
        if is_list || range(inner).is_some() {
            return Some((&text[..open], inner, &text[close + 1..]));
        }
        from = open + 1;
    }
    None
}

/// First and last number of `000..011`, and how many digits they have at least.
fn range(inner: &str) -> Option<(u64, u64, usize)> {
    let (first, last) = inner.split_once("..")?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_number)
    };
    let is_padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let width = if is_padded(first) || is_padded(last) {
        first.len().max(last.len())
    } else {
        0
    };
    Some((number(first)?, number(last)?, width))
}

/// What braces stand for; `None` for too many.
fn words(inner: &str) -> Option<Vec<String>> {
    let Some((first, last, width)) = range(inner) else {
        return Some(inner.split(',').map(String::from).collect());
    };
    if first.abs_diff(last) >= MOST as u64 {
        return None;
    }
    let word = |n: u64| format!("{n:0width$}");
    Some(if first <= last {
        (first..=last).map(word).collect()
    } else {
        (last..=first).rev().map(word).collect()
    })
}

/// The shards in a folder that holds such and no photos; `None` for any other, and for what is no folder.
fn shards(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let is_remote = is_remote_folder(path);
    if !is_remote && (!path.is_dir() || person_folder::find_listing(path).is_some()) {
        return Ok(None);
    }
    let files = if is_remote {
        remote::list(path)?
    } else {
        entries(path)?
    };
    let is_here = |file: &PathBuf| {
        let below = file.strip_prefix(path).unwrap_or(file);
        let is_hidden = below.to_string_lossy().starts_with(['.', '_']);
        below.components().count() == 1 && !is_hidden && is_held(file)
    };
    let is_photo = |file: &PathBuf| {
        let below = file.strip_prefix(path).unwrap_or(file);
        let mut parts = below.components();
        let is_hidden = parts.any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
        !is_hidden && is_image_name(file)
    };
    let any_photo = is_remote && files.iter().any(is_photo);
    let mut shards: Vec<PathBuf> = files.into_iter().filter(is_here).collect();
    // Other folders of this machine are gone through once only.
    if shards.is_empty() || any_photo || !is_remote && !find_images(path)?.images.is_empty() {
        return Ok(None);
    }
    shards.sort();
    Ok(Some(shards))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("list", folder, e);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries.map(|e| Ok(e.map_err(failed)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let paths = of_braces(text.into()).unwrap().into_iter();
        paths.map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn braces_stand_for_numbers_and_words() {
        assert_eq!(
            of("a-{08..11}.tar"),
            ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
        );
        assert_eq!(of("{9..11}"), ["9", "10", "11"]);
        assert_eq!(of("{2..0}"), ["2", "1", "0"]);
        assert_eq!(
            of("s3://b/{0..1}/{x,y}.tar"),
            [
                "s3://b/0/x.tar",
                "s3://b/0/y.tar",
                "s3://b/1/x.tar",
                "s3://b/1/y.tar"
            ]
        );
        for plain in ["{a}.csv", "{", "a{}b", "{1..}", "{x..y}", "a}b{", "{-1..3}"] {
            assert_eq!(of(plain), [plain]);
        }
        assert_eq!(of("{a}{0..1}"), ["{a}0", "{a}1"]);
        for many in [
            "{0..9999999999}",
            "{0..9999}{0..9999}",
            "{0..18446744073709551615}",
        ] {
            let error = of_braces(many.into()).unwrap_err().to_string();
            assert!(error.contains("at most"), "{error}");
        }
    }

    #[test]
    fn a_signature_is_in_no_message_of_braces() {
        let url = "https://h/{0..9999999999}.tar?key=hidden";
        let error = of_braces(url.into()).unwrap_err().to_string();
        assert!(error.contains("?…") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_folder_of_shards_is_its_shards_and_one_of_photos_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["b.tar", "a.tar", ".hidden.tar", "_part.tar", "README.md"] {
            std::fs::write(at(name), "").unwrap();
        }
        let found = expand(&[dir.path().into()]).unwrap();
        assert_eq!(found, [at("a.tar"), at("b.tar")]);
        std::fs::create_dir(at("worn")).unwrap();
        std::fs::write(at("worn/a.jpg"), "").unwrap();
        assert_eq!(expand(&[dir.path().into()]).unwrap(), [dir.path()]);
        let url = format!("file://{}/a.tar", dir.path().display());
        assert_eq!(expand(&[url.into()]).unwrap(), [at("a.tar")]);
        // A file that is called so is meant before what its name could stand for.
        std::fs::write(at("{0..1}.tar"), "").unwrap();
        assert_eq!(expand(&[at("{0..1}.tar")]).unwrap(), [at("{0..1}.tar")]);
    }
}
