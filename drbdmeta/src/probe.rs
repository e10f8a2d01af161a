//! Recognising what already lies on a device before meta-data is put there
//! (spec 40 section 12). Pure: it looks at the first [`PROBE_BYTES`] bytes.

/// How much is looked at.
pub const PROBE_BYTES: usize = 69_632;

/// What a signature belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Swap space.
    Swap,
    /// An LVM physical volume.
    Lvm,
    /// ext3 or ext4.
    Ext3,
    /// ext2.
    Ext2,
    /// XFS.
    Xfs,
    /// JFS.
    Jfs,
    /// ReiserFS.
    Reiser,
}

impl Kind {
    /// The words of the genuine tool.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Swap => "swap space signature",
            Self::Lvm => "LVM2 physical volume signature",
            Self::Ext3 => "ext3 filesystem",
            Self::Ext2 => "ext2 filesystem",
            Self::Xfs => "xfs filesystem",
            Self::Jfs => "JFS filesystem",
            Self::Reiser => "reiser filesystem",
        }
    }
}

/// What is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Only zeros.
    Nothing,
    /// Something with a known signature.
    Known {
        /// What it is.
        kind: Kind,
        /// Bytes that it says to use; `None` where the signature has no size, or a senseless one.
        bytes: Option<u128>,
    },
    /// Something else.
    SomeData,
}

/// Looks at the beginning of a device. A shorter slice simply shows less.
pub fn probe(head: &[u8]) -> Content {
    if head.iter().all(|&b| b == 0) {
        return Content::Nothing;
    }
    match signature(head) {
        Some((kind, bytes)) => Content::Known {
            kind,
            bytes: bytes.filter(|&b| b != 0),
        },
        None => Content::SomeData,
    }
}

fn signature(head: &[u8]) -> Option<(Kind, Option<u128>)> {
    let swap = |at| has(head, at, b"SWAP-SPACE") || has(head, at, b"SWAPSPACE2");
    if swap(4096 - 10) || swap(8192 - 10) {
        return Some((Kind::Swap, None));
    }
    if has(head, 0x218, b"LVM2") {
        return Some((Kind::Lvm, None));
    }
    if le16(head, 0x438) == Some(0xef53) {
        let has_journal = head.get(0x45c).is_some_and(|b| b & 4 != 0);
        let kind = if has_journal { Kind::Ext3 } else { Kind::Ext2 };
        let block = match le32(head, 0x418)? {
            log @ 0..=2 => 1024u128 << log,
            _ => 4096,
        };
        return Some((kind, Some(u128::from(le32(head, 0x404)?) * block)));
    }
    if has(head, 0, b"XFSB") {
        let blocks = u64::from_be_bytes(array(head, 8)?);
        let block = u32::from_be_bytes(array(head, 4)?);
        return Some((Kind::Xfs, Some(u128::from(blocks) * u128::from(block))));
    }
    if has(head, 0x8000, b"JFS1") {
        let blocks = u64::from_le_bytes(array(head, 0x8008)?);
        let block = le32(head, 0x8018)?;
        return Some((Kind::Jfs, Some(u128::from(blocks) * u128::from(block))));
    }
    if has(head, 0x10034, b"ReIsErFs") || has(head, 0x10034, b"ReIsEr2Fs") {
        let blocks = le32(head, 0x10000)?;
        let block = le16(head, 0x1002c)?;
        return Some((Kind::Reiser, Some(u128::from(blocks) * u128::from(block))));
    }
    None
}

fn has(head: &[u8], at: usize, magic: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

fn array<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

fn le16(head: &[u8], at: usize) -> Option<u16> {
    array(head, at).map(u16::from_le_bytes)
}

fn le32(head: &[u8], at: usize) -> Option<u32> {
    array(head, at).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(pieces: &[(usize, &[u8])]) -> Content {
        let mut head = vec![0; PROBE_BYTES];
        for (at, bytes) in pieces {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        probe(&head)
    }

    #[test]
    fn each_signature_of_the_spec_is_recognised_with_its_size() {
        let known = |kind, bytes| Content::Known { kind, bytes };
        assert_eq!(with(&[]), Content::Nothing);
        assert_eq!(with(&[(60_000, b"x")]), Content::SomeData);
        assert_eq!(with(&[(8182, b"SWAPSPACE2")]), known(Kind::Swap, None));
        assert_eq!(with(&[(0x218, b"LVM2 001")]), known(Kind::Lvm, None));
        let ext = [
            (0x438, &[0x53, 0xef][..]),
            (0x404, &[0, 0, 1, 0]),
            (0x418, &[0, 0, 0, 0]),
        ];
        assert_eq!(with(&ext), known(Kind::Ext2, Some(64 << 20)));
        assert_eq!(
            with(&[ext[0], ext[1], (0x45c, &[4])]),
            known(Kind::Ext3, Some(64 << 20))
        );
        assert_eq!(
            with(&[(0, b"XFSB\0\0\x10\0\0\0\0\0\0\0\0\x02")]),
            known(Kind::Xfs, Some(8192))
        );
        assert_eq!(
            with(&[(0x8000, b"JFS1\0\0\0\0\x03"), (0x8018, &[0, 2])]),
            known(Kind::Jfs, Some(1536))
        );
        assert_eq!(
            with(&[
                (0x10034, b"ReIsEr2Fs"),
                (0x10000, &[5]),
                (0x1002c, &[0, 16])
            ]),
            known(Kind::Reiser, Some(5 * 4096))
        );
        assert_eq!(with(&[(0, b"XFSB")]), known(Kind::Xfs, None));
    }

    proptest! {
        #[test]
        fn any_beginning_is_judged_without_panic(head in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = probe(&head);
        }
    }
}
