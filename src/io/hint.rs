//! What is there by a similar name, where a file is missing.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most entries of a folder that are looked at for one hint.
const ENTRIES: usize = 20_000;
/// The most hints looked for in a process: a listing may have millions of rows that are wrong all alike.
const HINTS: usize = 100;
/// Endings of names that stand for one another.
const SAME: [&[&str]; 2] = [&["jpg", "jpeg", "jpe", "jfif", "png"], &["toml", "tml"]];

/// For a path at which nothing is: what is there that it may mean, and in which way it is written otherwise.
pub(crate) fn for_missing(path: &Path) -> Option<String> {
    static LOOKED: AtomicUsize = AtomicUsize::new(0);
    if LOOKED.fetch_add(1, Ordering::Relaxed) >= HINTS {
        return None;
    }
    let text = path.to_str()?;
    let found = similar(&text.replace('\\', "/"))?;
    let shown = found.display().to_string();
    Some(format!("`{shown}` is there, {}", difference(text, &shown)))
}

/// The path step by step, each step as it is or, where it is not there, as something like it.
fn similar(path: &str) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    let path = Path::new(path);
    let last = path.components().count();
    for (i, part) in path.components().enumerate() {
        let next = found.join(part);
        let Component::Normal(name) = part else {
            found = next;
            continue;
        };
        if std::fs::symlink_metadata(&next).is_ok() {
            found = next;
            continue;
        }
        let name = name.to_str()?;
        let folder = if found.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &found
        };
        let names = std::fs::read_dir(folder)
            .ok()?
            .take(ENTRIES)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let like = |same: &dyn Fn(&str) -> bool| names.iter().find(|n| same(n)).cloned();
        let like_name = like(&|n| folded(n) == folded(name)).or_else(|| {
            if i + 1 == last {
                like(&|n| stem(n).is_some_and(|s| Some(s) == stem(name)))
            } else {
                None
            }
        })?;
        found.push(like_name);
    }
    Some(found)
}

/// Without what names are confused by: spaces at the ends, case, and the form of letters with accents.
fn folded(name: &str) -> String {
    composed(name.trim()).to_lowercase()
}

/// A name without its ending and which of [`SAME`] that is.
fn stem(name: &str) -> Option<(String, usize)> {
    let name = folded(name);
    let (stem, end) = name.rsplit_once('.')?;
    let kind = SAME.iter().position(|ends| ends.contains(&end))?;
    Some((stem.to_string(), kind))
}

#[cfg(not(feature = "image"))]
fn composed(name: &str) -> String {
    name.into()
}

#[cfg(feature = "image")]
fn composed(name: &str) -> String {
    icu_normalizer::ComposingNormalizerBorrowed::new_nfc()
        .normalize(name)
        .into_owned()
}

fn difference(asked: &str, there: &str) -> String {
    let mut all = Vec::new();
    let slashes = asked.replace('\\', "/");
    if slashes != asked {
        all.push("with `/` for `\\`");
    }
    let trimmed = |path: &str| path.split('/').map(str::trim).collect::<Vec<_>>().join("/");
    let (a, b) = (trimmed(&slashes), trimmed(there));
    if slashes.len() - a.len() != there.len() - b.len() {
        all.push(if slashes.len() - a.len() > there.len() - b.len() {
            "without the space before or behind"
        } else {
            "with a space before or behind"
        });
    }
    let (a_composed, b_composed) = (composed(&a), composed(&b));
    if (a == a_composed) != (b == b_composed) {
        all.push("with its accents in another Unicode form");
    }
    let (a_lower, b_lower) = (a_composed.to_lowercase(), b_composed.to_lowercase());
    let end = |path: &str| path.rsplit_once('.').map(|(_, end)| end.to_string());
    let ends = end(&a_lower) != end(&b_lower);
    if ends {
        all.push("with another extension");
    }
    if a_composed != b_composed && (a_lower == b_lower || !ends) {
        all.push("with capital and small letters otherwise");
    }
    if all.is_empty() {
        "written a little otherwise".into()
    } else {
        all.join(" and ")
    }
}
