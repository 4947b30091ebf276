//! What is a recording that is compressed, cut, anonymised, or damaged?

use std::time::Duration;

use dtrace_consumer::recording::{Anonymise, Compression, Cut, Kept, RecordingInfo, Replaced};
use dtrace_consumer::{Error, replay_from};

const GOLDEN: &[u8] = include_bytes!("data/recordings/v2.dtrace");
const SEGMENTS: &[u8] = include_bytes!("../../examples/recordings/tcp_segments.dtrace");

fn cut(source: &[u8], cut: &Cut) -> Result<(Kept, Vec<u8>), Error> {
    let mut target = Vec::new();
    cut.apply(source, &mut target).map(|kept| (kept, target))
}

fn info(recording: &[u8]) -> RecordingInfo {
    RecordingInfo::read(recording).expect("a recording")
}

/// Every firing and entry, as text.
fn events(recording: &[u8]) -> Vec<String> {
    let seen = std::cell::RefCell::new(Vec::new());
    let keep = |line: String| {
        seen.borrow_mut().push(line);
        Ok(())
    };
    replay_from(recording)
        .chew(|firing| keep(format!("{firing} {:?}", firing.records().collect::<Vec<_>>().len())))
        .chewrec(|record| record.aggregated().try_for_each(|entry| keep(format!("  {entry}"))))
        .walk(|entry| keep(entry.to_string()))
        .run()
        .expect("a whole recording");
    seen.into_inner()
}

#[test]
fn a_compressed_recording_holds_the_same() {
    let everything = Cut::new();
    let (kept, compressed) = cut(SEGMENTS, &everything).expect("a recording");
    assert!(kept.firings == kept.of && kept.of > 0, "{kept:?}");
    assert!(compressed.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    assert!(compressed.len() < SEGMENTS.len());
    assert_eq!(events(&compressed), events(SEGMENTS));
    let (_, plain) =
        cut(&compressed, &everything.compression(Compression::None)).expect("a recording");
    assert_eq!(events(&plain), events(SEGMENTS));
    let edits = info(&plain).edits;
    assert_eq!(edits.len(), 2, "{edits:?}");
    assert_eq!(cut(SEGMENTS, &Cut::new()).expect("a recording").1, compressed);
}

#[test]
fn a_recording_that_ends_at_any_byte_gives_what_precedes_and_an_error() {
    let (_, compressed) = cut(SEGMENTS, &Cut::new().take(5)).expect("a recording");
    let plain = Cut::new().take(5).compression(Compression::None);
    let (_, plain) = cut(SEGMENTS, &plain).expect("a recording");
    for whole in [&compressed, &plain] {
        for end in 0..whole.len() {
            let part = &whole[..end];
            let mut firings = 0;
            let result = replay_from(part)
                .chew(|_| {
                    firings += 1;
                    Ok(())
                })
                .run();
            let mut target = Vec::new();
            let again = Cut::new().apply(part, &mut target);
            let info = RecordingInfo::read(part);
            match result.map_err(|failure| failure.error) {
                // What follows the end of the stream is how the command ended.
                Ok(_) => assert!(firings == 5 && again.is_ok(), "at {end}"),
                Err(Error::NotARecording { .. }) => {
                    assert!(end == 0 && again.is_err() && info.is_err(), "at {end}");
                }
                Err(Error::Stream { .. }) => {
                    assert!(again.is_err(), "at {end}");
                    if let Ok(info) = info {
                        assert!(info.firings == firings && info.damage.is_some(), "at {end}");
                    }
                }
                Err(other) => panic!("at {end}: {other}"),
            }
        }
    }
}

/// Splits a stream into its frames.
fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some(length) = stream.first_chunk() {
        let (frame, rest) = stream.split_at(4 + u32::from_le_bytes(*length) as usize);
        frames.push(frame);
        stream = rest;
    }
    frames
}

