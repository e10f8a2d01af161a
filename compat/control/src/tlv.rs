//! Attributes: a 4-byte header (length, type) and a payload, padded to 4 bytes.
//!
//! The layout is that of `struct nlattr`. Bit 14 of the type, which is NLA_F_NET_BYTEORDER
//! elsewhere, means "must be understood" in this family (spec 30 section 4.1). Integers are in
//! host byte order: both ends run on the same machine.

use thiserror::Error;

/// Bytes of an attribute header.
pub const HEADER: usize = 4;

bitflags::bitflags! {
    /// The two flag bits of an attribute type.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct AttrFlags: u16 {
        /// A receiver that does not know the number must refuse the message.
        const MANDATORY = 0x4000;
        /// The payload is a list of attributes.
        const NESTED = 0x8000;
    }
}

/// One attribute of a received message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr<'a> {
    /// Number within its set, without flag bits.
    pub number: u16,
    /// The flag bits.
    pub flags: AttrFlags,
    /// The value, without padding.
    pub payload: &'a [u8],
}

/// A list of attributes is not well formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("malformed attribute at offset {offset}")]
pub struct Malformed {
    /// Where in the list.
    pub offset: usize,
}

/// Walks over a list of attributes; stops after the first malformed one. Attributes of number 0
/// are padding (spec 30 section 4.1) and are left out.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    list: &'a [u8],
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// The attributes in `list`.
    pub const fn new(list: &'a [u8]) -> Self {
        Self { list, offset: 0 }
    }

    fn parse_next(&mut self) -> Result<Attr<'a>, Malformed> {
        let malformed = Malformed {
            offset: self.offset,
        };
        let rest = &self.list[self.offset..];
        let (header, _) = rest.split_first_chunk::<HEADER>().ok_or(malformed)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]);
        let payload = rest.get(HEADER..length).ok_or(malformed)?;
        // The last attribute of a message may lack its padding.
        self.offset = (self.offset + length.next_multiple_of(4)).min(self.list.len());
        Ok(Attr {
            number: kind & !AttrFlags::all().bits(),
            flags: AttrFlags::from_bits_truncate(kind),
            payload,
        })
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.offset < self.list.len() {
            match self.parse_next() {
                Ok(attr) if attr.number == 0 => {}
                Ok(attr) => return Some(Ok(attr)),
                Err(error) => {
                    self.offset = self.list.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Appends attributes to a message.
///
/// An attribute length is 16 bits wide. What the schema allows is far below that (the longest
/// text has 127 bytes); info texts are cut by [`Writer::put`].
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes behind what `out` holds.
    pub const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends one attribute; a payload longer than 65531 bytes is cut.
    pub fn put(&mut self, number: u16, flags: AttrFlags, payload: &[u8]) {
        let payload = &payload[..payload.len().min(usize::from(u16::MAX) - HEADER)];
        let length = u16::try_from(HEADER + payload.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&length.to_ne_bytes());
        self.out
            .extend_from_slice(&(number | flags.bits()).to_ne_bytes());
        self.out.extend_from_slice(payload);
        self.pad();
    }

    /// Appends an attribute whose payload is the list that `fill` writes. The list of a nest is
    /// bounded by the schema: a few hundred bytes.
    pub fn nest(&mut self, number: u16, flags: AttrFlags, fill: impl FnOnce(&mut Writer<'_>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 2]);
        self.out
            .extend_from_slice(&(number | flags.bits()).to_ne_bytes());
        fill(&mut Writer { out: self.out });
        let length = u16::try_from(self.out.len() - start).unwrap_or(u16::MAX);
        self.out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    /// Appends attributes that are already encoded.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.out.len().next_multiple_of(4);
        self.out.resize(padded, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_framed_as_in_the_captured_request() {
        let mut out = Vec::new();
        Writer::new(&mut out).nest(2, AttrFlags::NESTED, |w| {
            w.put(2, AttrFlags::MANDATORY, b"r0\0");
        });
        // Spec 30 section 9.2.
        let captured = [
            0x0c, 0x00, 0x02, 0x80, 0x07, 0x00, 0x02, 0x40, 0x72, 0x30, 0x00, 0x00,
        ];
        assert_eq!(out, captured);
    }

    #[test]
    fn padding_attributes_are_skipped_wherever_they_stand() {
        let list = [
            4, 0, 0, 0, 5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 0, 0, 5, 0, 2, 0, 8,
        ];
        let seen: Vec<_> = Attrs::new(&list)
            .map(|a| a.map(|a| (a.number, a.payload[0])))
            .collect();
        assert_eq!(seen, [Ok((1, 9)), Ok((2, 8))]);
    }

    #[test]
    fn a_length_below_the_header_or_beyond_the_list_ends_the_walk() {
        for bad in [&[3, 0, 1, 0][..], &[9, 0, 1, 0, 0], &[0, 0, 0, 0], &[4, 0]] {
            let seen: Vec<_> = Attrs::new(bad).collect();
            assert_eq!(seen, [Err(Malformed { offset: 0 })]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic_and_without_growth(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let covered: usize = Attrs::new(&bytes)
                .filter_map(Result::ok)
                .map(|a| HEADER + a.payload.len())
                .sum();
            prop_assert!(covered <= bytes.len());
        }
    }
}
