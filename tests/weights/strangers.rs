//! PyTorch's files by people who mean harm: refused in words, quickly, in little memory.

use hydranet::weights::read;
use std::path::PathBuf;

/// What a file of PyTorch before 1.6 begins with: magic number, version, the machine's sizes.
fn legacy(object: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    bytes.extend(object);
    bytes.extend(rest);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A whole number of eight bytes.
fn long(n: u64) -> Vec<u8> {
    let mut bytes = vec![0x8a, 8];
    bytes.extend(n.to_le_bytes());
    bytes
}

fn tuple(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = vec![b'('];
    numbers.iter().for_each(|n| bytes.extend(long(*n)));
    bytes.push(b't');
    bytes
}

/// A view of the storage `0`, of `f32`.
fn view(offset: u64, size: &[u64], stride: &[u64]) -> Vec<u8> {
    let mut bytes = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    bytes.extend(text("storage"));
    bytes.extend(b"ctorch\nFloatStorage\n");
    bytes.extend(text("0"));
    bytes.extend(text("cpu"));
    bytes.extend(b"K\x04tQ");
    bytes.extend(long(offset));
    bytes.extend(tuple(size));
    bytes.extend(tuple(stride));
    bytes.extend(b"\x89}tR");
    bytes
}

/// A file with one storage of `count` ones, seen by these views.
fn views(count: usize, views: &[Vec<u8>]) -> Vec<u8> {
    let mut object = b"\x80\x02}(".to_vec();
    for (i, view) in views.iter().enumerate() {
        object.extend(text(&format!("tensor{i}")));
        object.extend(view);
    }
    object.extend(b"u.");
    let mut rest = b"\x80\x02](".to_vec();
    rest.extend(text("0"));
    rest.extend(b"e.");
    rest.extend((count as u64).to_le_bytes());
    (0..count).for_each(|_| rest.extend(1f32.to_le_bytes()));
    legacy(&object, &rest)
}

fn read_bytes(bytes: &[u8]) -> hydranet::Result<hydranet::model_file::Tensors> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("weights.pth");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

fn refusal(bytes: &[u8], words: &str) {
    let message = format!("{:#}", read_bytes(bytes).unwrap_err());
    assert!(message.contains(words), "no `{words}` in: {message}");
    assert!(message.len() < 2000, "{} bytes", message.len());
}

#[test]
fn a_view_of_a_few_numbers_is_read() {
    let tensors = read_bytes(&views(4, &[view(1, &[3], &[1])])).unwrap();
    assert_eq!(tensors["tensor0"].dims(), [3]);
}

#[test]
fn views_out_of_all_bounds_are_refused() {
    let huge = 1 << 62;
    for (offset, size, stride) in [
        (huge, vec![1], vec![1]),
        (2, vec![4], vec![1]),
        (0, vec![huge, huge], vec![1, 1]),
        (0, vec![huge, huge, 0], vec![1, 1, 1]),
        (0, vec![0, huge, huge], vec![1, 1, 1]),
        (0, vec![2, 2], vec![huge, huge]),
        (0, vec![1 << 20], vec![0]),
    ] {
        let bytes = views(4, &[view(offset, &size, &stride)]);
        refusal(&bytes, "lies outside its part");
    }
    // Nothing, far away, is nothing.
    let tensors = read_bytes(&views(4, &[view(1 << 61, &[0], &[1])])).unwrap();
    assert_eq!(tensors["tensor0"].dims(), [0]);
}

#[test]
fn numbers_shown_again_and_again_are_refused() {
    let many: Vec<_> = (0..1200).map(|_| view(0, &[8192], &[1])).collect();
    refusal(&views(8192, &many), "again and again");
}

#[test]
fn references_that_double_a_value_again_and_again_are_refused() {
    let mut object = b"\x80\x02K\x01".to_vec();
    for i in 0..60 {
        object.extend([b'q', i, b'h', i, 0x86]);
    }
    object.push(b'.');
    refusal(&legacy(&object, b""), "makes more than");
}

#[test]
fn values_nested_without_end_are_refused() {
    let mut object = b"\x80\x02]".to_vec();
    object.extend([0x85].repeat(3_000_000));
    object.push(b'.');
    refusal(&legacy(&object, b""), "deep");
    let mut object = b"\x80\x02".to_vec();
    object.extend(b"]".repeat(1000));
    object.extend(b"a".repeat(999));
    object.push(b'.');
    refusal(&legacy(&object, b""), "deep");
}

#[test]
fn text_longer_than_the_file_is_refused() {
    refusal(
        &legacy(b"\x80\x02X\xff\xff\xff\xff.", b""),
        "text of 4294967295",
    );
}

#[test]
fn whole_numbers_of_any_length_beside_the_weights_are_passed_over() {
    let mut object = b"\x80\x02}(".to_vec();
    object.extend(text("seed"));
    object.extend([0x8a, 200]);
    object.extend([0x7f; 200]);
    object.extend(b"u.");
    refusal(&legacy(&object, b"\x80\x02]."), "its parts are: seed");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    let mut bytes = views(4, &[view(0, &[4], &[1])]);
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refusal(&bytes, "`tensor0` has 1 of 4 values that are not finite");
}