#[test]
fn a_compressed_recording_that_ends_at_any_byte_gives_the_whole_blocks_before() {
    let plain = Cut::new().take(5).compression(Compression::None);
    let (_, plain) = cut(SEGMENTS, &plain).expect("a recording");
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let mut blocks = Vec::new();
    for some in frames(&plain).chunks(3) {
        // The kind of a firing's frame.
        let firings = some.iter().filter(|frame| frame[4] == 6).count();
        blocks.push((ruzstd::encoding::compress_to_vec(&some.concat()[..], level), firings));
    }
    assert!(blocks.iter().map(|(_, firings)| firings).sum::<usize>() == 5 && blocks.len() > 5);
    let whole: Vec<u8> = blocks.iter().flat_map(|(block, _)| block.clone()).collect();
    let ends: Vec<usize> = blocks
        .iter()
        .scan(0, |end, (block, _)| {
            *end += block.len();
            Some(*end)
        })
        .collect();
    for end in 4..whole.len() {
        let before = ends.iter().filter(|at| **at <= end).count();
        let expected: usize = blocks[..before].iter().map(|(_, firings)| firings).sum();
        let mut firings = 0;
        let result = replay_from(&whole[..end])
            .chew(|_| {
                firings += 1;
                Ok(())
            })
            .run();
        assert_eq!(firings, expected, "at {end}");
        let is_boundary = ends.contains(&end);
        match result.map_err(|failure| failure.error) {
            Err(Error::Stream { cause, .. }) if !is_boundary => {
                assert_eq!((cause.field, cause.reason), ("compressed block", "breaks off"));
            }
            Err(Error::Stream { .. }) => {}
            // What follows the end of the stream is how the command ended.
            Ok(_) => assert!(is_boundary && before + 1 == blocks.len(), "at {end}"),
            Err(other) => panic!("at {end}: {other}"),
        }
        if let Ok(info) = RecordingInfo::read(&whole[..end]) {
            assert_eq!(info.firings as usize, expected, "at {end}");
        }
    }
}

#[test]
fn foreign_and_other_versions_are_refused_by_name() {
    const BAD_RECORDINGS_BY_VERSION: [u8; 2] = [1, 3];
    const BAD_RECORDINGS: [&[u8]; 3] = [b"", b"#!/bin/sh\necho hello\n", &[0; 100]];
    let mut other = GOLDEN.to_vec();
    for version in BAD_RECORDINGS_BY_VERSION {
        other[9] = version;
        let mut target = Vec::new();
        let errors = [
            RecordingInfo::read(&other[..]).map(drop).unwrap_err(),
            Cut::new().apply(&other[..], &mut target).map(drop).unwrap_err(),
            Anonymise::new().apply(&other[..], &mut target).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, Error::RecordingVersion { found, .. } if found == u16::from(version)),
                "{error}"
            );
        }
        assert!(target.is_empty());
    }
    for foreign in BAD_RECORDINGS {
        let error = RecordingInfo::read(foreign).unwrap_err();
        assert!(matches!(error, Error::NotARecording { .. }), "{error}");
    }
}

#[test]
fn a_cut_by_probes_or_number_keeps_these_firings_and_what_they_print() {
    let all: Vec<String> =
        events(GOLDEN).into_iter().filter(|line| line.starts_with("dtrace:")).collect();
    let (kept, part) = cut(GOLDEN, &Cut::new().probe("dtrace:::BEGIN")).expect("a recording");
    let begins: Vec<String> =
        events(GOLDEN).into_iter().filter(|line| line.starts_with("dtrace:::BEGIN")).collect();
    let found: Vec<String> = events(&part)
        .into_iter()
        .filter(|line| line.contains(":::") || line.starts_with("syscall"))
        .collect();
    assert_eq!((found.len() as u64, &found), (kept.firings, &begins));
    assert!(kept.firings < kept.of && all.len() as u64 >= kept.firings, "{kept:?}");
    // A recording of nothing is a recording.
    let (kept, none) = cut(GOLDEN, &Cut::new().probe("no:such:pro:be")).expect("a recording");
    assert_eq!((kept.firings, info(&none).firings), (0, 0));

    let count = |cut_: &Cut| info(&cut(SEGMENTS, cut_).expect("a recording").1).firings;
    let total = info(SEGMENTS).firings;
    assert_eq!(count(&Cut::new().skip(3).take(4)), 4);
    assert_eq!(count(&Cut::new().skip(total - 1).take(4)), 1);
    assert_eq!(count(&Cut::new().skip(total + 1)), 0);
    let skipped = cut(SEGMENTS, &Cut::new().skip(3).take(4)).expect("a recording").1;
    assert_eq!(events(&skipped)[..4], events(SEGMENTS)[3..7]);
    let [edit] = &info(&skipped).edits[..] else { panic!("one edit") };
    assert_eq!(
        (edit.what.as_str(), edit.details.as_str()),
        ("cut", "without the first 3 firings, at most 4 firings")
    );
}

