//! Labels and final classes are two spellings of one number.

use hydranet::{Error, Labels, MAX_CLASSES, Taxonomy};
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
        let labels: Vec<usize> = t.decode(class).unwrap().into_iter().flatten().collect();
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
            let labels: Vec<usize> = t.decode(class).unwrap().into_iter().flatten().collect();
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

fn labels(pairs: &[(&str, &[&str])]) -> Labels {
    let owned = |l: &&[&str]| l.iter().map(ToString::to_string).collect();
    pairs
        .iter()
        .map(|(head, l)| (head.to_string(), owned(l)))
        .collect()
}

/// mask; its kind, if worn or incorrect; whether the nose shows, if incorrect and of cloth.
fn tree() -> Taxonomy {
    let t = Taxonomy::new([
        ("mask", vec!["worn", "incorrect", "not_worn"]),
        ("kind", vec!["cloth", "surgical"]),
        ("nose", vec!["out", "tip"]),
    ]);
    let when = [
        Labels::new(),
        labels(&[("mask", &["worn", "incorrect"])]),
        labels(&[("mask", &["incorrect"]), ("kind", &["cloth"])]),
    ];
    t.unwrap().with_tree(&when, &[]).unwrap()
}

#[test]
fn the_classes_of_a_tree_are_its_leaves() {
    let t = tree();
    assert_eq!(
        t.class_names(),
        [
            "worn / cloth",
            "worn / surgical",
            "incorrect / cloth / out",
            "incorrect / cloth / tip",
            "incorrect / surgical",
            "not_worn",
        ]
    );
    for class in 0..6 {
        let leaf = t.decode(class).unwrap();
        assert_eq!(t.class_of(&leaf), Some(class));
        // Labels of heads that do not apply are ignored.
        let filled: Vec<usize> = leaf.iter().map(|l| l.unwrap_or(1)).collect();
        assert_eq!(t.encode(&filled).unwrap(), class);
    }
    assert!(t.decode(6).is_err());
    let applies = |l: &[Option<usize>]| t.applies(l);
    assert_eq!(
        applies(&[Some(2), None, None]),
        [Some(true), Some(false), Some(false)]
    );
    assert_eq!(
        applies(&[Some(0), None, Some(1)]),
        [Some(true), Some(true), Some(false)]
    );
    assert_eq!(
        applies(&[None, Some(1), None]),
        [Some(true), None, Some(false)]
    );
    assert_eq!(
        applies(&[Some(1), None, None]),
        [Some(true), Some(true), None]
    );
    // Known as far as it matters, or not.
    assert_eq!(t.class_of(&[Some(2), None, None]), Some(5));
    assert_eq!(t.class_of(&[Some(1), None, Some(0)]), None);
    assert_eq!(t.class_of(&[None, Some(0), Some(0)]), None);
}

#[test]
fn impossible_combinations_are_no_classes() {
    let t = of(&[2, 2, 2]);
    let none = vec![Labels::new(); 3];
    let entry = labels(&[("h0", &["l1"]), ("h2", &["l0"])]);
    let t = t.with_tree(&none, &[entry]).unwrap();
    assert_eq!(t.num_classes(), 6);
    assert!(t.has_impossible() && t.tree_leaves().is_some());
    assert_eq!(t.class_of(&[Some(1), Some(0), Some(0)]), None);
    assert!(!t.is_possible(&[Some(1), None, Some(0)]));
    assert!(t.is_possible(&[Some(1), Some(0), None]));
    let e = t.encode(&[1, 0, 0]).unwrap_err().to_string();
    assert!(
        e.contains("l1 / l0 / l0") && e.contains("impossible"),
        "{e}"
    );
    // Nothing declared: as it was.
    assert_eq!(of(&[2, 3]).with_tree(&none[..2], &[]).unwrap(), of(&[2, 3]));
}

