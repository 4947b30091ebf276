//! How do the records of a firing, and the keys of an entry, travel without what they do not use?
//!
//! libdtrace gives every record a place of fixed size: 256 bytes for each string. A stream has the records one
//! after another, large ones and texts without the zeros at their end. The reader puts each record back in its
//! place, and fills the rest with zeros.
//!
//! Only the worker knows how large a D string is. It leaves out what lies behind a string's NUL: the kernel
//! does not clear it, so it is left over from earlier strings. Nothing else is lost. The reader needs to know
//! only which records have a length in front, which their descriptions tell.

#[cfg(all(test, feature = "live"))]
mod tests;

use std::ops::Range;

use super::wire::{Malformed, Put, Take};
use crate::data::nul::up_to_nul;
use crate::data::record::{Action, RecordDescription};

/// The most bytes that the records of a clause, or the keys of an aggregation, may take in their places.
/// libdtrace for Linux cannot record more than 32 KiB.
pub(crate) const UNPACKED_LIMIT: usize = 256 << 10;

/// The largest record that travels whole, unless it is a text.
const SMALL: u32 = 16;

/// How the records of a clause are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packing {
    pieces: Vec<Piece>,
    /// The number of bytes up to the end of the last record.
    length: usize,
}

/// A part of the data: a record, or several small ones without a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: usize,
    size: usize,
    cut: Cut,
}

/// Where a piece ends in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// At its end. It has no length in front of it.
    Never,
    /// Before its first zero.
    AtNul,
    /// Before the zeros at its end.
    ZerosAtEnd,
}

impl Packing {
    /// Determines how `records` are packed without loss.
    pub(crate) fn of(records: &[RecordDescription]) -> Packing {
        Packing::with_strings(records, None)
    }

    /// Determines how `records` are packed, those that may be D strings without what lies behind their NULs.
    /// `string_size` is the size of a D string, if it is known.
    ///
    /// The result differs from that of [`Packing::of`] only in how much of a record travels, so that a reader
    /// unpacks both alike.
    pub(crate) fn with_strings(records: &[RecordDescription], string_size: Option<u32>) -> Packing {
        let mut pieces: Vec<Piece> = Vec::with_capacity(records.len());
        for record in records.iter().filter(|r| r.size > 0) {
            let (offset, size) = (record.offset as usize, record.size as usize);
            let cut = match record.size {
                size if is_text(record) && Some(size) == string_size => Cut::AtNul,
                _ if is_text(record) => Cut::ZerosAtEnd,
                ..=SMALL => Cut::Never,
                _ => Cut::ZerosAtEnd,
            };
            match pieces.last_mut() {
                Some(last)
                    if (last.cut, cut) == (Cut::Never, Cut::Never)
                        && last.offset.checked_add(last.size) == Some(offset) =>
                {
                    last.size = last.size.saturating_add(size);
                }
                _ => pieces.push(Piece { offset, size, cut }),
            }
        }
        let length = pieces.iter().map(|p| p.offset.saturating_add(p.size)).max().unwrap_or(0);
        Packing { pieces, length }
    }

    /// Returns the number of bytes up to the end of the last record that has any.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Refuses records that take too much memory in their places, however few bytes of them travel.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        match self.length {
            ..=UNPACKED_LIMIT => Ok(()),
            _ => Err(Malformed::new("records", "their sizes exceed the limit")),
        }
    }

    /// Returns where the packed records are in the data, if they are a part of them, as those of numbers mostly are. Then
    /// nothing need be copied.
    #[inline]
    pub(crate) fn whole(&self) -> Option<Range<usize>> {
        match self.pieces[..] {
            [] => Some(0..0),
            [Piece { offset, size, cut: Cut::Never }] => Some(offset..offset.saturating_add(size)),
            _ => None,
        }
    }

    /// Appends the records in `data` to `packed`. What `data` lacks counts as zeros.
    pub(crate) fn pack(&self, data: &[u8], packed: &mut Vec<u8>) {
        for piece in &self.pieces {
            let from = data.get(piece.offset..).unwrap_or_default();
            let bytes = from.get(..piece.size).unwrap_or(from);
            let used = match piece.cut {
                Cut::Never => {
                    let end = packed.len().saturating_add(piece.size);
                    packed.extend_from_slice(bytes);
                    packed.resize(end, 0);
                    continue;
                }
                Cut::AtNul => up_to_nul(bytes),
                Cut::ZerosAtEnd => without_zeros_at_end(bytes),
            };
            packed.put_length(used.len());
            packed.extend_from_slice(used);
        }
    }
}

/// Records in their places. One buffer serves all firings of a stream, so that a firing costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Zero, except where `written` says.
    bytes: Vec<u8>,
    written: Vec<(usize, usize)>,
}

impl Unpacked {
    /// Puts `packed` records in their places. Takes time in proportion to the packed ones, whatever the size
    /// of the places.
    pub(crate) fn unpack<'u>(
        &'u mut self,
        packing: &Packing,
        packed: &'u [u8],
    ) -> Result<&'u [u8], Malformed> {
        packing.check()?;
        if packing.whole() == Some(0..packed.len()) {
            return Ok(packed);
        }
        for (start, end) in self.written.drain(..) {
            self.bytes[start..end].fill(0);
        }
        if self.bytes.len() < packing.length {
            self.bytes.resize(packing.length, 0);
        }
        let mut t = Take::new(packed);
        for piece in &packing.pieces {
            let length = match piece.cut {
                Cut::Never => piece.size,
                Cut::AtNul | Cut::ZerosAtEnd => t.length("record length")?,
            };
            if length > piece.size {
                return Err(Malformed::new("record length", "exceeds the record's size"));
            }
            let used = t.raw(length, "record")?;
            let end = piece.offset + length;
            self.written.push((piece.offset, end));
            self.bytes[piece.offset..end].copy_from_slice(used);
        }
        if !t.is_empty() {
            return Err(Malformed::new("records", "are longer than described"));
        }
        Ok(&self.bytes[..packing.length])
    }
}

/// Returns whether dtrace(1) prints the record as a string: a D string, an array of characters, or a structure of
/// nothing else. libdtrace describes them alike, except that a D string has the size of the option `strsize`.
pub(crate) fn is_text(record: &RecordDescription) -> bool {
    use Action::{Freopen, Printf, System, Trace};
    record.alignment == 1
        && record.size > 1
        && matches!(record.action, Trace | Printf | System | Freopen)
}

fn without_zeros_at_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((rest, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])) =
        bytes.split_last_chunk()
    {
        bytes = rest;
    }
    while let Some((0, rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}
