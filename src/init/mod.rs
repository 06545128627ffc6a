//! Heads, `model.toml` and a listing out of photos as they are: a folder, or a CSV.
//!
//! What is found is said; what is not sure becomes a comment and a line, and no setting.

mod column;
mod describe;
mod groups;
mod listing;
mod numbers;
mod pairs;
mod paths;
mod plan;
mod sets;
pub(crate) mod size;
mod survey;
mod write;

use crate::data::columns::ColumnNames;
use crate::data::sample::Split;
use crate::error::{Error, Remedy, Result, shown};
use crate::head::HeadSpec;
use crate::io::write_atomically;
use crate::taxonomy::Taxonomy;
use column::{Column, Role};
use describe::describe;
use listing::manifest;
use plan::Plan;
use std::path::{Path, PathBuf};
use survey::Survey;

/// Final classes that are proposed at most: tables of more are of no use.
const CLASSES: usize = 10_000;

/// Files to be written, and what was found.
pub(crate) struct Proposal {
    /// Each file and its text.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// The data that the heads are for: the listing that is written for a folder, or the CSV itself.
    pub(crate) data: PathBuf,
    /// What was found, line by line.
    pub(crate) said: Vec<String>,
}

/// Looks at a folder or a CSV. Heads are to lie in the folder `out`; a folder's listing is to be `listing`.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Data`] if it holds no photos or nothing to learn about them.
pub(crate) fn propose(path: &Path, out: &Path, listing: &Path) -> Result<Proposal> {
    let survey = Survey::of(path)?;
    let mut said = survey.said.clone();
    let mut names = survey.names.clone();
    let chosen = Chosen::of(&survey, &mut names, &mut said);
    let mut plan = Plan::new(&chosen.labels, survey.is_folder);
    chosen
        .numbers
        .iter()
        .for_each(|column| plan.add_numbers(column));
    chosen.sets.iter().for_each(|column| plan.add_sets(column));
    said.append(&mut plan.said);
    if plan.heads.is_empty() {
        said.insert(
            0,
            "a column or a level of folders with labels is needed, found none".into(),
        );
        return Err(Error::Data {
            path: path.into(),
            row: None,
            message: said.join("\n"),
        });
    }
    let heads = asked(&plan)?;
    describe(&plan, &heads, &mut said);
    let photos: Vec<_> = survey.photos.iter().map(|p| &p.source).collect();
    let size = size::propose(&photos);
    said.push(format!(
        "input {} × {} (height × width): {}",
        size.input[0], size.input[1], size.why
    ));
    said.extend(
        size.large
            .iter()
            .map(|large| format!("{large}: `input.reduce` is set")),
    );
    if size.unreadable > 0 {
        said.push(format!(
            "{} of the photos that were looked at cannot be read; `hydranet check` names all such",
            size.unreadable
        ));
    }
    if !chosen.has_groups {
        let finest = plan.heads.iter().map(|h| h.counts.len()).max().unwrap_or(0);
        said.extend(groups::by_name(&survey.photos, finest));
    }
    said.extend(groups::by_look(&survey.photos));
    let source = shown(path);
    let mut files = vec![(
        out.join("model.toml"),
        write::model(&plan, &heads, &names, &size),
    )];
    for head in &plan.heads {
        files.push((
            out.join(format!("{}.toml", head.spec.name)),
            write::head(head, &source),
        ));
    }
    let mut data = path.to_path_buf();
    if survey.is_folder {
        files.push((
            listing.into(),
            manifest(&survey, &plan, path, listing, &names, &mut said)?,
        ));
        data = listing.into();
    }
    Ok(Proposal { files, data, said })
}

impl Proposal {
    /// Writes the files. None of them may be there, unless they may be overwritten.
    ///
    /// # Errors
    /// [`Error::Refused`] naming those that are there, [`Error::Io`].
    pub(crate) fn write(&self, overwrite: bool) -> Result<()> {
        let there = self.files.iter().filter(|(path, _)| path.exists());
        let there: Vec<String> = there.map(|(path, _)| path.display().to_string()).collect();
        if !there.is_empty() && !overwrite {
            return Err(Error::Refused {
                what: "files to write".into(),
                expected: "names at which nothing is yet".into(),
                found: there.join(", "),
                remedy: Remedy::Overwrite,
            });
        }
        for (path, text) in &self.files {
            if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                crate::io::create_folder(folder)?;
            }
            write_atomically(path, text.as_bytes())?;
        }
        Ok(())
    }
}

/// The columns that heads are made of.
struct Chosen<'a> {
    labels: Vec<&'a Column>,
    numbers: Vec<&'a Column>,
    sets: Vec<&'a Column>,
    has_groups: bool,
}

