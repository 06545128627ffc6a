//! A tensor of the Open Inference Protocol that holds photos: pixels as `UINT8`, or encoded photos as `BYTES`, in JSON or, by the
//! extension "binary tensor data", as bytes after it.

use super::failure::{Failure, Kind};
use crate::input::{Photo, PhotoSource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// A tensor as it comes.
#[derive(Deserialize)]
pub(super) struct Tensor {
    pub name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<u64>,
}

/// Values in JSON, in one row however they are nested.
#[derive(Default)]
struct Data {
    numbers: Vec<u8>,
    texts: Vec<String>,
}

/// The most texts of a tensor: each takes more memory than it has bytes.
const TEXTS: usize = 1 << 16;

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        Taken(&mut data).deserialize(from)?;
        Ok(data)
    }
}

/// Where values go.
struct Taken<'a>(&'a mut Data);

impl<'de> DeserializeSeed<'de> for Taken<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Taken<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("integers from 0 to 255, or texts, in lists")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let wrong = |_| E::custom(format!("{value} is no integer from 0 to 255"));
        self.0.numbers.push(u8::try_from(value).map_err(wrong)?);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        if self.0.texts.len() == TEXTS {
            return Err(E::custom(format!("more than {TEXTS} texts")));
        }
        self.0.texts.push(value.into());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Taken(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

impl Tensor {
    /// The photos in it; `binary` is what follows the JSON, of which its own is taken off.
    pub(super) fn photos(
        self,
        binary: &mut &[u8],
        most_pixels: u64,
    ) -> Result<Vec<PhotoSource>, Failure> {
        let name = &self.name;
        let bytes = match self.parameters.binary_data_size {
            None => None,
            Some(_) if self.data.is_some() => {
                let words = format!("input `{name}` has both data and binary_data_size");
                return Err(Failure::request(words));
            }
            Some(size) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let Some((own, rest)) = binary.split_at_checked(size) else {
                    return Err(Failure::request(format!(
                        "input `{name}` is to have {size} bytes after the JSON; there are {}",
                        binary.len()
                    )));
                };
                *binary = rest;
                Some(own)
            }
        };
        let data = self.data.unwrap_or_default();
        match self.datatype.as_str() {
            "UINT8" => {
                if !data.texts.is_empty() {
                    let words = format!("input `{name}` is UINT8, and has texts as data");
                    return Err(Failure::request(words));
                }
                pixels(
                    name,
                    &self.shape,
                    bytes.unwrap_or(&data.numbers),
                    most_pixels,
                )
            }
            "BYTES" => {
                if !data.numbers.is_empty() {
                    let words = format!("input `{name}` is BYTES, and has numbers as data");
                    return Err(Failure::request(words));
                }
                let photos = match bytes {
                    Some(bytes) => elements(name, bytes)?,
                    None => decoded(name, data.texts)?,
                };
                let count = self.shape.iter().try_fold(1u64, |n, s| n.checked_mul(*s));
                if count != Some(photos.len() as u64) {
                    return Err(Failure::request(format!(
                        "input `{name}` has the shape {:?} and {} photos",
                        self.shape,
                        photos.len()
                    )));
                }
                Ok(photos.into_iter().map(PhotoSource::from).collect())
            }
            other => Err(Failure::request(format!(
                "input `{name}` is {other}; UINT8 (pixels) or BYTES (encoded photos) is needed"
            ))),
        }
    }
}

/// Photos from pixels, `(n, height, width, 3)`.
fn pixels(name: &str, shape: &[u64], data: &[u8], most: u64) -> Result<Vec<PhotoSource>, Failure> {
    let [n, height, width, 3] = *shape else {
        let words =
            format!("input `{name}` has the shape {shape:?}; (n, height, width, 3) is needed");
        return Err(Failure::request(words));
    };
    let all = shape.iter().try_fold(1u64, |n, s| n.checked_mul(*s));
    if all != Some(data.len() as u64) || data.is_empty() {
        return Err(Failure::request(format!(
            "input `{name}` has the shape {shape:?} and {} values",
            data.len()
        )));
    }
    if height * width > most {
        let words = format!(
            "input `{name}`: {height}×{width} pixels (height × width); at most {most} pixels are taken"
        );
        return Err(Failure::new(Kind::Photo, words));
    }
    let photos = data.chunks_exact(data.len() / n as usize).map(|rgb| Photo {
        height: height as usize,
        width: width as usize,
        rgb: rgb.to_vec(),
    });
    photos
        .map(|photo| {
            let wrong = |e| Failure::new(Kind::Photo, format!("input `{name}`: {e:#}"));
            photo.validate().map_err(wrong)?;
            Ok(photo.into())
        })
        .collect()
}

