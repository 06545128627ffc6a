//! SHA-256 as a value: in memory 32 bytes, in files hexadecimal.

use crate::error::Result;
use crate::model::OWN_STAGES;
use crate::model_file::Tensors;
use crate::model_file::activations::is_of_activations;
use crate::tensors::hash::hexadecimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of the names, shapes and values of the tensors `backbone.…`, of what it computes in eight bits with, and of the stages that
    /// some heads have for themselves.
    pub(crate) fn of_network(tensors: &Tensors, owners: &[&str]) -> Result<Self> {
        let own = owners
            .iter()
            .map(|head| format!("heads.{head}.{OWN_STAGES}."));
        let prefixes: Vec<String> = own.chain(["backbone.".into()]).collect();
        let of_network = |name: &str| {
            is_of_activations(name) || prefixes.iter().any(|p| name.starts_with(p.as_str()))
        };
        let mut hash = Sha256::new();
        for (name, tensor) in tensors.iter().filter(|(n, _)| of_network(n)) {
            hash.update(format!("{name:?} {:?}\n", tensor.dims()));
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(&bytes);
        }
        Ok(Self(hash.finalize().into()))
    }

    /// A number of it, to key draws by.
    pub(crate) fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fail = || serde::de::Error::custom("a SHA-256 in hexadecimal is needed");
        if text.len() != 64 || !text.is_ascii() {
            return Err(fail());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| fail())?;
        }
        Ok(Self(bytes))
    }
}