#[test]
fn conditions_that_make_no_tree_are_refused() {
    let wrong = |when: Labels, impossible: Labels| {
        let when = [Labels::new(), when];
        let impossible: Vec<Labels> = [impossible].into_iter().filter(|l| !l.is_empty()).collect();
        of(&[2, 3])
            .with_tree(&when, &impossible)
            .unwrap_err()
            .to_string()
    };
    let none = Labels::new;
    for (message, words) in [
        (wrong(labels(&[("h9", &["l0"])]), none()), ["h9", "h0"]),
        (wrong(labels(&[("h0", &["l9"])]), none()), ["l9", "l0"]),
        (
            wrong(labels(&[("h0", &[])]), none()),
            ["h0", "at least one"],
        ),
        (
            wrong(labels(&[("h1", &["l0"])]), none()),
            ["h1", "before it"],
        ),
        (wrong(none(), labels(&[("h0", &["l0"])])), ["l0", "h0"]),
    ] {
        for word in words {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
}

proptest! {
    #[test]
    fn leaves_are_found_again_and_cover_what_is_possible(
        counts in prop::collection::vec(2usize..4, 2..5), parents in prop::collection::vec(0usize..20, 4), sets in prop::collection::vec(1usize..7, 4),
    ) {
        // Each head but the first applies under some labels of an earlier one.
        let name = |h: usize| format!("h{h}");
        let when: Vec<Labels> = (0..counts.len())
            .map(|h| match h {
                0 => Labels::new(),
                h => {
                    let parent = parents[h - 1] % h;
                    let of: Vec<String> = (0..counts[parent]).filter(|l| sets[h - 1] >> l & 1 == 1).map(|l| format!("l{l}")).collect();
                    if of.is_empty() { Labels::new() } else { [(name(parent), of)].into() }
                }
            })
            .collect();
        let t = of(&counts).with_tree(&when, &[]).unwrap();
        let mut before = None;
        for class in 0..t.num_classes() {
            let leaf = t.decode(class).unwrap();
            prop_assert!(before.as_ref() < Some(&leaf));
            prop_assert_eq!(t.class_of(&leaf), Some(class));
            let applies: Vec<bool> = leaf.iter().map(Option::is_some).collect();
            prop_assert_eq!(t.applies(&leaf), applies.into_iter().map(Some).collect::<Vec<_>>());
            before = Some(leaf);
        }
        // Every combination of labels falls under one leaf.
        let all: usize = counts.iter().product();
        for i in 0..all {
            let mut rest = i;
            let labels: Vec<usize> = counts.iter().map(|n| { let l = rest % n; rest /= n; l }).collect();
            let leaf = t.decode(t.encode(&labels).unwrap()).unwrap();
            prop_assert!(leaf.iter().zip(&labels).all(|(leaf, l)| leaf.is_none_or(|leaf| leaf == *l)));
        }
    }
}

#[test]
fn a_tree_counts_the_classes_that_remain_and_not_all_combinations() {
    // Twenty families of three species each: sixty classes, of 20 · 3²⁰ combinations.
    let families: Vec<String> = (0..20).map(|f| format!("family{f}")).collect();
    let mut heads = vec![("family".to_string(), families.clone())];
    let mut when = vec![Labels::new()];
    for family in &families {
        let species = (0..3).map(|s| format!("{family}-{s}")).collect();
        heads.push((family.clone(), species));
        when.push(Labels::from([("family".into(), vec![family.clone()])]));
    }
    let taxonomy = Taxonomy::of(
        heads.clone(),
        vec![false; heads.len()],
        Vec::new(),
        &when,
        &[],
    )
    .unwrap();
    assert_eq!(taxonomy.num_classes(), 60);
    // Without the conditions there are too many, be it that nearly all are impossible.
    let none = vec![Labels::new(); heads.len()];
    let both = labels(&[("family", &["family0"]), ("family0", &["family0-0"])]);
    for impossible in [vec![], vec![both]] {
        let error = Taxonomy::of(
            heads.clone(),
            vec![false; heads.len()],
            Vec::new(),
            &none,
            &impossible,
        )
        .unwrap_err();
        assert!(error.to_string().contains("final classes"), "{error}");
    }
}
