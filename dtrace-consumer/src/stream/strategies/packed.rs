//! Generators of records that fit their descriptions.

use super::*;

/// Generates a clause with firings that fit it.
pub(super) fn fired() -> impl Strategy<Value = Vec<Sample>> {
    (clause(), vec((firing(), vec(any::<u8>(), 0..100)), 0..3)).prop_map(|(clause, firings)| {
        let (key, packing) = (clause.key, Packing::of(&clause.records));
        let mut samples = vec![Sample::Plain(Frame::Clause(clause))];
        for (mut firing, raw) in firings {
            if let Sample::Firing { numbers, data, .. } = &mut firing {
                numbers.1 = key;
                data.clear();
                if packing.check().is_ok() {
                    packing.pack(&raw, data);
                }
            }
            samples.push(firing);
        }
        samples
    })
}
