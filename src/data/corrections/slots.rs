//! Which entry holds for what: entries put in their places, one for each subject and head.

use super::report::Note;
use super::{Action, Corrections, Entry, NoteKind, Subject};
use crate::data::columns::{named, parse_value};
use crate::data::dataset::{Dataset, Value};
use crate::data::table::misspelt;
use crate::error::{Error, Result, shown};
use crate::head::HeadSpec;
use crate::io::files::Files;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// An entry whose words are understood.
#[derive(Clone)]
pub(crate) struct Meant<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) label: Option<Value>,
    pub(crate) was: Option<Value>,
}

impl<'a> Meant<'a> {
    pub(crate) fn action(&self) -> &'a Action {
        &self.entry.correction.action
    }
}

/// The entries of one subject: of the whole, and of each head.
#[derive(Clone, Default)]
pub(crate) struct Slots<'a> {
    pub(crate) whole: Option<Meant<'a>>,
    pub(crate) heads: Vec<Option<Meant<'a>>>,
}

impl<'a> Slots<'a> {
    pub(crate) fn first(&self) -> Option<&Meant<'a>> {
        self.whole.iter().chain(self.heads.iter().flatten()).next()
    }

    pub(crate) fn drops(&self) -> Option<&Meant<'a>> {
        let drops = |m: &&Meant| matches!(m.action(), Action::Drop { .. });
        self.whole.as_ref().filter(drops)
    }
}

/// The entries of photos, by the index of the sample, and of persons.
#[derive(Default)]
pub(crate) struct Places<'a> {
    pub(crate) photos: BTreeMap<usize, Slots<'a>>,
    pub(crate) persons: BTreeMap<&'a str, Slots<'a>>,
    pub(crate) notes: Vec<Note>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(corrections: &'a Corrections, dataset: &Dataset) -> Result<Self> {
        let mut index = Index::new(dataset);
        let mut places = Self::default();
        for entry in &corrections.entries {
            let Some((head, meant)) = places.understand(corrections, entry, &dataset.heads)? else {
                continue;
            };
            let slots = match &entry.correction.subject {
                Subject::Photo(name) => match index.photo(name) {
                    Ok(Some(sample)) => Some(places.photos.entry(sample).or_default()),
                    Ok(None) => None,
                    Err(message) => return Err(corrections.fault(entry, message)),
                },
                Subject::Person(name) if index.persons.contains(name.as_str()) => {
                    Some(places.persons.entry(name).or_default())
                }
                Subject::Person(_) => None,
            };
            let Some(slots) = slots else {
                let message = format!("{} is not in the data", entry.correction.subject);
                places.note(corrections, NoteKind::Stale, entry, message);
                continue;
            };
            slots.heads.resize(dataset.heads.len(), None);
            let slot = match head {
                None => &mut slots.whole,
                Some(head) => &mut slots.heads[head],
            };
            let action = meant.action();
            let before = slot.replace(meant);
            if let Some(before) = before.filter(|b| b.action() != action) {
                let holds = (action, corrections.place(entry, before.entry));
                let message = format!(
                    "{} is to {}, but {} says {}, which comes later and holds",
                    entry.correction.subject,
                    before.action(),
                    holds.1,
                    holds.0
                );
                places.note(corrections, NoteKind::Conflict, before.entry, message);
            }
        }
        places.whole_against_heads(corrections);
        Ok(places)
    }

    /// The head's index, and the labels as values; `None` if the head is none of the model's.
    fn understand(
        &mut self,
        corrections: &Corrections,
        entry: &'a Entry,
        heads: &[HeadSpec],
    ) -> Result<Option<(Option<usize>, Meant<'a>)>> {
        let mut meant = Meant {
            entry,
            label: None,
            was: None,
        };
        let Some(name) = entry.correction.action.head() else {
            return Ok(Some((None, meant)));
        };
        let Some(index) = heads.iter().position(|h| h.name == name) else {
            let known: Vec<String> = heads.iter().map(|h| h.name.clone()).collect();
            if known.iter().any(|k| misspelt(name, k)) {
                let what = "head";
                let found = name.into();
                let unknown = Error::UnknownName { what, found, known };
                return Err(corrections.fault(entry, unknown.to_string()));
            }
            let message = format!("there is no head `{name}` here; the entry is passed over");
            self.note(corrections, NoteKind::OtherHead, entry, message);
            return Ok(None);
        };
        let value = |key: &str, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => parse_label(&heads[index], text)
                .map(Some)
                .map_err(|m| corrections.fault(entry, format!("`{key}`: {m}"))),
        };
        meant.label = value("label", entry.correction.action.label())?;
        meant.was = value("was", entry.correction.was.as_deref())?;
        Ok(Some((Some(index), meant)))
    }

    /// Entries of one subject as a whole and of its heads that do not go together.
    fn whole_against_heads(&mut self, corrections: &Corrections) {
        let mut notes = Vec::new();
        for slots in self.photos.values().chain(self.persons.values()) {
            let Some(whole) = &slots.whole else { continue };
            for of_head in slots.heads.iter().flatten() {
                let subject = &whole.entry.correction.subject;
                let (lost, holds) = match (whole.action(), of_head.action()) {
                    (Action::Drop { .. }, _) => (of_head, whole),
                    (_, Action::Keep { .. }) => continue,
                    _ => (whole, of_head),
                };
                let place = corrections.place(holds.entry, lost.entry);
                let message = format!(
                    "{subject} is to {}, but {place} says {}, which holds",
                    lost.action(),
                    holds.action()
                );
                notes.push((lost.entry, message));
            }
        }
        for (entry, message) in notes {
            self.note(corrections, NoteKind::Conflict, entry, message);
        }
    }

    pub(crate) fn note(
        &mut self,
        corrections: &Corrections,
        kind: NoteKind,
        entry: &Entry,
        message: String,
    ) {
        self.notes.push(Note {
            kind,
            path: corrections.files[entry.file].path.clone(),
            line: entry.line,
            message,
        });
    }
}

