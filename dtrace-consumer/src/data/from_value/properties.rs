//! A number converts the same way to every type, and one that does not fit is refused.

use proptest::prelude::*;

use super::*;
use crate::data::integer::Sign;

fn integer() -> impl Strategy<Value = Integer> {
    let sign = prop::sample::select(vec![Sign::Signed, Sign::Unsigned, Sign::Unknown]);
    let width = prop::sample::select(vec![1usize, 2, 4, 8]);
    (any::<[u8; 8]>(), width, sign)
        .prop_filter_map("a width", |(b, n, sign)| Integer::from_bytes(&b[..n], sign))
}

proptest! {
    #[test]
    fn both_readings_of_a_number_have_the_same_bits(n in integer()) {
        let bits = 8 * n.width() as u32;
        let mask = u64::MAX >> (64 - bits);
        prop_assert_eq!(n.as_i64().cast_unsigned() & mask, n.as_u64());
        prop_assert!(n.as_u64() <= mask);
        prop_assert_eq!(n.to_string(), n.as_i128().to_string());
    }

    #[test]
    fn a_number_arrives_exactly_or_not_at_all(n in integer()) {
        let value = ValueRef::Integer(n);
        let unknown = n.sign() == Sign::Unknown;
        let signed = if unknown { n.as_i64().into() } else { n.as_i128() };
        let unsigned = if unknown { n.as_u64().into() } else { n.as_i128() };
        macro_rules! same {
            ($meant:expr; $($type:ty),*) => {$(
                prop_assert_eq!(<$type>::from_value(value).ok(), <$type>::try_from($meant).ok());
            )*};
        }
        same!(signed; i8, i16, i32, i64, isize, i128);
        same!(unsigned; u8, u16, u32, u64, usize, u128);
    }

    #[test]
    fn bytes_of_another_length_are_no_number(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let is_number = matches!(bytes.len(), 1 | 2 | 4 | 8);
        prop_assert_eq!(Integer::from_bytes(&bytes, Sign::Signed).is_some(), is_number);
    }
}
