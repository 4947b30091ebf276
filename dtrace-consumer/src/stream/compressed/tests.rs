//! What is compressed is read up to where it breaks off, whatever breaks it.

use proptest::prelude::*;

use super::*;

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress(bytes)
}

/// Returns what can be read, and the reason if it ends with an error.
fn read(source: &[u8], piece: usize) -> (Vec<u8>, Option<&'static str>) {
    let mut reader = Decompressed::new(source);
    let (mut read, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (read, None),
            Ok(n) => read.extend_from_slice(&buffer[..n]),
            Err(e) => {
                let cause = e.into_inner().and_then(|e| e.downcast::<Malformed>().ok());
                return (read, Some(cause.expect("damage").reason));
            }
        }
    }
}

fn text() -> Vec<u8> {
    (0..5000u32).flat_map(|n| (n * n % 977).to_le_bytes()).collect()
}

#[test]
fn frames_of_zstd_and_plain_bytes_are_read_in_any_pieces() {
    let text = text();
    let skippable = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let file = [skippable.clone(), zstd(&text), zstd(b""), skippable, zstd(b"end")].concat();
    for piece in [1, 7, 4096, 1 << 20] {
        assert_eq!(read(&file, piece), ([&text[..], b"end"].concat(), None));
        assert_eq!(read(&text, piece), (text.clone(), None));
        for short in [&b""[..], b"a", b"abc", b"abcd", b"abcde"] {
            assert_eq!(read(short, piece), (short.to_vec(), None));
        }
    }
}

#[test]
fn what_breaks_off_is_read_up_to_the_last_whole_block() {
    let (first, second) = (zstd(b"the first block"), zstd(b"the second block, which breaks off"));
    let file = [&first[..], &second].concat();
    for cut in 4..file.len() {
        let (got, error) = read(&file[..cut], 100);
        let expected: &[u8] = if cut < first.len() { b"" } else { b"the first block" };
        assert_eq!(got, expected, "at {cut}");
        // Between two blocks the reader of the stream knows whether more must follow.
        let is_between = cut == first.len();
        assert_eq!(error, (!is_between).then_some("breaks off"), "at {cut}");
    }
    let skippable = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for cut in 4..skippable.len() {
        assert_eq!(read(&skippable[..cut], 100), (Vec::new(), Some("breaks off")), "at {cut}");
    }
}

#[test]
fn blocks_consist_of_whole_frames_and_are_no_larger_than_they_must_be() {
    let frame = |size: usize| [&(size as u32).to_le_bytes()[..], &vec![7; size]].concat();
    for sizes in [
        vec![1],
        vec![BLOCK / 2 + 1; 4],
        vec![BLOCK, 1, 3 * BLOCK, 1],
        vec![1000; 1000],
        vec![BLOCK - 4, 1, BLOCK - 4],
        vec![],
    ] {
        let stream: Vec<u8> = sizes.iter().flat_map(|size| frame(*size)).collect();
        let mut blocks = Vec::new();
        let written = write_frames(Compression::Zstd, &stream, |block| {
            blocks.push(read(block, 1 << 20).0);
            Ok(())
        });
        written.expect("no failure");
        assert_eq!(blocks.concat(), stream);
        for block in &blocks {
            let first = frame_length(block).expect("a whole frame");
            assert_eq!(crate::stream::reader::whole_frames(block), block.len(), "{sizes:?}");
            assert!(block.len() <= BLOCK || block.len() == first, "{sizes:?}: {}", block.len());
        }
        // No two neighbours fit together.
        for pair in blocks.windows(2) {
            assert!(pair[0].len() + frame_length(&pair[1]).expect("a frame") > BLOCK, "{sizes:?}");
        }
    }
}

#[test]
fn damage_is_an_error_with_its_reason_and_what_precedes_it_is_kept() {
    let (first, mut second) = (zstd(b"the first block"), zstd(b"the second block"));
    let reason = |second: &[u8]| {
        let (got, reason) = read(&[&first[..], second].concat(), 100);
        assert!(got.starts_with(b"the first block"));
        reason
    };
    assert_eq!(reason(b"something else"), Some("is not a zstd frame"));
    let last = second.len() - 1;
    second[last] ^= 1;
    assert_eq!(reason(&second), Some("does not match its checksum"));
    // A window of 16 MiB, and a single segment of 16 MiB.
    let large = [&MAGIC[..], &[0, 14 << 3]].concat();
    assert_eq!(reason(&large), Some("needs a window of more than 8 MiB"));
    let large = [&MAGIC[..], &[0xa0, 0, 0, 0, 1]].concat();
    assert_eq!(reason(&large), Some("needs a window of more than 8 MiB"));
    // A block of the kind that does not exist.
    let reserved = [&MAGIC[..], &[0, 0, 7, 0, 0]].concat();
    assert_eq!(reason(&reserved), Some("cannot be decompressed"));
}

proptest! {
    #[test]
    fn damaged_files_are_read_or_refused(
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..5),
    ) {
        let mut file = [zstd(&text()), zstd(b"more")].concat();
        for (at, byte) in damage {
            let n = file.len() - 4;
            file[4 + at % n] = byte;
        }
        read(&file, 1000);
    }
}
