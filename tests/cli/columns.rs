//! Shards in tar, and tables in Parquet, in and out, by the command: what CSV and files give, and without the feature a word that says so.

use super::{hydranet, text, works};
use crate::common::runs::HEADS;
use crate::common::tiny;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use std::path::Path;

/// Portraits and their listing in `faces`, and the same as a shard.
pub(super) fn packed(dir: &Path) {
    let config = PortraitConfig {
        people: 6,
        seed: 3,
        size: (48, 48),
    };
    let faces = dir.join("faces");
    write_portraits(&faces, &config).unwrap();
    packed_as(&faces, &dir.join("faces.tar"), "");
    tiny::model().write(dir.join("model.safetensors")).unwrap();
}

/// Those portraits as a shard, with something before the names of their persons.
pub(super) fn packed_as(faces: &Path, shard: &Path, before: &str) {
    let listing = std::fs::read_to_string(faces.join("portraits.csv")).unwrap();
    let mut lines = listing.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let mut tar = tar::Builder::new(std::fs::File::create(shard).unwrap());
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for row in lines {
        let cells = header.iter().zip(&row).skip(1);
        let cells = cells.map(|(k, v)| match *k {
            "person" => (*k, format!("{before}{v}")),
            _ => (*k, v.to_string()),
        });
        let known: std::collections::BTreeMap<&str, String> = cells.collect();
        let stem = row[0].rsplit_once('.').unwrap().0;
        put(row[0], &std::fs::read(faces.join(row[0])).unwrap());
        put(
            &format!("{stem}.json"),
            &serde_json::to_vec(&known).unwrap(),
        );
    }
    tar.into_inner().unwrap();
}

#[test]
fn a_shard_in_tar_is_checked_scored_and_predicted_as_its_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    packed(dir);
    let said = |command: &[&str], data: &str| {
        let said = works(dir, &[command, &[data]].concat()).replace(data, "DATA");
        let names = said.replace(".jpg", "").replace("DATA/", "images/");
        // Of all that is said the fingerprint alone is made of names.
        let lines = names.lines().filter(|l| !l.contains("fingerprint"));
        lines.map(String::from).collect::<Vec<_>>()
    };
    let evaluate = [
        "evaluate",
        "--model",
        "model.safetensors",
        "--split",
        "all",
        "--json",
        "--data",
    ];
    let predict = ["predict", "--model", "model.safetensors"];
    for (command, files) in [
        (
            &["check", "--heads", HEADS, "--rows-only", "--data"][..],
            "faces/portraits.csv",
        ),
        (&evaluate, "faces/portraits.csv"),
    ] {
        assert_eq!(
            said(command, "faces.tar"),
            said(command, files),
            "{command:?}"
        );
    }
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let (shard, files) = (said(&predict, "faces.tar"), said(&predict, "faces/images"));
    assert_eq!(sorted(shard), sorted(files));
    works(dir, &["init", "faces.tar", "--out", "heads"]);
    works(
        dir,
        &[
            "check",
            "--heads",
            "heads",
            "--data",
            "faces.tar",
            "--rows-only",
        ],
    );
    let sets = [
        "--set",
        "model.input.size=[32,32]",
        "--set",
        "train.epochs=1",
    ];
    works(
        dir,
        &[
            &[
                "train",
                "--heads",
                HEADS,
                "--data",
                "faces.tar",
                "--out",
                "run",
            ],
            &sets[..],
        ]
        .concat(),
    );
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_the_feature_a_table_in_parquet_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny::model().write(dir.join("model.safetensors")).unwrap();
    std::fs::write(dir.join("a.parquet"), "PAR1").unwrap();
    let of_model = ["--model", "model.safetensors"];
    for args in [
        &["check", "--heads", HEADS, "--data", "a.parquet"][..],
        &[
            "train",
            "--heads",
            HEADS,
            "--data",
            "a.parquet",
            "--out",
            "run",
        ],
        &["init", "a.parquet"],
        &["evaluate", of_model[0], of_model[1], "--data", "a.parquet"],
        &["predict", of_model[0], of_model[1], "a.parquet"],
        &[
            "predict",
            of_model[0],
            of_model[1],
            "b.jpg",
            "--out",
            "b.parquet",
        ],
    ] {
        let out = hydranet(dir, args);
        let said = text(&out.stderr);
        assert!(!out.status.success(), "{args:?}");
        assert!(
            said.contains("built without the feature `parquet`"),
            "{args:?}: {said}"
        );
    }
    // What is not there is not there, with the feature or without it.
    let out = hydranet(dir, ["check", "--heads", HEADS, "--data", "gone.parquet"]);
    assert!(
        text(&out.stderr).contains("No such file"),
        "{}",
        text(&out.stderr)
    );
}

