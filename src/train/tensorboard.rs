//! A run for TensorBoard: a file of events with scalars by epoch, pictures of the first photos as the network sees them, the
//! settings, and at the end the confusions and the final scores.
//!
//! The messages are those of TensorFlow's `event.proto` and `summary.proto` and of TensorBoard's plugin `hparams`
//! (`plugin_data.proto`, `api.proto`). Their times are those of the clock: no other file of a run has any.

use super::balancing::pairs;
use super::config::Config;
use super::preview::preview;
use super::run_folder::EpochRecord;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::eval::metrics::ConfusionMatrix;
use crate::eval::score::ScoreReport;
use crate::io::events::Records;
use crate::io::png::png;
use crate::io::wire::Message;
use crate::model::JOINT;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder within the run's, and the file. Its name says to TensorBoard what it is.
const FOLDER: &str = "tensorboard";
const FILE: &str = "events.out.tfevents.0.hydranet";
/// Pictures of photos.
const SAMPLES: usize = 16;
/// Pixels of a cell of a confusion, and most labels that are drawn.
const CELL: usize = 16;
const LABELS: usize = 64;

/// Where a run's events go.
pub(super) struct Board {
    file: Records,
    heads: Vec<String>,
}

impl Board {
    /// Opens the file of a run, if one is asked for; a new one begins with the settings and the pictures of photos.
    ///
    /// # Errors
    /// [`Error::Io`], and what reading photos gives.
    pub(super) fn open(config: &Config, dataset: &Dataset, run: &Path) -> Result<Option<Self>> {
        if !config.train.tensorboard {
            return Ok(None);
        }
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let (file, new) = Records::open(&folder.join(FILE))?;
        let joint = config.model.joint.iter().map(|_| JOINT.to_string());
        let mut board = Self {
            file,
            heads: config.model.heads.iter().cloned().chain(joint).collect(),
        };
        if new {
            board.file.add(
                &Message::new()
                    .double(1, now())
                    .text(3, "brain.Event:2")
                    .into_bytes(),
            )?;
            board.settings(config)?;
            let size = config.model.input.size;
            for (i, photo) in preview(config, dataset, SAMPLES)?.iter().enumerate() {
                let image = image(&format!("photos/{i}"), &photo.rgb, size);
                board.write(0, [image])?;
            }
        }
        Ok(Some(board))
    }