/// Elements each after its length in four bytes, least first.
fn elements(name: &str, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let element = bytes.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((element, rest)) = element else {
            let words = format!(
                "input `{name}`: element {} ends before its length",
                all.len() + 1
            );
            return Err(Failure::request(words));
        };
        if all.len() == TEXTS {
            let words = format!("input `{name}` has more than {TEXTS} elements");
            return Err(Failure::request(words));
        }
        all.push(element.to_vec());
        bytes = rest;
    }
    Ok(all)
}

/// Elements from base64, as JSON holds no bytes.
fn decoded(name: &str, texts: Vec<String>) -> Result<Vec<Vec<u8>>, Failure> {
    let decoded = texts.into_iter().zip(1..).map(|(text, place)| {
        STANDARD.decode(text).map_err(|e| {
            let words = format!("input `{name}`: element {place} is no base64: {e}");
            Failure::request(words)
        })
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photos(json: &str, mut binary: &[u8]) -> Result<Vec<PhotoSource>, String> {
        let tensor: Tensor = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let photos = tensor.photos(&mut binary, 100);
        assert!(binary.is_empty() || photos.is_err());
        photos.map_err(|f| f.message)
    }

    #[test]
    fn pixels_are_taken_flat_nested_and_as_bytes() {
        let expected: PhotoSource = Photo {
            height: 1,
            width: 2,
            rgb: vec![1, 2, 3, 4, 5, 6],
        }
        .into();
        let head = r#"{"name": "x", "datatype": "UINT8", "shape": [1, 1, 2, 3]"#;
        for (data, binary) in [
            (r#""data": [1, 2, 3, 4, 5, 6]"#, &[][..]),
            (r#""data": [[[[1, 2, 3], [4, 5, 6]]]]"#, &[]),
            (
                r#""parameters": {"binary_data_size": 6}"#,
                &[1, 2, 3, 4, 5, 6],
            ),
        ] {
            let found = photos(&format!("{head}, {data}}}"), binary).unwrap();
            assert_eq!(found, std::slice::from_ref(&expected));
        }
    }

    #[test]
    fn encoded_photos_are_taken_as_base64_and_as_bytes() {
        let expected = [vec![7u8, 8], vec![9]].map(PhotoSource::from);
        let head = r#"{"name": "x", "datatype": "BYTES", "shape": [2, 1]"#;
        let found = photos(&format!(r#"{head}, "data": ["Bwg=", ["CQ=="]]}}"#), &[]);
        assert_eq!(found.unwrap(), expected);
        let binary = [2, 0, 0, 0, 7, 8, 1, 0, 0, 0, 9];
        let found = photos(
            &format!(r#"{head}, "parameters": {{"binary_data_size": 11}}}}"#),
            &binary,
        );
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_with_a_tensor_is_said() {
        let uint8 = |shape: &str, data: &str| {
            photos(
                &format!(
                    r#"{{"name": "x", "datatype": "UINT8", "shape": {shape}, "data": {data}}}"#
                ),
                &[],
            )
        };
        for (shape, data, reason) in [
            ("[1, 1, 1, 3]", "[1, 2]", "2 values"),
            ("[1, 1, 1, 3]", "[1, 2, 256]", "256 is no integer"),
            ("[1, 1, 1, 3]", "[1, 2, 2.5]", "floating point"),
            ("[1, 1, 1, 3]", "[1, 2, -1]", "integer `-1`"),
            ("[1, 1, 1, 3]", r#"["AA=="]"#, "texts"),
            ("[1, 1, 3]", "[1, 2, 3]", "(n, height, width, 3)"),
            ("[0, 1, 1, 3]", "[]", "0 values"),
            ("[4294967296, 4294967296, 4294967296, 3]", "[]", "0 values"),
            ("[1, -1, 1, 3]", "[1, 2, 3]", "-1"),
        ] {
            let error = uint8(shape, data).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let zeros = vec!["0"; 11 * 10 * 3].join(",");
        let error = uint8("[1, 11, 10, 3]", &format!("[{zeros}]")).unwrap_err();
        assert!(error.contains("at most 100 pixels"), "{error}");
        let head = r#"{"name": "x", "shape": [1]"#;
        for (rest, reason) in [
            (
                r#""datatype": "FP32", "data": [1]"#,
                "UINT8 (pixels) or BYTES",
            ),
            (r#""datatype": "BYTES", "data": [1]"#, "numbers as data"),
            (r#""datatype": "BYTES", "data": ["!"]"#, "no base64"),
            (
                r#""datatype": "BYTES", "data": ["AA==", "AA=="]"#,
                "2 photos",
            ),
            (
                r#""datatype": "BYTES", "parameters": {"binary_data_size": 9}"#,
                "there are 3",
            ),
            (
                r#""datatype": "BYTES", "parameters": {"binary_data_size": 3}"#,
                "before its length",
            ),
            (
                r#""datatype": "BYTES", "data": [], "parameters": {"binary_data_size": 3}"#,
                "both",
            ),
        ] {
            let error = photos(&format!("{head}, {rest}}}"), &[1, 2, 3]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