#[cfg(feature = "parquet")]
mod with_parquet {
    use super::*;
    use crate::common::parquet::{Form, Values, read, write};
    use parquet::record::Field;

    /// Portraits with their listing in CSV, and the same in Parquet: with paths, with bytes and with both in a group.
    fn drawn(people: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let config = PortraitConfig {
            people,
            seed: 3,
            size: (48, 48),
        };
        let faces = dir.path().join("faces");
        let listing = std::fs::read_to_string(write_portraits(&faces, &config).unwrap()).unwrap();
        let mut lines = listing
            .lines()
            .map(|l| l.split(',').map(String::from).collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let rows: Vec<Vec<String>> = lines.collect();
        let bytes = |row: &Vec<String>| std::fs::read(faces.join(&row[0])).unwrap();
        let cells = header.iter().enumerate().map(|(i, name)| {
            let cell = |row: &Vec<String>| Some(row[i].clone()).filter(|c| !c.is_empty());
            let values = match name.as_str() {
                "age" => Values::Double(rows.iter().map(|r| cell(r)?.parse().ok()).collect()),
                _ => Values::Text(rows.iter().map(cell).collect()),
            };
            (name.as_str(), values)
        });
        let cells: Vec<(&str, Values)> = cells.collect();
        write(&faces.join("paths.parquet"), &cells, &Form::default());
        let labels: Vec<_> = cells
            .iter()
            .filter(|(n, _)| *n != "path")
            .cloned()
            .collect();
        let image = Values::Bytes(rows.iter().map(|r| Some(bytes(r))).collect());
        let with_bytes = [&cells[..], &[("image", image)]].concat();
        write(
            &dir.path().join("bytes.parquet"),
            &with_bytes,
            &Form::default(),
        );
        let image = rows.iter().map(|r| (Some(bytes(r)), Some(r[0].clone())));
        let grouped = [&labels[..], &[("photo", Values::Image(image.collect()))]].concat();
        write(
            &dir.path().join("group.parquet"),
            &grouped,
            &Form::default(),
        );
        tiny::model()
            .write(dir.path().join("model.safetensors"))
            .unwrap();
        dir
    }

    fn bytes(dir: &Path, file: &str) -> Vec<u8> {
        std::fs::read(dir.join(file)).unwrap()
    }

    const LISTINGS: [(&str, &[&str]); 4] = [
        ("faces/portraits.csv", &[]),
        ("faces/paths.parquet", &[]),
        ("bytes.parquet", &[]),
        ("group.parquet", &["--columns", "path=photo"]),
    ];

    #[test]
    fn check_evaluate_and_health_say_of_photos_in_parquet_what_they_say_of_files() {
        let dir = drawn(6);
        let dir = dir.path();
        let said = |command: &[&str], (data, columns): (&str, &[&str])| {
            let args = [command, &["--data", data], columns].concat();
            works(dir, &args).replace(data, "DATA")
        };
        for command in [
            &["check", "--heads", HEADS, "--json"][..],
            &[
                "evaluate",
                "--model",
                "model.safetensors",
                "--split",
                "all",
                "--json",
            ],
        ] {
            let expected = said(command, LISTINGS[0]);
            for of in &LISTINGS[1..] {
                assert_eq!(said(command, *of), expected, "{command:?} {of:?}");
            }
        }
        for (i, of) in LISTINGS.into_iter().enumerate() {
            let out = format!("health-{i}");
            said(
                &[
                    "health",
                    "--heads",
                    HEADS,
                    "--model",
                    "model.safetensors",
                    "--out",
                    &out,
                ],
                of,
            );
        }
        let measures = |i: usize| bytes(dir, &format!("health-{i}/health.csv"));
        for (i, of) in LISTINGS.iter().enumerate() {
            assert!(measures(i) == measures(0), "{of:?}");
        }
    }

    #[test]
    fn a_training_on_photos_in_parquet_has_the_bytes_of_one_on_files() {
        let dir = drawn(12);
        let dir = dir.path();
        for (i, (data, columns)) in LISTINGS.into_iter().enumerate() {
            let out = format!("run-{i}");
            let args = ["train", "--heads", HEADS, "--data", data, "--out", &out];
            let sets = [
                "model.input.size=[32,32]",
                "train.epochs=1",
                "train.batch=8",
            ];
            let sets = sets.map(|set| ["--set", set]).concat();
            // What a listing calls its columns goes into the model, which then is another to the byte.
            works(dir, &[&args[..], columns, &sets].concat());
        }
        let tensors = |i: usize| {
            let model = dir.join(format!("run-{i}/best.safetensors"));
            let model = hydranet::ModelFile::read(model).unwrap();
            let tensors = model.tensors.into_iter();
            let value =
                |t: candle_core::Tensor| format!("{:?}", t.flatten_all().unwrap().sum_all());
            tensors
                .map(|(name, t)| (name, value(t)))
                .collect::<Vec<_>>()
        };
        let best = |i: usize| bytes(dir, &format!("run-{i}/best.safetensors"));
        assert!(best(1) == best(0) && best(2) == best(0));
        assert_eq!(tensors(3), tensors(0));
    }

    #[test]
    fn init_finds_heads_in_parquet_as_in_csv() {
        let dir = drawn(20);
        let dir = dir.path();
        for (i, (data, _)) in LISTINGS.into_iter().enumerate() {
            let heads = format!("heads-{i}");
            works(dir, &["init", data, "--out", &heads]);
            for head in ["mask.toml", "gender.toml"] {
                let text = |i: usize, from: &str| {
                    let text = String::from_utf8(bytes(dir, &format!("heads-{i}/{head}"))).unwrap();
                    text.replace(from, "DATA")
                };
                assert_eq!(text(i, data), text(0, LISTINGS[0].0), "{data}");
            }
        }
        let check = ["check", "--heads", "heads-3", "--data", "group.parquet"];
        works(dir, &check);
    }

    #[test]
    fn predictions_go_into_parquet_with_types_and_shards_make_the_bytes_of_the_single_run() {
        let dir = drawn(6);
        let dir = dir.path();
        let args = ["predict", "--model", "model.safetensors", "bytes.parquet"];
        let printed = works(dir, &args);
        fn out<'a>(args: &[&'a str], name: &'a str) -> Vec<&'a str> {
            [args, &["--out", name]].concat()
        }
        works(dir, &out(&args, "alone.csv"));
        assert_eq!(String::from_utf8(bytes(dir, "alone.csv")).unwrap(), printed);
        works(dir, &out(&args, "alone.parquet"));
        let (names, rows) = read(&dir.join("alone.parquet"));
        let lines: Vec<Vec<&str>> = printed.lines().map(|l| l.split(',').collect()).collect();
        assert_eq!(names, lines[0]);
        assert_eq!(rows.len() + 1, lines.len());
        assert!(rows.len() > 10);
        for (row, line) in rows.iter().zip(&lines[1..]) {
            for ((field, cell), name) in row.iter().zip(line).zip(&names) {
                match field {
                    Field::Str(text) => assert_eq!(text, cell),
                    Field::Long(whole) => assert_eq!(
                        (whole.to_string(), name.as_str()),
                        (cell.to_string(), "class")
                    ),
                    Field::Double(number) => assert_eq!(format!("{number:.6}"), *cell, "{name}"),
                    Field::Null => assert_eq!(*cell, ""),
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        // The files themselves have the same predictions under their paths.
        let files = works(
            dir,
            &[
                "predict",
                "--model",
                "model.safetensors",
                "faces/paths.parquet",
            ],
        );
        assert_eq!(files, printed);
        let evaluate = [
            "evaluate",
            "--model",
            "model.safetensors",
            "--data",
            "bytes.parquet",
            "--split",
            "all",
            "--out",
        ];
        for (command, single) in [
            (&out(&args, "")[..5], "alone.parquet"),
            (&evaluate[..], "scores.parquet"),
        ] {
            let said = works(dir, &[command, &[single]].concat());
            for of in [1, 3] {
                let all = format!("all-{of}-{single}");
                for number in (1..=of).rev() {
                    works(
                        dir,
                        &[command, &[&all, "--shard", &format!("{number}/{of}")]].concat(),
                    );
                }
                assert_eq!(works(dir, &["merge", &all]), said);
                assert!(bytes(dir, &all) == bytes(dir, single), "{all}");
            }
        }
        assert!(
            read(&dir.join("scores.parquet"))
                .0
                .contains(&"mask_truth".to_string())
        );
        // What has no columns is refused before anything is computed.
        let json = hydranet(dir, [&out(&args, "x.parquet")[..], &["--json"]].concat());
        assert!(
            text(&json.stderr).contains("this is not written in Parquet"),
            "{}",
            text(&json.stderr)
        );
        assert!(!dir.join("x.parquet").exists());
    }

    #[test]
    fn features_are_written_in_both_forms_with_the_same_numbers() {
        let dir = drawn(6);
        let dir = dir.path();
        let args = [
            "predict",
            "--model",
            "model.safetensors",
            "bytes.parquet",
            "--features",
        ];
        let printed = works(dir, &args);
        works(dir, &[&args[..], &["--out", "features.parquet"]].concat());
        let (names, rows) = read(&dir.join("features.parquet"));
        assert_eq!((names.len(), names[1280].as_str()), (1281, "feature_1279"));
        for (row, line) in rows.iter().zip(printed.lines().skip(1)) {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(row[0], Field::Str(cells[0].into()));
            for (field, cell) in row[1..].iter().zip(&cells[1..]) {
                assert_eq!(*field, Field::Float(cell.parse().unwrap()));
            }
        }
        assert_eq!(rows.len() + 1, printed.lines().count());
    }

    #[test]
    fn a_broken_photo_in_parquet_is_named_and_a_killed_run_leaves_no_half_table() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        tiny::model().write(dir.join("model.safetensors")).unwrap();
        let good = std::fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/grey.jpg"
        ))
        .unwrap();
        let mut image = vec![Some(good); 4000];
        image[2] = Some(b"no photo".to_vec());
        write(
            &dir.join("a.parquet"),
            &[("image", Values::Bytes(image))],
            &Form {
                rows: 500,
                page: 1 << 16,
                ..Form::default()
            },
        );
        let args = [
            "predict",
            "--model",
            "model.safetensors",
            "a.parquet",
            "--out",
            "out.parquet",
        ];
        std::fs::write(dir.join("out.parquet"), "before").unwrap();
        let mut child = super::super::command(dir).args(args).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(bytes(dir, "out.parquet"), b"before");
        let args = [
            "predict",
            "--model",
            "model.safetensors",
            "b.parquet",
            "--out",
            "out.parquet",
        ];
        let few = vec![Some(b"no photo".to_vec()), None];
        write(
            &dir.join("b.parquet"),
            &[("image", Values::Bytes(few))],
            &Form::default(),
        );
        let out = hydranet(dir, args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1));
        assert!(
            said.contains("b.parquet/#1") && said.contains("b.parquet, row 2: column `image`"),
            "{said}"
        );
        assert_eq!(read(&dir.join("out.parquet")).1.len(), 0);
    }
}
