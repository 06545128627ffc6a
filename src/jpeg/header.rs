//! All that stands before the first scan, and tables between scans.

use crate::Error;
use crate::colour::Space;
use crate::frame::Frame;
use crate::huffman::Spec;
use crate::markers::{self, Markers};
use crate::reduction::Reduction;

/// What a JPEG's header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'a> {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// How many components are stored: 1 (grey), 3 (colour) or 4 (CMYK).
    pub components: u8,
    /// Whether the picture is stored in steps of growing detail.
    pub progressive: bool,
    /// The first EXIF block, beginning with its byte-order mark, not interpreted.
    pub exif: Option<&'a [u8]>,
    /// Bytes that decoding takes at each of [`Reduction::ALL`].
    memory: [u64; 4],
}

/// Reads the header: everything up to the first scan. Takes no memory in proportion to the size that the header gives.
///
/// # Errors
///
/// A kind of JPEG that is not supported, or a header that is damaged or not whole.
pub fn read_header(bytes: &[u8]) -> Result<Header<'_>, Error> {
    let mut markers = Markers::new(bytes)?;
    let mut state = State::default();
    state.advance(&mut markers)?;
    let frame = state.frame()?;
    Ok(Header {
        width: frame.width as u32,
        height: frame.height as u32,
        components: frame.components.len() as u8,
        progressive: frame.progressive,
        exif: state.exif,
        memory: Reduction::ALL
            .map(|reduction| needed(frame.clone().reduced(reduction), bytes.len())),
    })
}

/// The most bytes that [`decode_reduced`](crate::decode_reduced) takes for the picture, the picture itself included and the file
/// not.
pub fn memory(header: &Header<'_>, reduction: Reduction) -> u64 {
    header.memory[reduction as usize]
}

fn needed(frame: Frame, file: usize) -> u64 {
    let [width, height] = frame.decoded().map(|side| side as u64);
    let pixels = width * height * frame.channels() as u64;
    // One byte a sample; two a coefficient where all are kept until the last scan.
    let kept = if frame.progressive { 2 * 64 } else { 0 };
    let blocks = frame.components.iter().map(|c| {
        let block = (c.size * c.size) as u64 + kept;
        c.padded_across as u64 * c.padded_down as u64 * block
    });
    // A few rows and tables, and the coded data without their stuffing.
    let rows = 32 * (frame.width as u64 + 64) + (1 << 17);
    pixels + blocks.sum::<u64>() + rows + file as u64
}

/// What has been read so far.
#[derive(Default)]
pub(crate) struct State<'a> {
    pub(crate) frame: Option<Frame>,
    pub(crate) quant: [Option<[u16; 64]>; 4],
    pub(crate) dc: [Option<Spec>; 4],
    pub(crate) ac: [Option<Spec>; 4],
    /// Units between restart markers; 0 for none.
    pub(crate) restart: usize,
    pub(crate) exif: Option<&'a [u8]>,
    jfif: bool,
    adobe: Option<u8>,
}

impl<'a> State<'a> {
    pub(crate) fn frame(&self) -> Result<&Frame, Error> {
        self.frame.as_ref().ok_or_else(|| {
            Error::Damaged("it has no frame header before its first scan".to_owned())
        })
    }

    /// The meaning of the components, as libjpeg's `default_decompress_parms` decides.
    pub(crate) fn space(&self) -> Result<Space, Error> {
        let frame = self.frame()?;
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        Ok(match (ids.as_slice(), self.adobe) {
            ([_], _) => Space::Grey,
            ([_, _, _, _], None | Some(0)) => Space::Cmyk,
            ([_, _, _, _], _) => Space::Ycck,
            (_, Some(0)) if !self.jfif => Space::Rgb,
            (b"RGB", None) if !self.jfif => Space::Rgb,
            _ => Space::Ycc,
        })
    }

