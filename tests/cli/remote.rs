//! Listings, shards and photos in stores and on servers, by the command: what files of this machine give, through failures that
//! pass, and named errors of those that do not. Without the feature a word that says so.

use super::{command, text, works};
use crate::common::runs::HEADS;
use crate::common::tiny;

const PREDICT: [&str; 3] = ["predict", "--model", "model.safetensors"];

#[cfg(not(feature = "remote"))]
#[test]
fn without_the_feature_a_url_is_refused_with_the_features_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny::model().write(dir.join("model.safetensors")).unwrap();
    std::fs::write(dir.join("list.csv"), "path,mask\nhttps://host/a.jpg,worn\n").unwrap();
    for args in [
        &["check", "--heads", HEADS, "--data", "s3://bucket/list.csv"][..],
        &["check", "--heads", HEADS, "--data", "s3://bucket/shards/"],
        &["check", "--heads", HEADS, "--data", "list.csv"],
        &[&PREDICT[..], &["s3://bucket/a-{0..1}.tar"]].concat(),
        &[&PREDICT[..], &["gs://bucket/a.jpg"]].concat(),
    ] {
        let out = command(dir).args(args).output().unwrap();
        let said = text(&out.stderr) + &text(&out.stdout);
        assert!(!out.status.success(), "{args:?}");
        assert!(
            said.contains("built without the feature `remote`"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn nothing_is_written_to_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    crate::columns::packed(dir);
    let before = std::fs::read_dir(dir).unwrap().count();
    for args in [
        &[&PREDICT[..], &["a.jpg", "--out", "s3://bucket/p.csv"]].concat(),
        &[&PREDICT[..], &["a.jpg", "--out", "https://host/p.parquet"]].concat(),
        &vec![
            "train",
            "--heads",
            HEADS,
            "--data",
            "faces.tar",
            "--out",
            "s3://bucket/run",
        ],
        &vec![
            "health",
            "--heads",
            HEADS,
            "--data",
            "faces.tar",
            "--out",
            "gs://bucket/health",
        ],
    ] {
        let out = command(dir).args(args).output().unwrap();
        let said = text(&out.stderr);
        assert!(!out.status.success(), "{args:?}");
        let words = "files of this machine only";
        assert!(said.contains(words), "{args:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), before);
}

#[test]
fn a_file_is_named_by_a_url_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny::model().write(dir.join("model.safetensors")).unwrap();
    crate::columns::packed(dir);
    let url = |name: &str| format!("file://{}/{name}", dir.display());
    let expected = works(dir, &[&PREDICT[..], &["faces.tar"]].concat());
    assert_eq!(
        works(dir, &[&PREDICT[..], &[&url("faces.tar")]].concat()),
        expected
    );
    let photo = std::fs::read_dir(dir.join("faces/images")).unwrap().next();
    let photo = photo.unwrap().unwrap().path().display().to_string();
    std::fs::write(dir.join("list.csv"), format!("path\nfile://{photo}\n")).unwrap();
    let said = works(dir, &[&PREDICT[..], &["list.csv"]].concat());
    let alone = works(dir, &[&PREDICT[..], &[&photo]].concat());
    assert_eq!(said.replace("file://", ""), alone);
}

#[cfg(feature = "remote")]
mod with_remote {
    use super::*;
    use crate::common::store_server::{Fault, Server};
    use std::path::Path;
    use std::process::Output;

    /// Portraits as files and as shards, and a server that gives them.
    fn served() -> (tempfile::TempDir, Server) {
        let dir = tempfile::tempdir().unwrap();
        crate::columns::packed(dir.path());
        let shards = dir.path().join("shards");
        std::fs::create_dir(&shards).unwrap();
        for name in ["a-08.tar", "a-09.tar"] {
            crate::columns::packed_as(&dir.path().join("faces"), &shards.join(name), &name[..4]);
        }
        let server = Server::of(dir.path());
        (dir, server)
    }

    fn ask(dir: &Path, server: &Server, args: &[&str]) -> Output {
        let mut command = command(dir);
        command.args(args).envs(server.environment());
        command.output().unwrap()
    }

    fn said(dir: &Path, server: &Server, args: &[&str]) -> String {
        let out = ask(dir, server, args);
        let (said, errors) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{args:?}: {errors}{said}");
        said
    }

    fn refused(dir: &Path, server: &Server, args: &[&str]) -> String {
        let out = ask(dir, server, args);
        assert!(!out.status.success(), "{args:?}");
        text(&out.stderr) + &text(&out.stdout)
    }

    fn predicted(dir: &Path, server: &Server, data: &[&str]) -> String {
        said(dir, server, &[&PREDICT[..], data].concat())
    }

    #[test]
    fn predictions_are_those_of_files() {
        let (dir, server) = served();
        let dir = dir.path();
        let photos = std::fs::read_dir(dir.join("faces/images")).unwrap();
        let photos = photos.map(|p| p.unwrap().file_name().into_string().unwrap());
        let photos: Vec<String> = photos.collect();
        let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
        let local = |name: &str| predicted(dir, &server, &[name]);
        // Names in a listing are its own, wherever it lies; and so is all else that is written, to the last byte.
        for name in ["faces/portraits.csv", "faces.tar"] {
            let expected = local(name);
            assert_eq!(expected.lines().count(), photos.len() + 1);
            for url in [
                server.url(name),
                format!("s3://bucket/{name}"),
                format!("gs://google/{name}"),
            ] {
                assert_eq!(local(&url), expected, "{url}");
                let query = format!("{}?a=b/c.csv", server.url(name));
                assert_eq!(local(&query), expected);
            }
        }
        // Photos by their own URLs, in a listing that lies here.
        let expected = local("faces/images");
        let s3 = |name: &&str| format!("s3://bucket/faces/images/{name}\n");
        let http = |name: &&str| server.url(&format!("faces/images/{name}\n"));
        for (line, place) in [
            (
                &s3 as &dyn Fn(&&str) -> String,
                "s3://bucket/faces/images/".to_string(),
            ),
            (&http, server.url("faces/images/")),
        ] {
            let mut sorted = photos.clone();
            sorted.sort();
            let lines: String = sorted.iter().map(line).collect();
            std::fs::write(dir.join("list.csv"), format!("path\n{lines}")).unwrap();
            let said = local("list.csv").replace(&place, "faces/images/");
            assert_eq!(said, expected, "{place}");
        }
        // A folder of a bucket, as a folder.
        let folder = local("s3://bucket/faces/images/");
        assert_eq!(folder.replace("s3://bucket/", ""), expected);
        // Several shards: by their names, by braces, and as a folder of them.
        let expected = predicted(dir, &server, &["shards/a-08.tar", "shards/a-09.tar"]);
        for several in [
            "shards/a-{08..09}.tar",
            "shards",
            "s3://bucket/shards/a-{08,09}.tar",
            "s3://bucket/shards/",
        ] {
            assert_eq!(
                local(several).replace("s3://bucket/", ""),
                expected,
                "{several}"
            );
        }
        let braces = local(&server.url("shards/a-{08..09}.tar"));
        assert_eq!(braces.replace(&server.url(""), ""), expected);
        assert_eq!(server.state().unsigned, 0);
    }

    #[test]
    fn a_model_trains_the_same_bytes_from_files_and_from_a_store() {
        let (dir, server) = served();
        let dir = dir.path();
        let train = |data: &str, out: &str| {
            let args = ["train", "--heads", HEADS, "--data", data, "--out", out];
            let sets = [
                "--set",
                "model.input.size=[32,32]",
                "--set",
                "train.epochs=1",
            ];
            said(dir, &server, &[&args[..], &sets[..]].concat());
            std::fs::read(dir.join(out).join("best.safetensors")).unwrap()
        };
        let from_files = train("faces/portraits.csv", "files");
        assert!(train("s3://bucket/faces/portraits.csv", "s3") == from_files);
        let from_shards = train("shards", "shards-here");
        assert!(train(&server.url("shards/a-{08..09}.tar"), "shards-http") == from_shards);
        // It goes on where its data were, without being told.
        let known = std::fs::read_to_string(dir.join("s3/data.toml")).unwrap();
        assert!(
            known.contains("\"s3://bucket/faces/portraits.csv\""),
            "{known}"
        );
        said(dir, &server, &["train", "--resume", "--out", "s3"]);
    }

    #[test]
    fn what_is_said_of_data_is_said_of_them_in_a_store() {
        let (dir, server) = served();
        let dir = dir.path();
        let of = |command: &[&str], data: &str| {
            said(dir, &server, &[command, &["--data", data]].concat()).replace(data, "DATA")
        };
        let check = ["check", "--heads", HEADS, "--json"];
        let evaluate = [
            "evaluate",
            "--model",
            "model.safetensors",
            "--split",
            "all",
            "--json",
        ];
        for command in [&check[..], &evaluate] {
            for name in ["faces/portraits.csv", "faces.tar"] {
                let expected = of(command, name);
                assert_eq!(
                    of(command, &server.url(name)),
                    expected,
                    "{command:?} {name}"
                );
                assert_eq!(of(command, &format!("s3://bucket/{name}")), expected);
            }
        }
        for data in ["faces.tar", "s3://bucket/faces.tar"] {
            let health = ["health", "--heads", HEADS, "--out"];
            let out = data.replace([':', '/', '.'], "_");
            of(&[&health[..], &[&out]].concat(), data);
        }
        let rows = |folder: &str| std::fs::read(dir.join(folder).join("health.csv")).unwrap();
        assert_eq!(rows("faces_tar"), rows("s3___bucket_faces_tar"));
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn a_table_in_parquet_is_read_by_its_pages() {
        use crate::common::parquet::{Form, Values, write};
        let (dir, server) = served();
        let dir = dir.path();
        let listing = std::fs::read_to_string(dir.join("faces/portraits.csv")).unwrap();
        let paths: Vec<&str> = listing
            .lines()
            .skip(1)
            .map(|l| l.split(',').next().unwrap())
            .collect();
        let bytes = |path: &&str| Some(std::fs::read(dir.join("faces").join(path)).unwrap());
        let columns = [
            (
                "path",
                Values::Text(paths.iter().map(|p| Some(p.to_string())).collect()),
            ),
            ("image", Values::Bytes(paths.iter().map(bytes).collect())),
        ];
        write(&dir.join("faces/bytes.parquet"), &columns, &Form::default());
        write(
            &dir.join("faces/paths.parquet"),
            &columns[..1],
            &Form::default(),
        );
        for name in ["faces/bytes.parquet", "faces/paths.parquet"] {
            let expected = predicted(dir, &server, &[name]);
            for url in [server.url(name), format!("s3://bucket/{name}")] {
                assert_eq!(predicted(dir, &server, &[&url]), expected, "{url}");
            }
        }
    }

    #[test]
    fn failures_that_pass_are_tried_again() {
        let (dir, server) = served();
        let dir = dir.path();
        for name in ["faces/portraits.csv", "faces.tar"] {
            let expected = predicted(dir, &server, &[name]);
            for without_tags in [false, true] {
                server.state().without_tags = without_tags;
                for fault in [Fault::Status("503 Slow Down"), Fault::Half] {
                    server.fail(name, 2, fault);
                    server.fail("images", 2, fault);
                    assert_eq!(predicted(dir, &server, &[&server.url(name)]), expected);
                    let s3 = format!("s3://bucket/{name}");
                    // S3 gives every object a tag.
                    server.state().without_tags = false;
                    server.fail(name, 2, fault);
                    assert_eq!(predicted(dir, &server, &[&s3]), expected);
                    assert!(
                        server
                            .state()
                            .faults
                            .iter()
                            .all(|(part, left, _)| *left == 0 || *part == "images")
                    );
                    server.state().without_tags = without_tags;
                }
            }
        }
        // A tag without ranges: nothing can go on where it broke off, and all is asked for anew.
        let name = "faces/portraits.csv";
        server.state().without_tags = false;
        server.state().without_ranges = true;
        server.fail(name, 4, Fault::Half);
        let expected = predicted(dir, &server, &[name]);
        assert_eq!(predicted(dir, &server, &[&server.url(name)]), expected);
        let faults = server.state().faults.clone();
        assert!(faults.iter().all(|f| f.1 == 0 || f.0 == "images"));
        server.fail(name, usize::MAX, Fault::Half);
        let said = refused(dir, &server, &[&PREDICT[..], &[&server.url(name)]].concat());
        assert!(
            said.contains("whole files only), each of 6 times"),
            "{said}"
        );
    }

    #[test]
    fn failures_that_stay_are_named_with_what_helps() {
        let (dir, server) = served();
        let dir = dir.path();
        let url = |name: &str| server.url(name);
        let fails = |part, fault| server.fail(part, usize::MAX, fault);
        fails("forbidden", Fault::Status("403 Forbidden"));
        fails("broken", Fault::Status("503 Service Unavailable"));
        fails("half", Fault::Half);
        fails("unsaid", Fault::Unsaid);
        fails("large.csv", Fault::Size(9000 << 30));
        fails("large.jpg", Fault::Size(600 << 20));
        for name in ["forbidden.jpg", "half.csv", "half.jpg"] {
            std::fs::write(dir.join(name), "path\na.jpg\n").unwrap();
        }
        for name in ["large.csv", "large.jpg", "empty.tar", "unsaid.jpg"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        for (data, expected) in [
            (url("gone.csv"), "no such file (404)"),
            (
                "s3://bucket/gone.tar".into(),
                "nothing of this name; a folder in it is written with `/`",
            ),
            ("s3://bucket/gone/".into(), "no such folder"),
            (url("forbidden.jpg"), "refuses it (403 Forbidden"),
            (
                "s3://bucket/forbidden.jpg".into(),
                "AsToldTo); the variables AWS_ACCESS_KEY_ID",
            ),
            (
                url("broken.csv"),
                "fails (503 Service Unavailable, AsToldTo), asked 6 times",
            ),
            (url("half.csv"), "it broke off after"),
            (
                url("large.csv"),
                "at most 8192 MiB are read of such a file, found 9216000 MiB",
            ),
            (
                url("large.jpg"),
                "629145600 bytes; at most 536870912 are allowed",
            ),
            (url("unsaid.jpg"), "does not say how large it is"),
            (url("empty.tar"), "a shard in tar is needed"),
            (url("shards/"), "does not say what is in a folder"),
            ("s3://bucket//a.jpg".into(), "a URL is needed"),
            (
                "http://me:word@host/a.jpg".into(),
                "names and passwords in it are not taken",
            ),
        ] {
            let said = refused(dir, &server, &[&PREDICT[..], &[&data]].concat());
            assert!(said.contains(expected), "{data}: {said}");
            assert!(
                !said.contains("a-secret") && !said.contains("word@"),
                "{said}"
            );
        }
        // Nobody listens there any more.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}/a.jpg?key=hidden", gone.local_addr().unwrap());
        drop(gone);
        let said = refused(dir, &server, &[&PREDICT[..], &[&at]].concat());
        assert!(
            said.contains("cannot be reached") && said.contains("again later"),
            "{said}"
        );
        assert!(
            said.contains("/a.jpg?…") && !said.contains("hidden"),
            "{said}"
        );
        server.state().without_ranges = true;
        let said = refused(dir, &server, &[&PREDICT[..], &[&url("faces.tar")]].concat());
        assert!(said.contains("gives whole files only"), "{said}");
        // A photo that cannot be had is that photo's fault; the others are predicted.
        std::fs::write(dir.join("list.csv"), "path\ngone.jpg\n").unwrap();
        let listing = format!("path\nfaces.jpg\n{}\n", url("faces/gone.jpg"));
        std::fs::write(dir.join("list.csv"), listing).unwrap();
        let said = refused(dir, &server, &[&PREDICT[..], &["list.csv"]].concat());
        assert!(said.contains("2 of 2 photos could not be read"), "{said}");
    }

    #[test]
    fn a_url_is_asked_for_as_it_is_written_and_its_secret_is_in_no_message() {
        let (dir, server) = served();
        let dir = dir.path();
        let photo = std::fs::read_dir(dir.join("faces/images")).unwrap().next();
        let photo = photo.unwrap().unwrap().file_name().into_string().unwrap();
        let url = format!("{}?at=1%2B1&key=hidden", server.url("faces%2Fimages/"));
        let url = url.replace("/?", &format!("/{photo}?"));
        let row = predicted(dir, &server, &[&url]);
        let here = predicted(dir, &server, &[&format!("faces/images/{photo}")]);
        assert_eq!(row.replace(&url, &format!("faces/images/{photo}")), here);
        let target = &url[server.url("").len() - "/files/".len()..];
        let seen = server.state().seen.clone();
        assert!(seen.iter().any(|s| s.contains(target)), "{seen:?} {target}");
        // A side on which no photo stands, rows that are wrong, and a column that is passed over.
        let listing = std::fs::read_to_string(dir.join("faces/portraits.csv")).unwrap();
        let mut lines = listing.lines();
        let header = format!("{},beside\n", lines.next().unwrap());
        assert!(header.contains(",split,beside"), "{header}");
        let in_train = |l: &str| format!("{},train,x\n", l.rsplit_once(',').unwrap().0);
        let rows: String = lines.map(in_train).collect();
        std::fs::write(dir.join("faces/all.csv"), header.clone() + &rows).unwrap();
        let wrong = header + &rows.repeat(2);
        std::fs::write(dir.join("faces/twice.csv"), wrong).unwrap();
        let secret = |name: &str| format!("{}?key=hidden", server.url(name));
        let evaluate = [
            "evaluate",
            "--model",
            "model.safetensors",
            "--split",
            "test",
        ];
        let check = ["check", "--heads", HEADS];
        for (command, name, expected) in [
            (&evaluate[..], "faces/all.csv", "no photo stands on it"),
            (&check[..], "faces/all.csv", "beside"),
            (&check[..], "faces/twice.csv", "each photo is listed once"),
        ] {
            let out = ask(
                dir,
                &server,
                &[command, &["--data", &secret(name)]].concat(),
            );
            let said = text(&out.stdout) + &text(&out.stderr);
            assert!(said.contains(expected), "{said}");
            assert!(said.contains("?…") && !said.contains("hidden"), "{said}");
        }
    }

    #[test]
    fn a_listing_from_elsewhere_names_no_file_of_this_machine() {
        let (dir, server) = served();
        let dir = dir.path();
        let photo = std::fs::read_dir(dir.join("faces/images")).unwrap().next();
        let photo = photo.unwrap().unwrap().path().display().to_string();
        let listing = format!("path\nfile://{photo}\n{photo}\n");
        std::fs::write(dir.join("list.csv"), &listing).unwrap();
        let here = predicted(dir, &server, &["list.csv"]);
        assert_eq!(here.lines().count(), 3);
        for url in [server.url("list.csv"), "s3://bucket/list.csv".into()] {
            let said = refused(dir, &server, &[&PREDICT[..], &[&url]].concat());
            assert!(said.contains("2 of 2 photos could not be read"), "{said}");
        }
    }

    #[test]
    fn a_folder_of_a_bucket_is_looked_at_and_its_listing_leads_there() {
        let (dir, server) = served();
        let dir = dir.path();
        let photos = std::fs::read_dir(dir.join("faces/images")).unwrap();
        for (i, photo) in photos.enumerate() {
            let photo = photo.unwrap().path();
            let folder = dir.join("sorted").join(["worn", "bare"][i % 2]);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(&photo, folder.join(photo.file_name().unwrap())).unwrap();
        }
        said(
            dir,
            &server,
            &["init", "s3://bucket/sorted/", "--out", "heads"],
        );
        let listing = std::fs::read_to_string(dir.join("photos.csv")).unwrap();
        let mut rows = listing.lines().skip(1);
        assert!(
            rows.all(|row| row.starts_with("s3://bucket/sorted/")),
            "{listing}"
        );
        let predictions = predicted(dir, &server, &["photos.csv"]);
        assert!(predictions.lines().count() > 2);
        assert_eq!(predictions.lines().count(), listing.lines().count());
    }

    #[test]
    fn a_shard_is_asked_for_in_pieces_that_grow() {
        let (dir, server) = served();
        let dir = dir.path();
        let padding = vec![7; 9 << 20];
        let mut tar = tar::Builder::new(std::fs::File::create(dir.join("large.tar")).unwrap());
        let photo = std::fs::read_dir(dir.join("faces/images")).unwrap().next();
        let photo = std::fs::read(photo.unwrap().unwrap().path()).unwrap();
        let mut put = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).unwrap();
        };
        put("a.jpg", &photo);
        put("a.bin", &padding);
        (0..2000).for_each(|i| put(&format!("b{i}.jpg"), &photo));
        tar.into_inner().unwrap();
        let size = std::fs::metadata(dir.join("large.tar")).unwrap().len();
        let args = ["check", "--heads", HEADS, "--rows-only", "--data"];
        let _ = ask(
            dir,
            &server,
            &[&args[..], &[&server.url("large.tar")]].concat(),
        );
        let state = server.state();
        // What no header stands in is not read; the rest once, in pieces.
        assert!(state.sent < size - (8 << 20), "{} of {size}", state.sent);
        assert!(state.seen.len() < 60, "{:?}", state.seen);
        assert!(state.seen.iter().all(|request| request.contains("bytes=")));
    }
}