/// A label as a listing has it, or several of a head of several at once; a head with thresholds takes the names of its labels as
/// well.
fn parse_label(head: &HeadSpec, text: &str) -> std::result::Result<Value, String> {
    if head.is_multi_label() {
        let labels = parse_value(head, head.column(), text)?;
        return labels
            .ok_or_else(|| format!("labels of head `{}` are needed, found `{text}`", head.name));
    }
    let number =
        !head.labels.thresholds.is_empty() && text.parse::<f64>().is_ok_and(f64::is_finite);
    let found = if number {
        parse_value(head, head.column(), text)?
    } else {
        named(&head.labels, text)
    };
    found.ok_or_else(|| {
        let unknown = Error::UnknownLabel {
            head: head.name.clone(),
            expected: head.labels.words(),
            found: text.into(),
        };
        if head.labels.thresholds.is_empty() {
            unknown.to_string()
        } else {
            format!("{unknown}, or a number")
        }
    })
}

/// The photos of the data by their names and paths, and the persons.
struct Index<'a> {
    names: HashMap<&'a str, Vec<usize>>,
    paths: HashMap<PathBuf, usize>,
    persons: HashSet<&'a str>,
    /// The photos by their files, looked up once a path is spelt in another way.
    files: Option<(Files, HashMap<PathBuf, usize>)>,
    dataset: &'a Dataset,
}

impl<'a> Index<'a> {
    fn new(dataset: &'a Dataset) -> Self {
        let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut paths = HashMap::new();
        for (i, sample) in dataset.samples.iter().enumerate() {
            names.entry(&sample.name).or_default().push(i);
            paths.insert(sample.whole_path().components().collect(), i);
        }
        let persons = dataset.samples.iter().filter_map(|s| s.person.as_deref());
        Self {
            names,
            paths,
            persons: persons.collect(),
            files: None,
            dataset,
        }
    }

    /// The photo that a path leads to, however it is spelt.
    fn of_file(&mut self, path: &Path) -> Option<usize> {
        if !path.is_file() {
            return None;
        }
        let (files, places) = self.files.get_or_insert_with(|| {
            let mut files = Files::default();
            let samples = self.dataset.samples.iter().enumerate().rev();
            let places = samples
                .map(|(i, s)| (files.file(&s.whole_path()), i))
                .collect();
            (files, places)
        });
        places.get(&files.file(path)).copied()
    }

    /// The photo of a name, or of a whole path.
    fn photo(&mut self, name: &str) -> std::result::Result<Option<usize>, String> {
        match self.names.get(name).map(Vec::as_slice) {
            None => {
                let path: PathBuf = PathBuf::from(name).components().collect();
                let found = self.paths.get(&path).copied();
                Ok(found.or_else(|| self.of_file(&path)))
            }
            Some([one]) => Ok(Some(*one)),
            Some(several) => {
                let path = |i: &usize| shown(&self.dataset.samples[*i].whole_path());
                let paths: Vec<String> = several.iter().map(path).collect();
                Err(format!(
                    "`photo`: one photo is needed, found `{name}` in several listings; write its whole path: {}",
                    paths.join(", ")
                ))
            }
        }
    }
}
