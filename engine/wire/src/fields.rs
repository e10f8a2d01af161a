//! Fixed structures: one list of fields yields the type, its size, its writer and its reader.

use alloc::vec::Vec;
use drbd_types::{Sector, SectorCount, Uuid, UuidFlags, UuidSet};

use crate::units::{BarrierId, BlockId, ByteLen, SeqNum};
use crate::version::Features;

/// A value with a fixed number of bytes on the wire.
pub(crate) trait Field: Sized {
    /// How many bytes.
    const SIZE: usize;
    /// Appends them.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads them; `None` if the input is too short.
    fn take(input: &mut Reader<'_>) -> Option<Self>;
}

/// Reads a packet body from front to back.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }
}

macro_rules! number_fields {
    ($($number:ty),*) => {$(
        impl Field for $number {
            const SIZE: usize = size_of::<$number>();
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(input: &mut Reader<'_>) -> Option<Self> {
                input.array().map(Self::from_be_bytes)
            }
        }
    )*};
}
number_fields!(u8, u16, u32, i32, u64);

macro_rules! newtype_fields {
    ($($name:ident($inner:ty)),*) => {$(
        impl $crate::fields::Field for $name {
            const SIZE: usize = <$inner as $crate::fields::Field>::SIZE;
            fn put(&self, out: &mut ::alloc::vec::Vec<u8>) {
                $crate::fields::Field::put(&self.0, out);
            }
            fn take(input: &mut $crate::fields::Reader<'_>) -> Option<Self> {
                <$inner as $crate::fields::Field>::take(input).map($name)
            }
        }
    )*};
}
pub(crate) use newtype_fields;
newtype_fields!(
    Sector(u64),
    SectorCount(u64),
    Uuid(u64),
    BlockId(u64),
    SeqNum(u32),
    ByteLen(u32)
);

macro_rules! flag_fields {
    ($($name:ident($inner:ty)),*) => {$(
        impl $crate::fields::Field for $name {
            const SIZE: usize = <$inner as $crate::fields::Field>::SIZE;
            fn put(&self, out: &mut ::alloc::vec::Vec<u8>) {
                $crate::fields::Field::put(&self.bits(), out);
            }
            // Bits of newer versions are kept: they are compared and echoed, not interpreted.
            fn take(input: &mut $crate::fields::Reader<'_>) -> Option<Self> {
                <$inner as $crate::fields::Field>::take(input).map(Self::from_bits_retain)
            }
        }
    )*};
}
pub(crate) use flag_fields;
flag_fields!(Features(u32), UuidFlags(u64));

impl Field for BarrierId {
    const SIZE: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.array().map(Self)
    }
}

impl Field for UuidSet {
    const SIZE: usize = 4 * Uuid::SIZE;
    fn put(&self, out: &mut Vec<u8>) {
        for uuid in [self.current, self.bitmap, self.history[0], self.history[1]] {
            uuid.put(out);
        }
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            current: Uuid::take(input)?,
            bitmap: Uuid::take(input)?,
            history: [Uuid::take(input)?, Uuid::take(input)?],
        })
    }
}

/// `N` bytes that are sent as zeroes and ignored on receipt.
pub(crate) struct Pad<const N: usize>;

impl<const N: usize> Field for Pad<N> {
    const SIZE: usize = N;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; N]);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.array::<N>().map(|_| Self)
    }
}

/// Declares a structure whose fields stand on the wire in the order of their declaration,
/// optionally followed by `pad N` bytes.
macro_rules! wire_struct {
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident {
            $($(#[$doc:meta])* pub $field:ident: $type:ty,)*
        }
        $(pad $pad:literal)?
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl $crate::fields::Field for $name {
            const SIZE: usize = 0
                $(+ <$type as $crate::fields::Field>::SIZE)*
                $(+ $pad)?;

            fn put(&self, out: &mut ::alloc::vec::Vec<u8>) {
                $($crate::fields::Field::put(&self.$field, out);)*
                $($crate::fields::Field::put(&$crate::fields::Pad::<$pad>, out);)?
            }

            fn take(input: &mut $crate::fields::Reader<'_>) -> Option<Self> {
                let value = Self { $($field: <$type as $crate::fields::Field>::take(input)?,)* };
                $(<$crate::fields::Pad<$pad> as $crate::fields::Field>::take(input)?;)?
                Some(value)
            }
        }
    };
}
pub(crate) use wire_struct;
