//! Does an error about a recording name its file?

use std::path::{Path, PathBuf};
use std::time::Duration;

use dtrace_consumer::recording::{Anonymise, Compression, Cut, RecordingInfo};
use dtrace_consumer::{Error, replay, replay_from};

const GOLDEN: &[u8] = include_bytes!("data/recordings/v2.dtrace");

/// Whatever fails on a recording: in a file, and in memory.
type Attempt = (&'static str, fn(&Path) -> Option<String>, fn(&[u8]) -> Option<String>);

fn said<T>(result: Result<T, Error>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

const ATTEMPTS: [Attempt; 4] = [
    (
        "info",
        |path| RecordingInfo::read_file(path).map_or_else(|e| Some(e.to_string()), |it| it.damage),
        |bytes| RecordingInfo::read(bytes).map_or_else(|e| Some(e.to_string()), |it| it.damage),
    ),
    (
        "replay",
        |path| said(replay(path).run().map_err(|failure| failure.error)),
        |bytes| said(replay_from(bytes).run().map_err(|failure| failure.error)),
    ),
    (
        "cut",
        |path| said(Cut::new().apply_file(path, Vec::new())),
        |bytes| said(Cut::new().apply(bytes, Vec::new())),
    ),
    (
        "anonymise",
        |path| said(Anonymise::new().apply_file(path, Vec::new())),
        |bytes| said(Anonymise::new().apply(bytes, Vec::new())),
    ),
];

fn write(place: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = place.path().join("mine.dtrace");
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// The kinds of damage: between frames, within one, and within a compressed one.
fn damaged() -> [Vec<u8>; 4] {
    let mut compressed = Vec::new();
    Cut::new().apply(GOLDEN, &mut compressed).expect("a recording");
    let mut plain = Vec::new();
    Cut::new().compression(Compression::None).apply(GOLDEN, &mut plain).expect("a recording");
    let first = 4 + u32::from_le_bytes(*plain.first_chunk().expect("a length")) as usize;
    // The kind of the second frame becomes that of a firing, whose probe is not described.
    let mut invalid = plain.clone();
    invalid[first + 4] = 6;
    compressed.truncate(compressed.len() - 3);
    [plain[..first].to_vec(), plain[..first + 2].to_vec(), invalid, compressed]
}

#[test]
fn damage_is_reported_with_the_file_and_without_a_file_as_that_of_the_stream() {
    let place = tempfile::tempdir().expect("a directory");
    for (n, bytes) in damaged().iter().enumerate() {
        let path = write(&place, bytes);
        let name = path.display().to_string();
        for (what, of_file, of_bytes) in ATTEMPTS {
            // What a frame refers to does not concern a cut or a description.
            let (Some(error), Some(unnamed)) = (of_file(&path), of_bytes(bytes)) else {
                assert!(n == 2 && matches!(what, "info" | "cut"), "{what} {n} succeeds");
                continue;
            };
            assert!(error.starts_with(&format!("{name} is damaged at byte ")), "{what}: {error}");
            assert_eq!(error.replacen(&name, "the stream", 1), unnamed, "{what}");
        }
    }
}

#[test]
fn what_a_recording_lacks_is_reported_with_the_file() {
    let place = tempfile::tempdir().expect("a directory");
    let mut without_text = Vec::new();
    Anonymise::new().apply(GOLDEN, &mut without_text).expect("a recording");
    let path = write(&place, &without_text);
    let name = path.display().to_string();
    let cut = Cut::new().from(Duration::from_secs(1));
    for (error, unnamed) in [
        (said(cut.apply_file(&path, Vec::new())), said(cut.apply(&without_text[..], Vec::new()))),
        (
            said(replay(&path).out(|_| Ok(())).run().map_err(|failure| failure.error)),
            said(replay_from(&without_text[..]).out(|_| Ok(())).run().map_err(|f| f.error)),
        ),
    ] {
        let (error, unnamed) = (error.expect("an error"), unnamed.expect("an error"));
        assert!(error.starts_with(&format!("{name} has no ")), "{error}");
        assert_eq!(error.replacen(&name, "the recording", 1), unnamed);
    }
}

#[test]
fn a_limit_on_memory_is_reported_with_the_file() {
    let place = tempfile::tempdir().expect("a directory");
    let path = write(&place, GOLDEN);
    let error = replay(&path).memory_limit(10).run().expect_err("a limit").error.to_string();
    assert!(error.starts_with(&format!("{} is damaged", path.display())), "{error}");
}
