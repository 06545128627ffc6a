//! Labels and final classes are two spellings of one number.

use hydranet::{Error, MAX_CLASSES, Taxonomy};
use proptest::prelude::*;

fn of(counts: &[usize]) -> Taxonomy {
    let labels = |n: usize| (0..n).map(|l| format!("l{l}")).collect::<Vec<_>>();
    let heads = counts.iter().enumerate();
    Taxonomy::new(heads.map(|(h, n)| (format!("h{h}"), labels(*n)))).unwrap()
}

fn portraits() -> Taxonomy {
    Taxonomy::new([
        ("mask", vec!["worn", "incorrect", "not_worn"]),
        ("gender", vec!["male", "female"]),
        ("age", vec!["young", "middle", "old"]),
    ])
    .unwrap()
}

#[test]
fn the_class_is_mask_6_gender_3_age() {
    let t = portraits();
    for class in 0..18 {
        let labels = t.decode(class).unwrap();
        assert_eq!(labels[0] * 6 + labels[1] * 3 + labels[2], class);
        assert_eq!(t.encode(&labels).unwrap(), class);
    }
}

#[test]
fn classes_are_named_by_their_labels_in_order() {
    let t = portraits();
    let names = t.class_names();
    assert_eq!(names.len(), t.num_classes());
    assert_eq!(names[0], "worn / male / young");
    assert_eq!(names[1], "worn / male / middle");
    assert_eq!(names[17], "not_worn / female / old");
    for (class, name) in names.iter().enumerate() {
        assert_eq!(*name, t.class_name(class).unwrap());
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), 18);
    assert_eq!(t.heads(), ["mask", "gender", "age"]);
    assert_eq!(t.labels(1), ["male", "female"]);
}

proptest! {
    #[test]
    fn encoding_and_decoding_are_inverse_for_all_classes(counts in prop::collection::vec(2usize..6, 1..6)) {
        let t = of(&counts);
        prop_assert_eq!(t.num_classes(), counts.iter().product::<usize>());
        let mut before = None;
        for class in 0..t.num_classes() {
            let labels = t.decode(class).unwrap();
            prop_assert!(labels.iter().zip(&counts).all(|(l, n)| l < n));
            prop_assert_eq!(t.encode(&labels).unwrap(), class);
            // The first head is the most significant: classes in order are label lists in order.
            prop_assert!(before.as_ref() < Some(&labels));
            before = Some(labels);
        }
        prop_assert!(t.decode(t.num_classes()).is_err());
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let t = portraits();
    for class in [18, usize::MAX] {
        for result in [t.decode(class).map(|_| ()), t.class_name(class).map(|_| ())] {
            assert!(
                matches!(result, Err(Error::OutOfRange { limit: 18, found, .. }) if found == class)
            );
        }
    }
    let e = t.encode(&[0, 2, 0]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "label of head `gender` 2 is out of range; it must be below 2"
    );
    for labels in [&[][..], &[0, 0], &[0, 0, 0, 0]] {
        let e = t.encode(labels).unwrap_err();
        assert!(matches!(e, Error::Invalid { .. }));
        assert!(e.to_string().contains("3 heads"), "{e}");
    }
}

#[test]
fn heads_that_make_no_classes_are_refused() {
    type Heads = Vec<(&'static str, Vec<&'static str>)>;
    let cases: Vec<(Heads, &[&str])> = vec![
        (vec![], &["at least one head"]),
        (vec![("a", vec![])], &["`a`", "at least two", "0"]),
        (vec![("a", vec!["x"])], &["`a`", "at least two", "1"]),
        (vec![("a", vec!["x", "x"])], &["`a`", "`x` twice"]),
        (
            vec![("a", vec!["x", "y"]), ("a", vec!["x", "y"])],
            &["heads", "`a` twice"],
        ),
    ];
    for (heads, words) in cases {
        let e = Taxonomy::new(heads.clone()).unwrap_err();
        assert!(matches!(e, Error::Invalid { .. }), "{heads:?}");
        for word in words {
            assert!(
                e.to_string().contains(word),
                "{heads:?}: no `{word}` in: {e}"
            );
        }
    }
}

#[test]
fn more_classes_than_the_limit_are_refused() {
    let heads = |n: usize| (0..n).map(|h| (format!("h{h}"), vec!["x", "y"]));
    assert_eq!(Taxonomy::new(heads(16)).unwrap().num_classes(), 1 << 16);
    // 2¹⁷ is above the limit; 2⁶⁴ is above what a number holds.
    for n in [17, 64, 100] {
        let message = Taxonomy::new(heads(n)).unwrap_err().to_string();
        assert!(message.contains(&MAX_CLASSES.to_string()), "{message}");
    }
    let exact = [10; 5];
    assert_eq!(of(&exact).num_classes(), MAX_CLASSES);
}