    /// The figures of an epoch.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        let mut all = vec![
            ("loss/train".to_string(), Some(record.train_loss)),
            ("loss/valid".into(), record.valid_loss),
            ("macro_f1/class".into(), record.macro_f1),
            ("accuracy/class".into(), record.accuracy),
            ("learning_rate/backbone".into(), record.lr_backbone),
            ("learning_rate/heads".into(), record.lr_heads),
        ];
        let gradients = record.gradients.as_ref();
        let norms = gradients.map_or(&[][..], |g| g.norms.as_slice());
        for (what, values) in [
            ("macro_f1", &record.head_macro_f1[..]),
            ("accuracy", &record.head_accuracy[..]),
            ("weight", &record.head_weights[..]),
            ("gradient", norms),
        ] {
            let named = self.heads.iter().zip(values);
            all.extend(named.map(|(head, value)| (format!("{what}/{head}"), *value)));
        }
        if let Some(gradients) = gradients {
            let named = pairs(self.heads.len()).zip(&gradients.cosines);
            all.extend(named.map(|((a, b), cosine)| {
                (
                    format!("cosine/{}_{}", self.heads[a], self.heads[b]),
                    *cosine,
                )
            }));
        }
        let known = all
            .into_iter()
            .filter_map(|(tag, value)| Some(scalar(&tag, value?)));
        self.write(record.epoch, known)
    }

    /// The final scores, and pictures of the confusions: a row a true label, white none of its photos, dark all of them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn end(&mut self, epochs: usize, scores: &ScoreReport) -> Result<()> {
        for score in scores.heads.iter().chain([&scores.class]) {
            if score.photos == 0 {
                continue;
            }
            let figures = [("macro_f1", score.macro_f1), ("accuracy", score.accuracy)];
            let scalars =
                figures.map(|(what, value)| scalar(&format!("final/{what}/{}", score.name), value));
            self.write(epochs, scalars)?;
            if (1..=LABELS).contains(&score.confusion.num_classes()) {
                let (rgb, size) = drawn(&score.confusion);
                self.write(
                    epochs,
                    [image(&format!("confusion/{}", score.name), &rgb, size)],
                )?;
            }
        }
        // 1: it came to its end.
        let ended = Message::new().int(1, 1).double(2, now());
        self.plugin("_hparams_/session_end_info", 4, &ended)
    }

    /// The settings, and by which figures runs are held against each other.
    fn settings(&mut self, config: &Config) -> Result<()> {
        let table = toml::Table::try_from(config).unwrap_or_default();
        let mut settings = Vec::new();
        for room in ["train", "model"] {
            if let Some(toml::Value::Table(table)) = table.get(room) {
                settings.extend(
                    table.iter().filter_map(|(key, value)| {
                        Some((format!("{room}.{key}"), setting(value)?))
                    }),
                );
            }
        }
        let infos = settings
            .iter()
            .fold(Message::new(), |m, (name, (_, kind))| {
                m.message(4, &Message::new().text(1, name).int(4, *kind))
            });
        let scores = ["final/macro_f1/class", "final/accuracy/class"];
        let experiment = scores.iter().fold(infos, |m, tag| {
            m.message(5, &Message::new().message(1, &Message::new().text(2, tag)))
        });
        self.plugin("_hparams_/experiment", 2, &experiment)?;
        let session = settings
            .iter()
            .fold(Message::new(), |m, (name, (value, _))| {
                m.message(1, &Message::new().text(1, name).message(2, value))
            });
        self.plugin("_hparams_/session_start_info", 3, &session.double(5, now()))
    }

    /// A message of the plugin `hparams`, its content in this field.
    fn plugin(&mut self, tag: &str, field: u32, content: &Message) -> Result<()> {
        let content = Message::new().int(1, 0).message(field, content);
        let plugin = Message::new().text(1, "hparams").message(2, &content);
        // A summary has a value; this one is an empty list of floating-point numbers.
        let shape = Message::new().message(2, &Message::new().int(1, 0));
        let empty = Message::new().int(1, 1).message(2, &shape);
        let metadata = Message::new().message(1, &plugin);
        let value = Message::new()
            .text(1, tag)
            .message(9, &metadata)
            .message(8, &empty);
        self.write(0, [value])
    }

    /// Values as an event of a step.
    fn write(&mut self, step: usize, values: impl IntoIterator<Item = Message>) -> Result<()> {
        let summary = values
            .into_iter()
            .fold(Message::new(), |m, value| m.message(1, &value));
        let event = Message::new()
            .double(1, now())
            .int(2, step as i64)
            .message(5, &summary);
        self.file.add(&event.into_bytes())
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn scalar(tag: &str, value: f64) -> Message {
    Message::new().text(1, tag).float(2, value as f32)
}

/// `[height, width]`.
fn image(tag: &str, rgb: &[u8], size: [usize; 2]) -> Message {
    let [height, width] = size.map(|side| side as i64);
    let image = Message::new().int(1, height).int(2, width).int(3, 3);
    Message::new()
        .text(1, tag)
        .message(4, &image.bytes(4, &png(rgb, size)))
}

/// A setting as a value, and the number of its type; lists and tables are none.
fn setting(value: &toml::Value) -> Option<(Message, i64)> {
    let (value, kind) = match value {
        toml::Value::String(text) => (Message::new().text(3, text), 1),
        toml::Value::Boolean(is) => (Message::new().int(4, i64::from(*is)), 2),
        toml::Value::Integer(number) => (Message::new().double(2, *number as f64), 3),
        toml::Value::Float(number) => (Message::new().double(2, *number), 3),
        _ => return None,
    };
    Some((value, kind))
}

/// A confusion as pixels, by the share of each row.
fn drawn(confusion: &ConfusionMatrix) -> (Vec<u8>, [usize; 2]) {
    let labels = confusion.num_classes();
    let side = labels * CELL;
    let mut rgb = Vec::with_capacity(3 * side * side);
    for y in 0..side {
        let row = confusion.row(y / CELL);
        let sum = row.iter().sum::<u64>().max(1) as f64;
        for x in 0..side {
            let share = row[x / CELL] as f64 / sum;
            let blend = |dark: f64| (255.0 + share * (dark - 255.0)).round() as u8;
            rgb.extend([blend(16.0), blend(64.0), blend(140.0)]);
        }
    }
    (rgb, [side, side])
}
