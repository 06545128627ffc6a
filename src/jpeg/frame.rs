//! The frame header: size, components and their sampling (T.81, B.2.2 and A.1.1).

use crate::Error;

/// One component of the picture.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) id: u8,
    /// Sampling factors, across and down.
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Which quantisation table.
    pub(crate) table: usize,
    /// Samples of a block across and down, as decoded: 8, or fewer.
    pub(crate) size: usize,
    /// Size in samples, as decoded.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Size in blocks, without those that only fill up the last unit: what a scan of this component alone holds.
    pub(crate) blocks_across: usize,
    pub(crate) blocks_down: usize,
    /// Size in blocks with those.
    pub(crate) padded_across: usize,
    pub(crate) padded_down: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) progressive: bool,
    /// Pixels of the decoded picture across and down for each eight of those stored.
    pub(crate) block: usize,
    /// Size in pixels, as stored.
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) components: Vec<Component>,
    pub(crate) max_h: usize,
    pub(crate) max_v: usize,
    /// Units (MCUs) of a scan of all components.
    pub(crate) units_across: usize,
    pub(crate) units_down: usize,
}

/// The name of a kind of JPEG that is not decoded, for the marker of its frame.
fn unsupported(marker: u8) -> Option<&'static str> {
    Some(match marker {
        0xC3 => "a lossless JPEG",
        0xC5 | 0xC6 => "a hierarchical JPEG",
        0xC7 => "a hierarchical, lossless JPEG",
        0xC9 | 0xCA => "a JPEG with arithmetic coding",
        0xCB => "a lossless JPEG with arithmetic coding",
        0xCD..=0xCF => "a hierarchical JPEG with arithmetic coding",
        _ => return None,
    })
}

impl Frame {
    /// Reads the segment of a start-of-frame marker.
    pub(crate) fn read(marker: u8, data: &[u8]) -> Result<Self, Error> {
        if let Some(name) = unsupported(marker) {
            return Err(Error::Unsupported(name.to_owned()));
        }
        let damaged = |what: String| Error::Damaged(format!("its frame header {what}"));
        let &[precision, y1, y0, x1, x0, count, ref rest @ ..] = data else {
            return Err(damaged(format!(
                "has {} bytes, at least 6 were expected",
                data.len()
            )));
        };
        match precision {
            8 => {}
            12 => return Err(Error::Unsupported("a 12-bit JPEG".to_owned())),
            bits => {
                return Err(damaged(format!(
                    "gives {bits} bits a sample, 8 were expected"
                )));
            }
        }
        let (height, width) = (
            usize::from(y1) << 8 | usize::from(y0),
            usize::from(x1) << 8 | usize::from(x0),
        );
        if height == 0 {
            return Err(Error::Unsupported(
                "a JPEG that tells its height behind its first scan (DNL)".to_owned(),
            ));
        }
        if width == 0 {
            return Err(damaged("gives the width 0".to_owned()));
        }
        if rest.len() != 3 * usize::from(count) {
            return Err(damaged(format!(
                "has {} bytes for {count} components",
                rest.len()
            )));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::Unsupported(format!(
                "a JPEG of {count} components (1, 3 or 4 are)"
            )));
        }
        let mut components = Vec::new();
        for part in rest.chunks_exact(3) {
            let (id, h, v, table) = (
                part[0],
                usize::from(part[1] >> 4),
                usize::from(part[1] & 15),
                usize::from(part[2]),
            );
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
                return Err(damaged(format!(
                    "gives component {id} the sampling {h} x {v}, 1 to 4 were expected"
                )));
            }
            if table > 3 {
                return Err(damaged(format!(
                    "gives component {id} the quantisation table {table}, 0 to 3 were expected"
                )));
            }
            if components.iter().any(|c: &Component| c.id == id) {
                return Err(damaged(format!("names component {id} twice")));
            }
            components.push(Component {
                id,
                h,
                v,
                table,
                size: 8,
                width: 0,
                height: 0,
                blocks_across: 0,
                blocks_down: 0,
                padded_across: 0,
                padded_down: 0,
            });
        }
        let max_h = components.iter().map(|c| c.h).max().unwrap_or(1);
        let max_v = components.iter().map(|c| c.v).max().unwrap_or(1);
        let (units_across, units_down) = (width.div_ceil(8 * max_h), height.div_ceil(8 * max_v));
        for c in &mut components {
            if max_h % c.h != 0 || max_v % c.v != 0 {
                return Err(Error::Unsupported(format!(
                    "a JPEG with fractional sampling ({} x {} of {max_h} x {max_v})",
                    c.h, c.v
                )));
            }
            (c.width, c.height) = (
                (width * c.h).div_ceil(max_h),
                (height * c.v).div_ceil(max_v),
            );
            (c.blocks_across, c.blocks_down) = (c.width.div_ceil(8), c.height.div_ceil(8));
            (c.padded_across, c.padded_down) = (units_across * c.h, units_down * c.v);
        }
        Ok(Self {
            progressive: marker == 0xC2,
            block: 8,
            width,
            height,
            components,
            max_h,
            max_v,
            units_across,
            units_down,
        })
    }

    /// Bytes of one pixel of the decoded picture.
    pub(crate) fn channels(&self) -> usize {
        if self.components.len() == 1 { 1 } else { 3 }
    }
}
