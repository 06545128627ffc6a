//! What a file is that was given in place of another, told by its first bytes: a name says more than "damaged".

/// What a file of some other kind begins with, and what it is then.
const BEGINNINGS: [(&[u8], &str); 26] = [
    (b"version https://git-lfs", LFS),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG photo"),
    (b"\xff\xd8\xff", "a JPEG photo"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as Keras writes them (.h5)",
    ),
    (b"\x93NUMPY", "an array of NumPy (.npy)"),
    (b"GGUF", "a GGUF file, as llama.cpp reads them"),
    (b"hydrfeat", "a file of features that hydranet kept"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a rar archive; unpack it first"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program of Windows"),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
];

const LFS: &str =
    "a Git-LFS pointer, not the file itself; run `git lfs pull` in the repository it is from";
const ZIP: &str = "a zip archive; PyTorch's weights (.pth) are such, which are given as model.weights, and tables of Excel (.xlsx), which are saved as CSV first";
const PICKLE: &str =
    "a pickle of Python; PyTorch's weights (.pth) may be such, which are given as model.weights";
const UTF16: &str = "text in UTF-16; save it in UTF-8";
const PARTS: &str = "the index of weights that are split into several files; give one file that holds them all, saved with one shard in Python";
const HTML: &str =
    "an HTML page, probably the error or login page of a download; fetch the file again";

/// Bytes at the start of a file that are looked at.
const LOOKED_AT: usize = 4096;

/// What the bytes are if they are plainly of a kind that hydranet does not take for a model, weights or a table, in words that end in what
/// to do where something is to be done.
pub(crate) fn what_it_is(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some(
            "an empty file (0 bytes); was it cut off when it was fetched or copied?".into(),
        );
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    if start.len() > 8 && start.iter().all(|b| *b == 0) {
        return Some("nothing but zeros where it begins; was its download or copy interrupted, or the disk full?".into());
    }
    let known = |(beginning, what): &(&[u8], &str)| {
        start.starts_with(beginning).then(|| (*what).to_string())
    };
    if let Some(what) = BEGINNINGS.iter().find_map(known) {
        return Some(what);
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some("a tar archive; unpack it first".into());
    }
    if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
        return Some("a WebP photo".into());
    }
    // A protobuf whose first field is a small version and whose second is the producer's name.
    if let [8, 1..=20, 0x12, length, producer @ ..] = start
        && producer.get(..usize::from(*length)).is_some_and(is_text)
    {
        return Some("an ONNX file; hydranet writes such and reads none".into());
    }
    of_text(start)
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| (b' '..=b'~').contains(b))
}

fn of_text(start: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower: String = text.chars().take(64).collect::<String>().to_lowercase();
    let starts = |words: &[&str]| words.iter().any(|w| lower.starts_with(w));
    if starts(&["<!doctype", "<html", "<head", "<body", "<!--"]) {
        return Some(HTML.into());
    }
    if starts(&["<?xml", "<error"]) {
        return Some("an XML text, probably the error of a download; fetch the file again".into());
    }
    if is_json(text) {
        return Some(if text.contains("\"weight_map\"") {
            PARTS.into()
        } else {
            "a text in JSON".into()
        });
    }
    None
}

/// Whether a text begins as JSON does, and neither as TOML nor as a table.
fn is_json(text: &str) -> bool {
    let after = |open: char| text.strip_prefix(open).map(str::trim_start);
    after('{').is_some_and(|t| t.starts_with(['"', '}']))
        || after('[').is_some_and(|t| t.starts_with('{'))
}

/// As [`what_it_is`], and any text besides: of files that are never text.
pub(crate) fn what_instead_of_binary(bytes: &[u8]) -> Option<String> {
    what_it_is(bytes).or_else(|| {
        let start = &bytes[..bytes.len().min(LOOKED_AT)];
        if start.len() <= 8 {
            return None; // Not even the length that a safetensors file begins with.
        }
        // A character may be cut in two at the end of what is looked at.
        let whole = match std::str::from_utf8(start) {
            Ok(text) => text,
            Err(e) if e.error_len().is_none() => {
                std::str::from_utf8(&start[..e.valid_up_to()]).unwrap_or("\0")
            }
            Err(_) => "\0",
        };
        let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        let line = whole.lines().find(|l| !l.trim().is_empty())?;
        let begins: String = line.trim().chars().take(40).collect();
        whole
            .chars()
            .all(plain)
            .then(|| format!("a text that begins with `{begins}`"))
    })
}

/// What to say of bytes that are not JSON.
pub(crate) fn not_json(bytes: &[u8], error: &serde_json::Error) -> String {
    match what_it_is(bytes) {
        Some(what) => format!("expected JSON, found {what} ({error})"),
        None => format!("not JSON: {error}"),
    }
}

/// What to say of a text that is not TOML or not the TOML that it should be.
#[cfg(feature = "train")]
pub(crate) fn not_toml(text: &str, error: &toml::de::Error) -> String {
    match what_it_is(text.as_bytes()) {
        Some(what) => format!("expected TOML, found {what}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_settings_and_weights_are_taken_for_nothing_else() {
        for own in [
            "path,mask,age\na.jpg,worn,30\n",
            "\u{feff}path;mask\n",
            "name = \"age\"\nlabels = [\"a\"]\n",
            "[train]\nepochs = 3\n",
            "[\"train\"]\nepochs = 3\n",
            "[[train.mix]]\n",
            "# a comment\n",
            "80\n",
        ] {
            assert_eq!(what_it_is(own.as_bytes()), None, "{own}");
        }
        let safetensors = b"\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}";
        assert_eq!(what_instead_of_binary(safetensors), None);
        assert_eq!(what_instead_of_binary(b"\x00\x01\x02\x03\xff"), None);
    }
}
