//! Doing what the entries say.

use super::slots::{Meant, Places, Slots};
use super::{Action, Corrections, CorrectionsReport, NoteKind};
use crate::data::dataset::{Dataset, Sample, Value};
use crate::data::label_cell::written;
use crate::data::targets::{group_name, label, labels_of};
use crate::error::Result;
use crate::head::HeadSpec;
use crate::location;

impl Corrections {
    /// Corrects those samples that are `wanted`; the others are not looked at.
    pub(crate) fn change(
        &self,
        dataset: &mut Dataset,
        wanted: &dyn Fn(&Sample) -> bool,
    ) -> Result<CorrectionsReport> {
        // Nothing is looked up in millions of photos for it.
        if self.entries.is_empty() {
            return Ok(CorrectionsReport {
                files: self.files.clone(),
                ..CorrectionsReport::default()
            });
        }
        let mut places = Places::new(self, dataset)?;
        let mut report = CorrectionsReport {
            files: self.files.clone(),
            ..CorrectionsReport::default()
        };
        let none = Slots::default();
        let mut left = vec![true; dataset.samples.len()];
        let mut notes = Vec::new();
        for (i, sample) in dataset.samples.iter_mut().enumerate() {
            let mut reviewed = vec![false; dataset.heads.len()];
            let person = sample.person.as_deref();
            let of_person = person.and_then(|p| places.persons.get(p)).unwrap_or(&none);
            let of_photo = places.photos.get(&i).unwrap_or(&none);
            if !wanted(sample) || (of_photo.first().is_none() && of_person.first().is_none()) {
                report.reviewed.push(reviewed);
                continue;
            }
            let photo = format!("photo `{}`", location::shown(&sample.name));
            if let Some((own, other)) = of_photo.first().zip(of_person.drops())
                && of_photo.drops().is_none()
            {
                notes.push(self.overruled(own, other, &photo));
            }
            let dropped = match of_photo.first() {
                Some(_) => of_photo.drops(),
                None => of_person.drops(),
            };
            if dropped.is_some() {
                report.dropped_photos += 1;
                left[i] = false;
                continue;
            }
            for (h, head) in dataset.heads.iter().enumerate() {
                let own = of_photo.head(h);
                let other = of_person.head(h);
                if let Some((own, other)) = own.zip(other)
                    && own.says(h, head) != other.says(h, head)
                {
                    notes.push(self.overruled(own, other, &photo));
                }
                let Some(meant) = own.or(other) else { continue };
                match correct(meant, head, &mut sample.values[h], &mut report) {
                    Ok(()) => reviewed[h] = true,
                    Err(message) => {
                        let message = format!("{photo}, {}: {message}", head.name);
                        notes.push((NoteKind::Changed, meant.entry, message));
                    }
                }
            }
            report.reviewed.push(reviewed);
        }
        for (kind, entry, message) in notes {
            places.note(self, kind, entry, message);
        }
        let mut left = left.into_iter();
        dataset.samples.retain(|_| left.next().unwrap_or(true));
        report.notes = places.notes;
        let order = |path: &std::path::Path| self.files.iter().position(|f| f.path == path);
        report
            .notes
            .sort_by_cached_key(|n| (order(&n.path), n.line, n.kind, n.message.clone()));
        report.notes.dedup();
        Ok(report)
    }

    fn overruled<'a>(
        &self,
        own: &Meant,
        other: &Meant<'a>,
        photo: &str,
    ) -> (NoteKind, &'a super::Entry, String) {
        let message = format!(
            "{} is to {}, but of {photo} {} says {}, which holds for it",
            other.entry.correction.subject,
            other.action(),
            self.place(own.entry, other.entry),
            own.action()
        );
        (NoteKind::Overruled, other.entry, message)
    }
}

impl<'a> Slots<'a> {
    /// The entry that holds for a head: its own, or else that which keeps the whole.
    fn head(&self, head: usize) -> Option<&Meant<'a>> {
        let own = self.heads.get(head).and_then(Option::as_ref);
        own.or_else(|| {
            let keeps = |m: &&Meant| matches!(m.action(), Action::Keep { .. });
            self.whole.as_ref().filter(keeps)
        })
    }
}

impl Meant<'_> {
    /// What it makes of a head, to compare.
    fn says(&self, index: usize, head: &HeadSpec) -> (usize, &'static str, Option<Vec<usize>>) {
        let labels = self.label.as_ref().map(|l| labels_of(head, l));
        (index, self.action().name(), labels)
    }
}

/// Does to a value what an entry says, or says why not.
fn correct(
    meant: &Meant,
    head: &HeadSpec,
    value: &mut Option<Value>,
    report: &mut CorrectionsReport,
) -> std::result::Result<(), String> {
    let is = |wanted: &Value| value.as_ref().is_some_and(|v| same(head, wanted, v));
    let done = match meant.action() {
        Action::Relabel { .. } => meant.label.as_ref().is_some_and(is),
        Action::Drop { .. } => value.is_none(),
        Action::Keep { .. } => false,
    };
    if done {
        report.already += 1;
        return Ok(());
    }
    if let Some(was) = &meant.was
        && !is(was)
    {
        let found = value
            .as_ref()
            .map_or("not known".into(), |v| shown(head, v));
        return Err(format!(
            "it was {} when it was looked at and is {found} now; nothing is done",
            shown(head, was)
        ));
    }
    match meant.action() {
        Action::Relabel { .. } => {
            value.clone_from(&meant.label);
            report.relabelled += 1;
        }
        Action::Drop { .. } => {
            *value = None;
            report.dropped_labels += 1;
        }
        Action::Keep { .. } => report.kept += usize::from(value.is_some()),
    }
    Ok(())
}

/// Whether a value is what an entry names: the number, all the labels, or any number of the label.
fn same(head: &HeadSpec, named: &Value, value: &Value) -> bool {
    match named {
        Value::Label(named) => Some(*named) == label(head, value),
        other => other == value,
    }
}

/// A value as a listing writes it.
fn shown(head: &HeadSpec, value: &Value) -> String {
    match value {
        Value::Label(label) => head.labels.names.get(*label).cloned().unwrap_or_default(),
        Value::Group(group) => group_name(head, *group).unwrap_or_default().into(),
        Value::Number(number) => number.to_string(),
        Value::Labels(labels) => {
            let names = labels.iter().filter_map(|l| head.labels.names.get(*l));
            written(names.map(String::as_str))
        }
    }
}
