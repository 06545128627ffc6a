//! The names of repositories and files on the Hub.

use crate::error::{Error, HubErrorKind, Result};

/// The files looked for in a repository, in this order.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// `hf://organisation/name`, then `@revision` or nothing, then `/file` or nothing.
#[derive(Debug)]
pub(super) struct Source<'a> {
    text: &'a str,
    pub owner: &'a str,
    pub name: &'a str,
    pub revision: &'a str,
    file: Option<&'a str>,
}

impl<'a> Source<'a> {
    pub fn parse(text: &'a str) -> Result<Self> {
        let parse = || {
            let (owner, rest) = text.strip_prefix("hf://")?.split_once('/')?;
            let (name, file) = match rest.split_once('/') {
                Some((name, file)) => (name, Some(file)),
                None => (rest, None),
            };
            let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
            // None of them may lead out of its folder of the cache.
            let parts = file.into_iter().flat_map(|f| f.split('/'));
            [owner, name, revision]
                .into_iter()
                .chain(parts)
                .all(is_plain)
                .then_some(Self {
                    text,
                    owner,
                    name,
                    revision,
                    file,
                })
        };
        parse().ok_or_else(|| Error::Invalid {
            what: "a source on the Hugging Face Hub".into(),
            expected: "hf://organisation/name, hf://organisation/name@revision or hf://organisation/name/file"
                .into(),
            found: format!("`{text}`"),
        })
    }

    /// The files that would do, the best first.
    pub fn files(&self) -> Vec<String> {
        match self.file {
            Some(file) => vec![file.into()],
            None => FILES.map(String::from).to_vec(),
        }
    }

    /// As [`Source::parse`], of a whole repository.
    pub fn repository(text: &'a str) -> Result<Self> {
        let source = Self::parse(text)?;
        match source.file {
            None => Ok(source),
            Some(_) => Err(Error::Invalid {
                what: "a repository on the Hugging Face Hub".into(),
                expected: "hf://organisation/name or hf://organisation/name@revision".into(),
                found: format!("`{text}`"),
            }),
        }
    }

    /// What is wrong with it.
    pub fn fail(&self, kind: HubErrorKind, problem: impl std::fmt::Display) -> Error {
        Error::Hub {
            kind,
            origin: self.text.into(),
            problem: problem.to_string(),
        }
    }
}

/// Whether a part of a name is one of a file's path too, and leads nowhere else.
pub(super) fn is_plain(part: &str) -> bool {
    // There a colon stands behind the name of a drive.
    let is_drive = cfg!(windows) && part.contains(':');
    !(part.is_empty() || part.starts_with('.') || part.contains('\\') || is_drive)
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_part_of_a_name_leads_out_of_its_folder() {
        for part in ["", ".", "..", ".hidden", "a\\b"] {
            assert!(!super::is_plain(part), "{part}");
        }
        assert!(super::is_plain("a.b"));
        assert_eq!(super::is_plain("C:evil"), !cfg!(windows));
    }
}
