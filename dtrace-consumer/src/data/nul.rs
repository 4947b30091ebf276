//! Where does a C string end?

/// Returns what precedes the first zero. Eight bytes at a time, because most strings are short and this is done for
/// each.
pub(crate) fn up_to_nul(bytes: &[u8]) -> &[u8] {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is in the first byte that is zero.
        let zeros = word.wrapping_sub(ONES) & !word & HIGH;
        if zeros != 0 {
            return &bytes[..at + zeros.trailing_zeros() as usize / 8];
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|b| *b == 0);
    &bytes[..rest.map_or(bytes.len(), |n| at + n)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_first_nul_wherever_that_is() {
        for length in 0..40 {
            for at in 0..length {
                let mut bytes = vec![b'x'; length];
                bytes[at] = 0;
                bytes[length - 1] = 0;
                assert_eq!(up_to_nul(&bytes), &bytes[..at]);
            }
            let whole = vec![0x81; length];
            assert_eq!(up_to_nul(&whole), whole);
        }
    }
}
