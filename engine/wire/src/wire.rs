//! Structures as they stand on the wire where [`Body`](crate::Body) arranges them differently:
//! the length of a write is not always a field of its own.

use drbd_types::Sector;

use crate::fields::{Field, Reader, wire_struct};
use crate::packet::{DataFlags, DataHeader, ReplyHeader};
use crate::params::{QueueLimits, ReportSizes, SizesHead};
use crate::units::{BarrierId, BlockId, ByteLen, SeqNum};

/// Bytes of P_SIZES without queue limits.
pub(crate) const SIZES: usize = SizesHead::SIZE;
/// Bytes of the queue limits.
pub(crate) const LIMITS: usize = QueueLimits::SIZE;

wire_struct! {
    /// p_data of P_DATA.
    pub(crate) struct Write {
        /// First sector.
        pub sector: Sector,
        /// Handle.
        pub block_id: BlockId,
        /// Sequence number.
        pub seq: SeqNum,
        /// Flags.
        pub flags: DataFlags,
    }
}

wire_struct! {
    /// p_trim: P_TRIM, P_ZEROES, and p_wsame.
    pub(crate) struct Range {
        /// As in P_DATA.
        pub write: Write,
        /// Length of the range.
        pub size: ByteLen,
    }
}

wire_struct! {
    /// p_data of the replies.
    pub(crate) struct Reply {
        /// First sector.
        pub sector: Sector,
        /// Handle.
        pub block_id: BlockId,
    }
    pad 8
}

wire_struct! {
    /// p_barrier.
    pub(crate) struct Barrier {
        /// Number of the epoch.
        pub barrier: BarrierId,
    }
    pad 4
}

impl Write {
    pub(crate) fn header(self, size: ByteLen) -> DataHeader {
        let Self {
            sector,
            block_id,
            seq,
            flags,
        } = self;
        DataHeader {
            sector,
            block_id,
            seq,
            flags,
            size,
        }
    }
}

impl From<&DataHeader> for Write {
    fn from(data: &DataHeader) -> Self {
        Self {
            sector: data.sector,
            block_id: data.block_id,
            seq: data.seq,
            flags: data.flags,
        }
    }
}

impl From<&DataHeader> for Range {
    fn from(data: &DataHeader) -> Self {
        Self {
            write: data.into(),
            size: data.size,
        }
    }
}

impl From<Range> for DataHeader {
    fn from(range: Range) -> Self {
        range.write.header(range.size)
    }
}

impl Reply {
    pub(crate) fn header(self, size: ByteLen) -> ReplyHeader {
        ReplyHeader {
            sector: self.sector,
            block_id: self.block_id,
            size,
        }
    }
}

impl From<&ReplyHeader> for Reply {
    fn from(reply: &ReplyHeader) -> Self {
        Self {
            sector: reply.sector,
            block_id: reply.block_id,
        }
    }
}

pub(crate) fn sizes_head(sizes: &ReportSizes) -> SizesHead {
    SizesHead {
        disk: sizes.disk,
        user: sizes.user,
        current: sizes.current,
        max_bio: sizes.max_bio,
        queue_order: 0,
        flags: sizes.flags,
    }
}

pub(crate) fn take_sizes(input: &mut Reader<'_>, with_limits: bool) -> Option<ReportSizes> {
    let head = SizesHead::take(input)?;
    Some(ReportSizes {
        disk: head.disk,
        user: head.user,
        current: head.current,
        max_bio: head.max_bio,
        flags: head.flags,
        limits: if with_limits {
            Some(QueueLimits::take(input)?)
        } else {
            None
        },
    })
}
