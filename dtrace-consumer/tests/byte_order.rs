//! Is a recording of the other byte order refused, and not misread?

use dtrace_consumer::session::ByteOrder;
use dtrace_consumer::{Error, Failure, Outcome, replay_from};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const GOLDEN: &[u8] = include_bytes!("data/recordings/v2.dtrace");

/// The kind of a frame with which a stream begins.
const BEGIN: u8 = 1;

/// Returns the golden recording with this number of its byte order, which is the last byte but one of a begin frame.
fn with(byte: u8) -> Vec<u8> {
    let mut recording = GOLDEN.to_vec();
    let mut start = 0;
    while let Some(length) = recording[start..].first_chunk() {
        let end = start + 4 + u32::from_le_bytes(*length) as usize;
        if recording[start + 4] == BEGIN {
            recording[end - 2] = byte;
        }
        start = end;
    }
    recording
}

fn replayed(recording: &[u8]) -> (usize, Result<Outcome, Failure>) {
    let mut firings = 0;
    let result = replay_from(recording)
        .chew(|_| {
            firings += 1;
            Ok(())
        })
        .run();
    (firings, result)
}

/// The number of the byte order that this machine does not have.
const OTHER: u8 = if cfg!(target_endian = "little") { 1 } else { 0 };

#[test]
#[cfg_attr(target_endian = "big", ignore = "the golden recording is little-endian")]
fn a_recording_of_this_byte_order_is_replayed() {
    let (firings, result) = replayed(&with(0));
    let order = result.expect("it is whole").session.expect("a session").byte_order;
    assert!(firings > 0 && order == ByteOrder::LittleEndian, "{firings} {order}");
}

#[test]
fn a_recording_of_the_other_byte_order_is_refused_before_its_first_firing() {
    let (firings, result) = replayed(&with(OTHER));
    let error = result.expect_err("its numbers cannot be read here").error;
    assert_eq!(firings, 0);
    assert!(matches!(error, Error::RecordingByteOrder { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("cannot replay the input") && text.contains("-endian machine)"),
        "{text}"
    );
}

#[test]
fn a_byte_order_that_does_not_exist_is_damage() {
    let (firings, result) = replayed(&with(2));
    let error = result.expect_err("there are two byte orders").error;
    assert!(firings == 0 && matches!(error, Error::Stream { position: 0, .. }), "{error}");
}

/// Where the first frame ends, which names the byte order.
fn end_of_beginning() -> usize {
    let length = GOLDEN.first_chunk().map(|length| u32::from_le_bytes(*length));
    4 + length.expect("a length") as usize
}

proptest! {
    #[test]
    fn nothing_of_the_other_byte_order_is_read_whatever_follows(
        changes in vec((any::<Index>(), any::<u8>()), 0..20),
    ) {
        let mut recording = with(OTHER);
        let rest = &mut recording[end_of_beginning()..];
        for (place, byte) in changes {
            rest[place.index(rest.len())] = byte;
        }
        let (firings, result) = replayed(&recording);
        let error = result.expect_err("its numbers cannot be read here").error;
        prop_assert_eq!(firings, 0);
        prop_assert!(matches!(error, Error::RecordingByteOrder { .. }), "{}", error);
    }
}