#[test]
fn a_cut_by_time_needs_times() {
    // The golden recording has none.
    let error = cut(GOLDEN, &Cut::new().until(Duration::from_secs(1))).unwrap_err();
    assert!(matches!(error, Error::NotRecorded { wanted_by: "a cut by time", .. }), "{error}");
    let error = cut(GOLDEN, &Cut::new().probe("a:b:c:d:e")).unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error}");
}

fn anonymised(source: &[u8], hide: &str) -> (Replaced, Vec<u8>) {
    let mut target = Vec::new();
    let anonymise = Anonymise::new().hide(hide).compression(Compression::None);
    (anonymise.apply(source, &mut target).expect("a recording"), target)
}

fn has(recording: &[u8], word: &str) -> bool {
    recording.windows(word.len()).any(|part| part == word.as_bytes())
}

#[test]
fn an_anonymised_recording_has_the_same_shape_and_none_of_the_names() {
    let before = info(GOLDEN);
    let (replaced, target) = anonymised(GOLDEN, "");
    let after = info(&target);
    assert_eq!((after.firings, after.entries), (before.firings, before.entries));
    assert_eq!(events(&target).len(), events(GOLDEN).len());
    assert!(replaced.addresses > 0 && replaced.texts > 0, "{replaced:?}");
    assert!(after.scripts.iter().all(|(_, text)| text.is_empty()));
    assert!(after.origin.is_none_or(|origin| origin.command.is_none()));
    let library = &before.session.expect("a session").library;
    assert!(has(GOLDEN, library) && !has(&target, library), "{library}");
    // No address of a stack is the recorded one.
    let addresses = |recording: &[u8]| {
        let mut addresses = Vec::new();
        replay_from(recording)
            .chewrec(|record| {
                if let dtrace_consumer::ValueRef::Stack(stack) = record.value() {
                    addresses.extend(stack.frames().map(|frame| frame.address()));
                }
                Ok(())
            })
            .run()
            .expect("a recording");
        addresses
    };
    let (was, is) = (addresses(GOLDEN), addresses(&target));
    assert!(was.len() == is.len() && !was.is_empty());
    assert!(was.iter().all(|address| !is.contains(address)));
    // The same address twice is the same one still.
    for (n, address) in was.iter().enumerate() {
        let first = was.iter().position(|it| it == address).expect("it is there");
        assert_eq!(is[first], is[n]);
    }
}

#[test]
fn the_same_input_has_the_same_output_and_a_word_can_be_hidden() {
    assert_eq!(anonymised(GOLDEN, "traced"), anonymised(GOLDEN, "traced"));
    let (none, plain) = anonymised(GOLDEN, "");
    assert_eq!(none.hidden, 0);
    let session = info(GOLDEN).session.expect("a session");
    // Parts of the names of providers, probes, functions, aggregations, and of what the session tells of the system.
    let words = ["BEGIN", "invalid", &session.kernel, &session.machine, &session.library_version];
    for word in words {
        // Such names stay unless they are to be hidden.
        assert!(has(&plain, word), "{word}");
        let (replaced, target) = anonymised(GOLDEN, word);
        assert!(replaced.hidden > 0 && !has(&target, word), "{word}");
        assert_eq!(events(&target).len(), events(GOLDEN).len());
    }
    let mut names = Vec::new();
    replay_from(GOLDEN)
        .walk(|entry| {
            names.push(entry.name().to_owned());
            Ok(())
        })
        .run()
        .expect("a whole recording");
    names.retain(|name| name.len() > 2);
    assert!(!names.is_empty());
    for name in names {
        assert!(!has(&anonymised(GOLDEN, &name).1, &name), "{name}");
    }
    let (again, twice) = anonymised(&plain, "");
    assert_eq!(info(&twice).edits.len(), 2);
    assert_eq!((again.texts, again.memory), (info(&plain).scripts.len() as u64, 0));
}
