//! How much smaller a JPEG is decoded than it is stored, and the part of it that is looked at.

use super::orientation::Orientation;
use super::pixels::{Photo, Region};
use crate::input::spec::InputSpec;
use hydranet_jpeg::Reduction;

/// The pixels that are left for each of the network's, across and down: with so many what resizing makes of them is as good as of
/// all (Pillow's `thumbnail` leaves as many).
const LEFT: usize = 2;

/// The greatest reduction with which all `inputs` see enough of an upright photo of `height × width`. None where one does not ask
/// for it, or where they cut different parts out.
pub(super) fn reduction(inputs: &[InputSpec], [height, width]: [usize; 2]) -> Reduction {
    let alike = inputs.windows(2).all(|two| two[0].crop == two[1].crop);
    let enough = |by: usize| {
        inputs.iter().all(|input| {
            let part = input.region(height, width);
            part.height >= LEFT * by * input.size[0] && part.width >= LEFT * by * input.size[1]
        })
    };
    if inputs.is_empty() || !alike || !inputs.iter().all(|input| input.reduce) {
        return Reduction::Whole;
    }
    let all = Reduction::ALL.into_iter().rev();
    let mut fitting = all.filter(|reduction| enough(reduction.by() as usize));
    fitting.next().unwrap_or(Reduction::Whole)
}

#[cfg(feature = "audit")]
impl InputSpec {
    /// Whether a JPEG of these sides, upright, is decoded smaller than it is.
    pub(crate) fn reduces(&self, sides: [usize; 2]) -> bool {
        reduction(std::slice::from_ref(self), sides) != Reduction::Whole
    }
}

/// The part of a reduced photo, to its nearest pixels, that is `part` of the upright photo of `whole`. The last pixels of what is
/// stored, which stand for fewer than the others, may have become the first.
pub(super) fn part(
    part: Region,
    [height, width]: [usize; 2],
    reduction: Reduction,
    orientation: Orientation,
) -> Region {
    let by = f64::from(reduction.by());
    let [rows_back, columns_back] = orientation.backwards();
    let side = |first: usize, length: usize, whole: usize, back: bool| {
        let all = reduction.side(whole as u32) as usize;
        let shift = if back {
            all as f64 - whole as f64 / by
        } else {
            0.0
        };
        let nearest = |edge: usize| ((edge as f64 / by + shift).round() as usize).min(all);
        let first_left = nearest(first).min(all - 1);
        (
            first_left,
            nearest(first + length).max(first_left + 1) - first_left,
        )
    };
    let (top, rows) = side(part.top, part.height, height, rows_back);
    let (left, columns) = side(part.left, part.width, width, columns_back);
    Region {
        top,
        left,
        height: rows,
        width: columns,
    }
}

impl Photo {
    /// Leaves only a part of it, in place.
    pub(super) fn cut(&mut self, part: Region) {
        let (pixel, row) = (self.channels(), self.width * self.channels());
        for y in 0..part.height {
            let from = (part.top + y) * row + part.left * pixel;
            let to = y * part.width * pixel;
            self.rgb.copy_within(from..from + part.width * pixel, to);
        }
        self.rgb.truncate(part.height * part.width * pixel);
        self.rgb.shrink_to_fit();
        (self.height, self.width) = (part.height, part.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(size: [usize; 2]) -> InputSpec {
        InputSpec {
            size,
            reduce: true,
            ..InputSpec::default()
        }
    }

    #[test]
    fn it_is_the_greatest_that_leaves_twice_the_input_on_both_sides() {
        let of = |input: &InputSpec, sides| reduction(std::slice::from_ref(input), sides).by();
        let spec = input([224, 176]);
        for (sides, by) in [
            ([3584, 2816], 8),
            ([3583, 2816], 4),
            ([3584, 2815], 4),
            ([1792, 1408], 4),
            ([896, 9000], 2),
            ([895, 9000], 1),
            ([100, 100], 1),
        ] {
            assert_eq!(of(&spec, sides), by, "{sides:?}");
        }
        // Of the crop, not of the photo; the middle that crop_pct leaves.
        let crop = Some([1000, 800]);
        assert_eq!(
            of(
                &InputSpec {
                    crop,
                    ..spec.clone()
                },
                [4000, 3000]
            ),
            2
        );
        let square = input([100, 100]);
        assert_eq!(of(&square, [1600, 1600]), 8);
        let crop_pct = Some(0.9);
        assert_eq!(
            of(
                &InputSpec {
                    crop_pct,
                    ..square.clone()
                },
                [1600, 1600]
            ),
            4
        );
        // For several the least; none where one does not ask for it or sees another part.
        let of = |inputs: &[InputSpec]| reduction(inputs, [1600, 1600]).by();
        assert_eq!(of(&[square.clone(), input([200, 200])]), 4);
        let whole = InputSpec {
            reduce: false,
            ..square.clone()
        };
        assert_eq!(of(&[square.clone(), whole]), 1);
        let other = InputSpec {
            crop,
            ..square.clone()
        };
        assert_eq!(of(&[square, other.clone()]), 1);
        assert_eq!(of(&[other.clone(), other]), 4);
        assert_eq!(of(&[]), 1);
    }

    #[test]
    fn a_part_of_the_photo_is_that_part_of_the_smaller_one_whichever_way_it_is_turned() {
        let sides = [8003, 6001];
        let region = |top, left, height, width| Region {
            top,
            left,
            height,
            width,
        };
        let looked = region(1000, 2000, 6400, 3200);
        let upright = part(looked, sides, Reduction::Eighth, Orientation::UPRIGHT);
        assert_eq!(upright, region(125, 250, 800, 400));
        // Upside down its last row stands for three rows and its last column for one: 5/8 and 7/8 of a pixel more in front.
        let exif = |value: u8| {
            [
                b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0",
                &[value][..],
                &[0; 6],
            ]
            .concat()
        };
        let turned = Orientation::of_exif(&exif(3));
        let back = part(looked, sides, Reduction::Eighth, turned);
        assert_eq!(back, region(126, 251, 800, 400));
        // Turned to the right: stored rows are columns, from the right.
        let turned = Orientation::of_exif(&exif(6));
        let right = part(looked, sides, Reduction::Eighth, turned);
        assert_eq!(right, region(125, 251, 800, 400));
    }
}