    /// Reads segments up to the next scan (true) or the end of the picture (false), and stands behind that marker.
    pub(crate) fn advance(&mut self, markers: &mut Markers<'a>) -> Result<bool, Error> {
        // Programs that write a wrong length for their own data, or for a comment, harm nothing else.
        let mut junk = false;
        loop {
            let marker = markers.marker(junk)?;
            match marker {
                markers::SOS => return self.frame().map(|_| true),
                markers::EOI => return self.frame().map(|_| false),
                markers::SOI => {
                    return Err(Error::Damaged(format!(
                        "a second picture begins at byte {}",
                        markers.pos
                    )));
                }
                // A marker without contents and without meaning here.
                0x01 => continue,
                marker if markers::is_restart(marker) => {
                    return Err(Error::Damaged(format!(
                        "a restart marker outside of a scan, at byte {}",
                        markers.pos
                    )));
                }
                0x02..=0xBF => {
                    return Err(Error::Damaged(format!(
                        "an unknown marker FF {marker:02X} at byte {}",
                        markers.pos
                    )));
                }
                _ => {}
            }
            let data = markers.payload(marker)?;
            junk = matches!(marker, markers::APP0..=markers::APP15 | markers::COM);
            match marker {
                markers::DHT => self.huffman(data)?,
                markers::DQT => self.quantisation(data)?,
                markers::DRI => {
                    let &[high, low] = data else {
                        return Err(Error::Damaged(format!(
                            "its restart interval has {} bytes, 2 were expected",
                            data.len()
                        )));
                    };
                    self.restart = usize::from(high) << 8 | usize::from(low);
                }
                markers::DAC => {
                    return Err(Error::Unsupported(
                        "a JPEG with arithmetic coding".to_owned(),
                    ));
                }
                markers::DHP | markers::EXP => {
                    return Err(Error::Unsupported("a hierarchical JPEG".to_owned()));
                }
                markers::DNL => {
                    return Err(Error::Unsupported(
                        "a JPEG that tells its height behind its first scan (DNL)".to_owned(),
                    ));
                }
                0xC0..=0xCF => {
                    if self.frame.is_some() {
                        return Err(Error::Damaged(format!(
                            "a second frame header before byte {}",
                            markers.pos
                        )));
                    }
                    self.frame = Some(Frame::read(marker, data)?);
                }
                markers::APP0 => self.jfif |= data.len() >= 14 && data.starts_with(b"JFIF\0"),
                markers::APP1 if self.exif.is_none() => {
                    self.exif = data.strip_prefix(b"Exif\0\0");
                }
                markers::APP14 if data.len() >= 12 && data.starts_with(b"Adobe") => {
                    self.adobe = Some(data[11]);
                }
                // Other applications' data, comments and what T.81 keeps for extensions.
                _ => {}
            }
        }
    }

    /// Huffman tables (T.81, B.2.4.2).
    fn huffman(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while let Some((&place, rest)) = data.split_first() {
            let (class, number) = (place >> 4, usize::from(place & 15));
            if class > 1 || number > 3 {
                return Err(Error::Damaged(format!(
                    "a Huffman table of class {class} and number {number}"
                )));
            }
            let (spec, rest) = Spec::read(rest)?;
            if class == 0 {
                self.dc[number] = Some(spec);
            } else {
                self.ac[number] = Some(spec);
            }
            data = rest;
        }
        Ok(())
    }

    /// Quantisation tables, kept in zigzag order (T.81, B.2.4.1).
    fn quantisation(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while let Some((&place, rest)) = data.split_first() {
            let (wide, number) = (place >> 4, usize::from(place & 15));
            if wide > 1 || number > 3 {
                return Err(Error::Damaged(format!(
                    "a quantisation table of precision {wide} and number {number}"
                )));
            }
            let bytes = 64 << wide;
            let Some((values, rest)) = rest.split_at_checked(bytes) else {
                return Err(Error::Damaged(format!(
                    "a quantisation table of {} bytes, {bytes} were expected",
                    rest.len()
                )));
            };
            let mut table = [0u16; 64];
            for (i, out) in table.iter_mut().enumerate() {
                *out = if wide == 0 {
                    u16::from(values[i])
                } else {
                    u16::from_be_bytes([values[2 * i], values[2 * i + 1]])
                };
            }
            if table.contains(&0) {
                return Err(Error::Damaged(format!(
                    "the quantisation table {number} has a step of 0"
                )));
            }
            self.quant[number] = Some(table);
            data = rest;
        }
        Ok(())
    }
}
