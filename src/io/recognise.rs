//! What a file is that was given in place of another, told by its first bytes: a name says more than "damaged".

/// A kind of file, and what is to be done with one that was given in place of a model, weights, settings or a table, and in place
/// of a photo. Empty: nothing that would help.
struct Kind {
    name: &'static str,
    as_data: &'static str,
    as_photo: &'static str,
}

/// A kind of picture or document, and how it becomes a photo.
const fn picture(name: &'static str, as_photo: &'static str) -> Kind {
    Kind {
        name,
        as_data: "",
        as_photo,
    }
}

/// What programs for other data read.
const fn data(name: &'static str, as_data: &'static str) -> Kind {
    Kind {
        name,
        as_data,
        as_photo: "",
    }
}

/// A kind with which the same is to be done whatever it was given for.
const fn any(name: &'static str, advice: &'static str) -> Kind {
    Kind {
        name,
        as_data: advice,
        as_photo: advice,
    }
}

const TO_PNG: &str = "convert it to PNG";
const TO_EITHER: &str = "convert it to PNG or JPEG";
const UNPACK: &str = "unpack it first";
const FETCH: &str = "fetch the file again";

/// Where in a file one of what stands, and what the file is then.
const MARKS: [(usize, &[&[u8]], Kind); 31] = [
    (
        0,
        &[b"version https://git-lfs"],
        any(
            "a Git-LFS pointer, not the file itself",
            "run `git lfs pull` in the repository it is from",
        ),
    ),
    (
        0,
        &[b"PK\x03\x04"],
        Kind {
            name: "a zip archive",
            as_data: "PyTorch's weights (.pth) are such, which are given as model.weights, and tables of Excel (.xlsx), which are saved as CSV first",
            as_photo: UNPACK,
        },
    ),
    (0, &[b"PK\x05\x06"], any("an empty zip archive", "")),
    (0, &[b"\x89PNG\r\n\x1a\n"], picture("a PNG photo", "")),
    (0, &[b"\xff\xd8\xff"], picture("a JPEG photo", "")),
    (0, &[b"GIF8"], picture("a GIF picture", "")),
    (
        4,
        &[b"ftypavif", b"ftypavis"],
        picture("an AVIF picture", TO_EITHER),
    ),
    (
        4,
        &[b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"],
        picture(
            "a HEIC picture, as telephones save them",
            "convert it to JPEG",
        ),
    ),
    (
        4,
        &[b"ftyp"],
        picture("a video", "take single pictures from it"),
    ),
    (
        0,
        &[b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"],
        picture("a TIFF or a camera's raw picture", TO_EITHER),
    ),
    (
        0,
        &[b"\0\0\0\x0cJXL ", b"\xff\x0a"],
        picture("a JPEG XL picture", TO_EITHER),
    ),
    (
        0,
        &[b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"],
        picture("a JPEG 2000 picture", TO_EITHER),
    ),
    (
        0,
        &[b"8BPS"],
        picture("a Photoshop document", "save it as PNG or JPEG"),
    ),
    (
        0,
        &[b"%PDF"],
        picture("a PDF document", "save its pictures as PNG or JPEG"),
    ),
    (
        0,
        &[b"\x89HDF\r\n\x1a\n"],
        data("an HDF5 file, as Keras writes them (.h5)", ""),
    ),
    (0, &[b"\x93NUMPY"], data("an array of NumPy (.npy)", "")),
    (
        0,
        &[b"GGUF"],
        data("a GGUF file, as llama.cpp reads them", ""),
    ),
    (
        0,
        &[b"PAR1"],
        data(
            "a table in Parquet",
            "data of this kind has a name that ends in .parquet",
        ),
    ),
    (
        0,
        &[b"hydrfeat"],
        data("a file of features that hydranet kept", ""),
    ),
    (0, &[b"\x1f\x8b"], any("a gzip archive", UNPACK)),
    (0, &[b"BZh"], any("a bzip2 archive", UNPACK)),
    (0, &[b"\xfd7zXZ\0"], any("an xz archive", UNPACK)),
    (0, &[b"\x28\xb5\x2f\xfd"], any("a zstd archive", UNPACK)),
    (0, &[b"7z\xbc\xaf\x27\x1c"], any("a 7z archive", UNPACK)),
    (0, &[b"Rar!\x1a\x07"], any("a rar archive", UNPACK)),
    (257, &[b"ustar"], any("a tar archive", UNPACK)),
    (0, &[b"SQLite format 3\0"], data("a SQLite database", "")),
    (0, &[b"\x7fELF"], data("a program", "")),
    (0, &[b"MZ"], data("a program of Windows", "")),
    (
        0,
        &[b"\xff\xfe", b"\xfe\xff"],
        data("text in UTF-16", "save it in UTF-8"),
    ),
    (
        0,
        &[b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"],
        data(
            "a pickle of Python",
            "PyTorch's weights (.pth) may be such, which are given as model.weights",
        ),
    ),
];

/// Bytes at the start of a file that are looked at.
const LOOKED_AT: usize = 4096;

/// What a file is, if it is plainly of a kind that hydranet takes for no model, weights, table or text of its own.
fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.is_empty() {
        return Some(any(
            "an empty file (0 bytes)",
            "was it cut off when it was fetched or copied?",
        ));
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    if start.len() > 8 && start.iter().all(|b| *b == 0) {
        return Some(any(
            "nothing but zeros where it begins",
            "was its download or copy interrupted, or the disk full?",
        ));
    }
    let at = |i: usize, what: &[u8]| start.get(i..).is_some_and(|b| b.starts_with(what));
    if let Some((.., kind)) = MARKS
        .into_iter()
        .find(|(i, marks, _)| marks.iter().any(|m| at(*i, m)))
    {
        return Some(kind);
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some(picture("a WebP picture", ""));
    }
    if at(0, b"BM") && at(6, &[0; 4]) {
        return Some(picture("a BMP", ""));
    }
    // Behind it stands the number of its pictures; of a safetensors file it is a length, and zeros follow.
    if at(0, &[0, 0, 1, 0]) && start.get(4).is_some_and(|n| *n > 0) {
        return Some(picture("an icon (ICO)", TO_PNG));
    }
    // A protobuf whose first field is a small version and whose second is the producer's name.
    if let [8, 1..=20, 0x12, length, producer @ ..] = start
        && producer.get(..usize::from(*length)).is_some_and(is_text)
    {
        return Some(data("an ONNX file", "hydranet writes such and reads none"));
    }
    of_text(start)
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| (b' '..=b'~').contains(b))
}

fn of_text(start: &[u8]) -> Option<Kind> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower: String = text.chars().take(1024).collect::<String>().to_lowercase();
    let starts = |words: &[&str]| words.iter().any(|w| lower.starts_with(w));
    if starts(&["<svg"]) || (starts(&["<?xml"]) && lower.contains("<svg")) {
        return Some(picture("an SVG drawing", TO_PNG));
    }
    if starts(&["<!doctype", "<html", "<head", "<body", "<!--"]) {
        return Some(any(
            "an HTML page, probably the error or login page of a download",
            FETCH,
        ));
    }
    if starts(&["<?xml", "<error"]) {
        return Some(any("an XML text, probably the error of a download", FETCH));
    }
    if is_json(text) {
        return Some(if text.contains("\"weight_map\"") {
            data(
                "the index of weights that are split into several files",
                "give one file that holds them all, saved with one shard in Python",
            )
        } else {
            data("a text in JSON", "")
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

fn advised(name: &str, advice: &str) -> String {
    match advice {
        "" => name.into(),
        advice => format!("{name}; {advice}"),
    }
}

/// What the bytes are if they are plainly of a kind that hydranet does not take for a model, weights or a table, in words that
/// end in what to do where something is to be done.
pub(crate) fn what_it_is(bytes: &[u8]) -> Option<String> {
    kind(bytes).map(|k| advised(k.name, k.as_data))
}

/// As [`what_it_is`], and any text besides: of files that are never text.
pub(crate) fn what_instead_of_binary(bytes: &[u8]) -> Option<String> {
    what_it_is(bytes).or_else(|| any_text(bytes))
}

/// The same of a file that should be a photo.
#[cfg(feature = "image")]
pub(crate) fn what_instead_of_photo(bytes: &[u8]) -> Option<String> {
    kind(bytes)
        .map(|k| advised(k.name, k.as_photo))
        .or_else(|| any_text(bytes))
}

fn any_text(bytes: &[u8]) -> Option<String> {
    // The first bytes of any file may look like letters.
    if bytes.len() < 4 {
        return None;
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
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
