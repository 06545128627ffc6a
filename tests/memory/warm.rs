//! A warm predictor keeps what it has: no call leaves more memory behind than the one before it, and threads get what one gets.

use crate::common::tiny;
use crate::{ALLOCATOR, alone};
use hydranet::{Average, Ensemble, Photo, Prediction, Predictor, Views};
use stats_alloc::Region;

fn photo(seed: usize) -> Photo {
    let pixel = |i: usize| (i.wrapping_mul(2_654_435_761 + seed) >> 7) as u8;
    Photo {
        height: 60,
        width: 45,
        rgb: (0..60 * 45 * 3).map(pixel).collect(),
    }
}

/// Bytes that are held after `calls` of `call` and were not before.
fn kept(calls: usize, call: &(dyn Fn() + Sync)) -> isize {
    let region = Region::new(ALLOCATOR);
    (0..calls).for_each(|_| call());
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

#[test]
fn warm_calls_keep_nothing_and_agree_from_four_threads() {
    let _alone = alone();
    let predictor = Predictor::new(&tiny::model()).unwrap();
    let views = Views {
        flip: true,
        five_crops: None,
    };
    let members = [1, 2].map(|seed| Predictor::new(&tiny::build(seed)).unwrap());
    let ensemble = Ensemble::new(members.into(), Average::Probability, views).unwrap();
    let photos: Vec<Photo> = (0..5).map(photo).collect();
    let images = tiny::images();
    let single = || drop(predictor.predict_photo(&photos[0]).unwrap());
    let batch = || drop(predictor.predict_photos(&photos).unwrap());
    let tensor = || drop(predictor.predict_tensor(&images).unwrap());
    let several = || drop(ensemble.predict_photo(&photos[1]).unwrap());
    let calls: [(&str, &(dyn Fn() + Sync)); 4] = [
        ("single", &single),
        ("batch", &batch),
        ("tensor", &tensor),
        ("ensemble", &several),
    ];
    // With one worker it is always the same buffers that are asked for; with more, how many are in use at once is up to the
    // scheduler.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one = one.unwrap();
    for (name, call) in calls {
        one.install(|| {
            kept(3, call);
            let found = [kept(20, call), kept(20, call)];
            assert_eq!(found, [0, 0], "{name}: bytes kept by 20 warm calls");
        });
    }

    let expected: Vec<Prediction> = predictor.predict_photos(&photos).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (predictor, photos, expected) = (&predictor, &photos, &expected);
            scope.spawn(move || {
                for i in 0..50 {
                    let at = (thread + i) % photos.len();
                    let found = predictor.predict_photo(&photos[at]).unwrap();
                    assert_eq!(found, expected[at], "thread {thread}, call {i}");
                }
            });
        }
    });
}
