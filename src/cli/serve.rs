//! `hydranet serve`.

use super::terminal::note;
use super::views::ViewArgs;
use crate::serve::{Settings, run};
use crate::{Error, Result};
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `hydranet serve`.
#[derive(Args)]
#[command(
    after_help = "SIGTERM finishes what is under way; SIGHUP, or a changed file, loads the models anew: `hydranet guide serving`."
)]
pub(crate) struct Serve {
    /// A model file or the manifest of an ensemble, by the name that requests give it [default: the file's own, without its
    /// ending]. May be given several times; the first answers where none is named.
    #[arg(long = "model", required = true, value_name = "[NAME=]FILE")]
    models: Vec<String>,
    #[command(flatten)]
    views: ViewArgs,
    /// Address and port; 0.0.0.0:8080 is open to other machines, port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Photos that are predicted at once.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_batch_size: u16,
    /// How long a photo waits, at most, for those of other connections to be predicted with.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    max_queue_delay_microseconds: u32,
    /// Photos that may wait for a model; more are answered with 429 at once.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_queue_size: u32,
    /// The most bytes of a request's body.
    #[arg(long, default_value_t = 32 << 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    max_body_bytes: u32,
    /// The most pixels of a photo.
    #[arg(long, default_value_t = 50_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
    /// Seconds in which a request's head must have arrived, those in which its body must, and those in which some of an answer must
    /// have been taken.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3600))]
    read_timeout_seconds: u16,
    /// Connections at once; more wait until one ends.
    #[arg(long, default_value_t = 2048, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_connections: u16,
}

impl Serve {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        run(Settings {
            models: self
                .models
                .iter()
                .map(|m| named(m))
                .collect::<Result<_>>()?,
            views: self.views.views(),
            listen: self.listen,
            max_batch_size: self.max_batch_size.into(),
            max_queue_delay: Duration::from_micros(self.max_queue_delay_microseconds.into()),
            max_queue_size: self.max_queue_size as usize,
            max_body: self.max_body_bytes as usize,
            max_pixels: self.max_pixels,
            read_timeout: Duration::from_secs(self.read_timeout_seconds.into()),
            max_connections: self.max_connections.into(),
            log: note,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A model's name and file. What has `=` in it and is a file as it stands is a file.
fn named(text: &str) -> Result<(String, PathBuf)> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if !Path::new(text).exists() => (name.to_string(), PathBuf::from(path)),
        _ => {
            let path = PathBuf::from(text);
            let stem = path.file_stem().unwrap_or_default();
            (stem.to_string_lossy().into_owned(), path)
        }
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Error::Invalid {
            what: format!("the name of the model in --model {text}"),
            expected: "letters, digits, `.`, `_` and `-`, as in NAME=FILE".into(),
            found: format!("`{name}`"),
        });
    }
    Ok((name, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_given_name_or_that_of_its_file() {
        let of = |text| named(text).map(|(name, path)| (name, path.display().to_string()));
        assert_eq!(
            of("runs/best.safetensors").unwrap(),
            ("best".into(), "runs/best.safetensors".into())
        );
        assert_eq!(
            of("a=b/c=d.safetensors").unwrap(),
            ("a".into(), "b/c=d.safetensors".into())
        );
        for wrong in ["=x", "a/b=x", "a b.safetensors", ""] {
            assert!(
                of(wrong).unwrap_err().to_string().contains("NAME=FILE"),
                "{wrong}"
            );
        }
    }
}
