//! Encoded frames decode to the same frames, and arbitrary bytes do no harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::Frame;
use super::job::Command;
use super::strategies;

proptest! {
    #[test]
    fn every_frame_arrives_as_it_was_sent(sample in strategies::sample()) {
        let frame = sample.frame();
        let mut sent = Vec::new();
        frame.encode(&mut sent);
        let (length, body) = sent.split_first_chunk().unwrap();
        prop_assert_eq!(u32::from_le_bytes(*length) as usize, body.len());
        prop_assert_eq!(Frame::decode(body), Ok(frame));
    }

    #[test]
    fn every_command_arrives_as_it_was_sent(command in strategies::command()) {
        prop_assert_eq!(Command::decode(&command.encode()[4..]), Ok(command));
    }

    #[test]
    fn fields_that_a_later_version_appends_are_passed_over(
        sample in strategies::sample(),
        more in vec(any::<u8>(), 0..16),
    ) {
        let mut sent = Vec::new();
        sample.frame().encode(&mut sent);
        sent.extend(more);
        prop_assert_eq!(Frame::decode(&sent[4..]), Ok(sample.frame()));
    }

    #[test]
    fn a_frame_that_breaks_off_is_refused(sample in strategies::sample(), at in any::<usize>()) {
        let mut sent = Vec::new();
        sample.frame().encode(&mut sent);
        let body = &sent[4..];
        prop_assert!(Frame::decode(&body[..at % body.len()]).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused(
        kind in 0u8..=33,
        payload in vec(any::<u8>(), 0..200),
    ) {
        let body = [&[kind][..], &payload].concat();
        // Every frame that decodes can be encoded again, with the same meaning.
        if let Ok(frame) = Frame::decode(&body) {
            let mut sent = Vec::new();
            frame.encode(&mut sent);
            prop_assert_eq!(Frame::decode(&sent[4..]), Ok(frame));
        }
        if let Ok(command) = Command::decode(&body) {
            prop_assert_eq!(Command::decode(&command.encode()[4..]), Ok(command));
        }
    }

    #[test]
    fn a_damaged_frame_is_decoded_or_refused(
        sample in strategies::sample(),
        command in strategies::command(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut sent = Vec::new();
        sample.frame().encode(&mut sent);
        let mut order = command.encode();
        for (at, byte) in damage {
            let n = sent.len() - 4;
            sent[4 + at % n] = byte;
            let n = order.len() - 4;
            order[4 + at % n] = byte;
        }
        let _ = Frame::decode(&sent[4..]);
        let _ = Command::decode(&order[4..]);
    }
}
