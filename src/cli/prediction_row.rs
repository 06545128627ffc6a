//! Predictions as lines of a table, whose columns are those that the models have.

use crate::eval::predictions::{group_cells, head_columns, label_cell, number_cells};
use crate::io::table::csv_line;
use crate::io::typed::{Columns, Kind};
use crate::{Ensemble, Prediction};

/// Columns that only some models have.
pub(super) struct More {
    abstains: bool,
    novelty: bool,
}

/// What the columns of the table are called.
pub(super) fn columns(models: &Ensemble) -> Vec<String> {
    let columns = More::of(models).columns(models);
    columns.into_iter().map(|(name, _)| name).collect()
}

impl More {
    pub(super) fn of(ensemble: &Ensemble) -> Self {
        let mut members = ensemble.members().iter().map(|m| m.description());
        let abstains = members.clone().any(|d| d.decision.min_confidence > 0.0);
        let novelty = members.all(|d| d.novelty.is_some());
        Self { abstains, novelty }
    }

    /// The columns, and what they hold.
    pub(super) fn columns(&self, ensemble: &Ensemble) -> Columns {
        let taxonomy = ensemble.taxonomy();
        let numbers = ensemble.numbers();
        let mut columns = vec![
            ("path".into(), Kind::Text),
            ("class".into(), Kind::Whole),
            ("name".into(), Kind::Text),
            ("prob".into(), Kind::Number),
        ];
        for (i, head) in taxonomy.heads().iter().enumerate() {
            columns.push((head.clone(), Kind::Text));
            columns.extend(head_columns(taxonomy, i, numbers[i]));
        }
        for (has, name, kind) in [
            (self.abstains, "abstains", Kind::Flag),
            (self.novelty, "novelty", Kind::Number),
        ] {
            if has {
                columns.push((name.into(), kind));
            }
        }
        columns
    }

    /// The line of a photo.
    pub(super) fn row(&self, path: &str, p: &Prediction) -> crate::Result<String> {
        let (class, prob) = (p.class.to_string(), format!("{:.6}", p.prob));
        let mut cells = vec![path.into(), class, p.name.clone(), prob];
        for head in &p.heads {
            cells.push(label_cell(head));
            cells.extend(head.probs.iter().map(|p| format!("{p:.6}")));
            cells.extend(number_cells(head));
            cells.extend(group_cells(head));
        }
        if self.abstains {
            cells.push(p.abstains.to_string());
        }
        if self.novelty {
            cells.push(format!("{:.4}", p.novelty.unwrap_or_default()));
        }
        csv_line(&cells)
    }
}