impl<'a> Chosen<'a> {
    /// Tells the columns apart; the names of those of groups and of sides go into `names`.
    fn of(survey: &'a Survey, names: &mut ColumnNames, said: &mut Vec<String>) -> Self {
        let roles = survey.columns.iter().enumerate().map(|(i, column)| {
            let role = if survey.is_folder {
                column.role_of_level(i == 0)
            } else {
                column.role()
            };
            (column, role)
        });
        let roles: Vec<(&Column, Role)> = roles.collect();
        let of = |role: Role| {
            roles
                .iter()
                .filter(move |(_, r)| *r == role)
                .map(|(c, _)| *c)
        };
        let groups = of(Role::Groups).max_by_key(|c| (c.is_called_group(), c.counts.len()));
        let sides = of(Role::Sides).next();
        for (column, role) in &roles {
            let (name, different) = (&column.name, column.counts.len());
            let is = |one: Option<&Column>| one.is_some_and(|one| one.name == *name);
            let words = match role {
                Role::Labels | Role::Sets => continue,
                Role::Numbers => "numbers".into(),
                Role::Groups if is(groups) => {
                    let largest = column.counts.values().max().copied().unwrap_or(0);
                    format!(
                        "{different} groups of up to {largest} photos, each of which stays on one side of the split"
                    )
                }
                Role::Groups => format!(
                    "{different} groups, too; not used, since `person` can be one column only"
                ),
                Role::Sides if is(sides) => {
                    let counts = column.counts.iter().map(|(w, n)| format!("{w} {n}"));
                    let counts: Vec<String> = counts.collect();
                    let is_valid = |word: &String| matches!(Split::of_word(word), Ok(Split::Valid));
                    let lacks = if column.counts.keys().any(is_valid) {
                        ""
                    } else {
                        "; none is on valid, so that there is nothing to choose an epoch by: write it in some cells"
                    };
                    format!("sides of the split: {}{lacks}", counts.join(", "))
                }
                Role::Sides => "sides of the split, too; not used".into(),
                Role::Nothing(why) => format!("{why}; not used"),
                Role::Unsure(what) => format!(
                    "not used: {different} different words in {} cells, it may be {what}; a file like those in the heads folder \
                     makes it a head, --columns person={name} its words groups",
                    column.filled()
                ),
            };
            said.push(format!("  `{name}`: {words}"));
            if name == "split" && *role != Role::Sides {
                said.push("  `split` is the name of the column of sides, train, valid or test: give this one another name".into());
            }
            if ["person", "group"].contains(&name.as_str()) && *role != Role::Groups {
                said.push(format!("  `{name}` is the name of the column of persons, whose photos stay on one side: give this one another name"));
            }
        }
        for (word, column) in [("person", groups), ("split", sides)] {
            if let Some(column) = column.filter(|c| c.name != word) {
                names.insert(word.into(), column.name.clone());
            }
        }
        Self {
            labels: of(Role::Labels).collect(),
            numbers: of(Role::Numbers).collect(),
            sets: of(Role::Sets).collect(),
            has_groups: groups.is_some(),
        }
    }
}

/// The names of the heads; if all together would have too many final classes, without the last of those of one label. Those of
/// several labels at once add no final class and always stay.
///
/// # Errors
/// As [`Taxonomy::new`] of the first head of one label, with those of several.
fn asked(plan: &Plan) -> Result<Vec<String>> {
    let mut kept: Vec<&HeadSpec> = plan.heads.iter().map(|h| &h.spec).collect();
    loop {
        let specs = kept.iter().copied();
        let names: Vec<String> = specs.clone().map(|s| s.name.clone()).collect();
        let when: Vec<_> = specs.clone().map(|s| s.labels.when.clone()).collect();
        let several = specs.clone().map(|s| s.is_multi_label()).collect();
        let labels = specs.map(|s| (s.name.clone(), s.labels.names.clone()));
        let entries = plan.impossible.iter();
        let entries = entries.filter(|e| e.keys().all(|head| names.contains(head)));
        let impossible: Vec<_> = entries.cloned().collect();
        let is_single = |spec: &&HeadSpec| !spec.is_multi_label();
        let is_last = kept.iter().copied().filter(|s| is_single(s)).count() <= 1;
        match Taxonomy::of(labels, several, Vec::new(), &when, &impossible) {
            Ok(taxonomy) if taxonomy.num_classes() <= CLASSES || is_last => return Ok(names),
            Err(error) if is_last => return Err(error),
            _ => {
                if let Some(last) = kept.iter().rposition(is_single) {
                    kept.remove(last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_several_labels_stay_however_many_final_classes_the_others_have() {
        let column = |name: &str, cell: &dyn Fn(usize) -> String| {
            Column::new(name, (0..1010).map(cell).collect())
        };
        // Two heads of 101 labels, whose combinations are more than are proposed.
        let first = column("first", &|i| format!("a{}", i % 101));
        let second = column("second", &|i| format!("b{}", i / 10));
        let words = ["red;long", "red", "-", "long"];
        let tags = column("tags", &|i| words[i % 4].into());
        let mut plan = Plan::new(&[&first, &second], false);
        plan.add_sets(&tags);
        let names: Vec<&str> = plan.heads.iter().map(|h| h.spec.name.as_str()).collect();
        assert_eq!(names, ["first", "second", "tags"]);
        assert_eq!(asked(&plan).unwrap(), ["first", "tags"]);
        let mut alone = Plan::default();
        alone.add_sets(&tags);
        assert_eq!(asked(&alone).unwrap(), ["tags"]);
    }
}
