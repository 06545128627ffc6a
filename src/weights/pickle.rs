//! PyTorch's files, `.pth`, `.pt`, `.bin`: both the archive of today and the one before PyTorch 1.6.
//!
//! candle's reader turns the pickle into plain values; what the pickle would call is looked at by name and never called. Only the
//! calls that rebuild a tensor mean something here; of everything else, settings, optimiser, counters, nothing is used.

use super::guard::unpickle;
use super::storage::{self, Budget, Stored};
use crate::tensors::Tensors;
use candle_core::pickle::Object;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// What goes before an archive of PyTorch before 1.6: a pickle of its magic number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Where training programs keep their weights beside other things, the ones they would deploy first: means over the training's
/// steps, then the last step's.
const STATES: [&str; 14] = [
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "teacher",
    "network",
    "net",
    "weights",
];

/// Whether the bytes begin as PyTorch's files do.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    // A safetensors file begins with the length of its header in eight bytes, which is below 2^32 for certain.
    let long = bytes.get(4..8).is_some_and(|b| b != [0; 4]);
    long && (bytes.starts_with(b"PK\x03\x04") || bytes[0] == 0x80)
}

/// The floating-point tensors of a file, as `f32`.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn read(bytes: &[u8]) -> Result<Tensors, String> {
    match bytes.strip_prefix(LEGACY) {
        Some(rest) => read_legacy(rest),
        None if bytes.starts_with(b"PK") => read_archive(bytes),
        None => Err("a pickle, but not one that torch.save wrote".into()),
    }
}

fn read_archive(bytes: &[u8]) -> Result<Tensors, String> {
    let broken = |e: zip::result::ZipError| {
        format!(
            "not a whole zip archive of {} bytes ({e}); is it cut off?",
            bytes.len()
        )
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|n| n.ok().map(|n| n.into_owned()))
        .collect();
    let folder = names.iter().find_map(|n| n.strip_suffix("data.pkl"));
    let Some(folder) = folder.filter(|f| f.is_empty() || f.ends_with('/')) else {
        return Err("a zip archive, but not one of PyTorch's: it has no data.pkl".into());
    };
    if names.contains(&format!("{folder}constants.pkl")) {
        return Err(
            "a TorchScript program; in Python: torch.save(torch.jit.load(…).state_dict(), …)"
                .into(),
        );
    }
    let mut unpacked = 4 * bytes.len() as u64 + (16 << 20);
    let mut entry = |name: &str| -> Result<Vec<u8>, String> {
        let file = archive.by_name(&format!("{folder}{name}"));
        let mut file = file.map_err(|e| format!("its part {name} cannot be read: {e}"))?;
        let mut data = Vec::new();
        // What a part says of its own size is not believed.
        file.by_ref()
            .take(unpacked)
            .read_to_end(&mut data)
            .map_err(|e| format!("its part {name} cannot be read: {e}"))?;
        unpacked -= data.len() as u64;
        match unpacked {
            0 => Err(format!(
                "its parts unpack to far more than its {} bytes; torch.save does not write such files",
                bytes.len()
            )),
            _ => Ok(data),
        }
    };
    if entry("byteorder").is_ok_and(|order| order != b"little") {
        return Err("its numbers are big-endian; save it again on a usual machine".into());
    }
    let object = unpickle(&mut entry("data.pkl")?.as_slice())?;
    let mut tensors = Tensors::new();
    let mut budget = Budget::of(bytes.len());
    for (key, stored) in by_storage(state(&object)?) {
        let data = entry(&format!("data/{key}"))?;
        storage::read_into(&mut tensors, &mut budget, &data, stored)?;
    }
    Ok(tensors)
}

/// Five pickles: the magic number (gone already), the version, the machine's sizes, the object, the storages' keys; then the
/// storages, each after its number of elements.
fn read_legacy(mut bytes: &[u8]) -> Result<Tensors, String> {
    let version = unpickle(&mut bytes)?;
    let machine = unpickle(&mut bytes)?;
    let little = entry(&machine, "little_endian") == Some(&Object::Bool(true));
    if version != Object::Int(1001) || !little {
        return Err("an archive of PyTorch of an unknown version or byte order".into());
    }
    let object = unpickle(&mut bytes)?;
    let Object::List(keys) = unpickle(&mut bytes)? else {
        return Err("a PyTorch file without a list of its parts; is it cut off?".into());
    };
    let mut sizes = BTreeMap::new();
    storage::element_sizes(&object, &mut sizes);
    let mut stored = by_storage(state(&object)?);
    let mut tensors = Tensors::new();
    let mut budget = Budget::of(bytes.len());
    for key in keys {
        let cut = || format!("it ends before its part {key:?}; is it cut off?");
        let Object::Unicode(key) = &key else {
            return Err(cut());
        };
        let size = sizes.get(key).copied().ok_or_else(cut)?;
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*count))
            .ok()
            .and_then(|n| n.checked_mul(size))
            .ok_or_else(cut)?;
        let (data, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        bytes = rest;
        if let Some(stored) = stored.remove(key) {
            storage::read_into(&mut tensors, &mut budget, data, stored)?;
        }
    }
    match stored.keys().next() {
        None => Ok(tensors),
        Some(key) => Err(format!("it has no part `{key}`; is it cut off?")),
    }
}

/// The value of a key that is text.
fn entry<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    let Object::Dict(entries) = object else {
        return None;
    };
    let of_key = |(k, _): &&(Object, Object)| matches!(k, Object::Unicode(k) if k == key);
    entries.iter().find(of_key).map(|(_, value)| value)
}

/// The tensors of a file's state: of the object itself, or of the part of it that holds them.
fn state(object: &Object) -> Result<Vec<(String, Stored)>, String> {
    if let Some(found) = find_state(object, 4)? {
        return Ok(found);
    }
    Err(match object {
        Object::Dict(entries) => {
            let keys = entries.iter().filter_map(|(k, _)| match k {
                Object::Unicode(k) => Some(k.as_str()),
                _ => None,
            });
            let mut keys: Vec<&str> = keys.collect();
            keys.sort_unstable();
            keys.truncate(12);
            format!(
                "it holds no tensors by name; its parts are: {}; expected weights by name, or such under state_dict or model",
                keys.join(", ")
            )
        }
        _ => {
            "it holds no tensors by name, perhaps a whole module; in Python: torch.save(model.state_dict(), …)"
                .into()
        }
    })
}

fn find_state(object: &Object, depth: usize) -> Result<Option<Vec<(String, Stored)>>, String> {
    let Object::Dict(entries) = object else {
        return Ok(None);
    };
    if depth > 0 {
        for key in STATES {
            if let Some(part) = entry(object, key)
                && let Some(found) = find_state(part, depth - 1)?
            {
                return Ok(Some(found));
            }
        }
    }
    let mut found = Vec::new();
    for (name, value) in entries {
        if let Object::Unicode(name) = name
            && let Some(stored) = Stored::of(value)
        {
            found.push((name.clone(), stored.map_err(|e| format!("`{name}`: {e}"))?));
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

/// Floating-point tensors by their storage's key: each storage is read once.
fn by_storage(stored: Vec<(String, Stored)>) -> BTreeMap<String, Vec<(String, Stored)>> {
    let mut by_key: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, s) in stored.into_iter().filter(|(_, s)| s.is_float()) {
        by_key.entry(s.key.clone()).or_default().push((name, s));
    }
    by_key
}
