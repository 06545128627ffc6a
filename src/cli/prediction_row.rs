//! Predictions as lines of a table, whose columns are those that the models have.

use crate::eval::predictions::{
    group_cells, group_header, label_cell, number_cells, number_header,
};
use crate::io::table::csv_line;
use crate::{Ensemble, Prediction};

/// Columns that only some models have.
pub(super) struct More {
    abstains: bool,
    novelty: bool,
}

/// What the columns of the table are called.
pub(super) fn columns(models: &Ensemble) -> Vec<String> {
    More::of(models).columns(models)
}

impl More {
    pub(super) fn of(ensemble: &Ensemble) -> Self {
        let mut members = ensemble.members().iter().map(|m| m.description());
        let abstains = members.clone().any(|d| d.decision.min_confidence > 0.0);
        let novelty = members.all(|d| d.novelty.is_some());
        Self { abstains, novelty }
    }

    /// The line of titles.
    pub(super) fn header(&self, ensemble: &Ensemble) -> crate::Result<String> {
        csv_line(self.columns(ensemble))
    }

    /// The titles.
    fn columns(&self, ensemble: &Ensemble) -> Vec<String> {
        let taxonomy = ensemble.taxonomy();
        let numbers = ensemble.numbers();
        let mut cells = ["path", "class", "name", "prob"].map(String::from).to_vec();
        for (i, head) in taxonomy.heads().iter().enumerate() {
            cells.push(head.clone());
            cells.extend(taxonomy.labels(i).iter().map(|l| format!("{head}_{l}")));
            if numbers[i] {
                cells.extend(number_header(head));
            }
            cells.extend(group_header(taxonomy, i));
        }
        for (has, name) in [(self.abstains, "abstains"), (self.novelty, "novelty")] {
            if has {
                cells.push(name.into());
            }
        }
        cells
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
