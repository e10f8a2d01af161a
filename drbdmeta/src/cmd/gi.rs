//! The commands about the state of the data: get-gi, show-gi, set-gi, dstate, outdate,
//! invalidate, and the device identity (spec 40 section 10).

use drbd_types::{GenerationIds, MdFlags, UuidSet};

use super::console::{Answer, FAILED_IO, Failure, ppsize};
use super::export;
use super::number::strtoull;
use super::session::Session;
use crate::record::{Generation, GenerationCounts, Record};

/// The flag columns of v07 behind the counters; Consistent stands before them.
pub const COUNT_FLAG_COLUMNS: [MdFlags; 3] = [
    MdFlags::PRIMARY_IND,
    MdFlags::CONNECTED_IND,
    MdFlags::FULL_SYNC,
];

/// `get-gi`
pub fn get(session: &mut Session<'_>) -> Result<u8, Failure> {
    let (_, _, record) = session.open()?.in_place()?;
    let line = line(&record);
    session.con.say(line);
    Ok(0)
}

/// The line that get-gi prints.
pub fn line(record: &Record) -> String {
    match &record.generation {
        Generation::Counts(gc) => {
            let [human, timeout, connected, arbitrary] = gc.counts.map(u32::cast_signed);
            let consistent = gc.flags.contains(MdFlags::CONSISTENT);
            let flags: String = COUNT_FLAG_COLUMNS
                .iter()
                .map(|flag| if gc.flags.contains(*flag) { ":1" } else { ":0" })
                .collect();
            format!(
                "{}:{human}:{timeout}:{connected}:{arbitrary}{flags}",
                u8::from(consistent)
            )
        }
        &Generation::Uuids { uuids, flags } => shown(uuids, flags).to_string(),
        // Refused before anything is opened; a v09 block is no v07 or v08 meta-data.
        Generation::Nodes(_) => String::new(),
    }
}

const fn shown(uuids: UuidSet, flags: MdFlags) -> GenerationIds {
    GenerationIds { uuids, flags }
}

/// `show-gi`
pub fn show(session: &mut Session<'_>) -> Result<u8, Failure> {
    let (_, _, record) = session.open()?.in_place()?;
    if session.call.options.json {
        export::show(session, &record);
        return Ok(0);
    }
    let body = match &record.generation {
        Generation::Counts(gc) => counts_table(gc),
        &Generation::Uuids { uuids, flags } => shown(uuids, flags).table().to_string(),
        Generation::Nodes(_) => String::new(),
    };
    session.con.say(format_args!("{body}{}", sizes(&record)));
    Ok(0)
}

fn counts_table(gc: &GenerationCounts) -> String {
    let [human, timeout, connected, arbitrary] = gc.counts.map(u32::cast_signed);
    let mark = |flag, set, clear| {
        if gc.flags.contains(flag) { set } else { clear }
    };
    let consistent = mark(MdFlags::CONSISTENT, "1/c", "0/i");
    let primary = mark(MdFlags::PRIMARY_IND, "1/p", "0/s");
    let connection = mark(MdFlags::CONNECTED_IND, "1/c", "0/n");
    let full_sync = mark(MdFlags::FULL_SYNC, "1/y", "0/n");
    format!(
        "
                                        WantFullSync |
                                  ConnectedInd |     |
                               lastState |     |     |
                      ArbitraryCnt |     |     |     |
                ConnectedCnt |     |     |     |     |
            TimeoutCnt |     |     |     |     |     |
        HumanCnt |     |     |     |     |     |     |
Consistent |     |     |     |     |     |     |     |
   --------+-----+-----+-----+-----+-----+-----+-----+
       {consistent} | {human:3} | {timeout:3} | {connected:3} | {arbitrary:3} | {primary} | {connection} | {full_sync}  

"
    )
}

fn sizes(record: &Record) -> String {
    let sectors = record.effective_size;
    if sectors.0 == 0 {
        return "zero size device -- never seen peer yet?".to_owned();
    }
    format!(
        "last agreed size: {} ({sectors} sectors)\nlast agreed max bio size: {} Byte",
        ppsize(sectors.kib()),
        record.la_peer_max_bio_size
    )
}

/// `dstate`
pub fn dstate(session: &mut Session<'_>) -> Result<u8, Failure> {
    let opened = session.open()?;
    let (_, _, record) = opened
        .in_place()
        .map_err(|_| Failure::new(1, "No valid meta data found"))?;
    // The flags word of the older formats is not consulted, in the genuine tool either.
    let (consistent, up_to_date, peer_outdated) = match &record.generation {
        Generation::Counts(_) => (false, false, false),
        Generation::Uuids { flags, .. } => (
            flags.contains(MdFlags::CONSISTENT),
            flags.contains(MdFlags::WAS_UP_TO_DATE),
            flags.contains(MdFlags::PEER_OUT_DATED),
        ),
        Generation::Nodes(_) => return Err(super::refuse_v09()),
    };
    let state = match (consistent, up_to_date, peer_outdated) {
        (false, ..) => "Inconsistent",
        (true, false, _) => "Outdated",
        (true, true, true) => "UpToDate",
        (true, true, false) => "Consistent",
    };
    session.con.say(state);
    Ok(0)
}

/// `outdate`
pub fn outdate(session: &mut Session<'_>) -> Result<u8, Failure> {
    let (store, at, mut record) = session.open()?.in_place()?;
    let inconsistent = Failure::new(5, "Device is inconsistent.");
    match &mut record.generation {
        Generation::Counts(_) => {
            session.con.warn("Can not outdate GC based meta data!");
            return Err(inconsistent);
        }
        Generation::Uuids { flags, .. } => {
            if !flags.contains(MdFlags::CONSISTENT) {
                return Err(inconsistent);
            }
            flags.remove(MdFlags::WAS_UP_TO_DATE);
        }
        Generation::Nodes(_) => return Err(super::refuse_v09()),
    }
    session.commit(&store, at, &record)?;
    Ok(0)
}

/// `invalidate`
pub fn invalidate(session: &mut Session<'_>) -> Result<u8, Failure> {
    let (store, at, mut record) = session.open()?.in_place()?;
    match &mut record.generation {
        Generation::Counts(gc) => {
            gc.flags.remove(MdFlags::CONSISTENT);
            gc.flags.insert(MdFlags::FULL_SYNC);
        }
        Generation::Uuids { flags, .. } => {
            flags.remove(MdFlags::CONSISTENT | MdFlags::WAS_UP_TO_DATE);
            flags.insert(MdFlags::FULL_SYNC);
        }
        Generation::Nodes(_) => return Err(super::refuse_v09()),
    }
    session.commit(&store, at, &record)?;
    Ok(0)
}

/// `read-dev-uuid`
pub fn read_device_uuid(session: &mut Session<'_>) -> Result<u8, Failure> {
    let (_, _, record) = session.open()?.in_place()?;
    session.con.say(format_args!("{:016X}", record.device_uuid));
    Ok(0)
}

/// `write-dev-uuid VAL`: the value is never refused.
pub fn write_device_uuid(session: &mut Session<'_>) -> Result<u8, Failure> {
    let text = required_argument(session)?;
    let (store, at, mut record) = session.open()?.in_place()?;
    let (value, _) = strtoull(&text, 16);
    record.device_uuid = value.unwrap_or(u64::MAX);
    session.commit(&store, at, &record)?;
    Ok(0)
}

fn required_argument(session: &Session<'_>) -> Result<String, Failure> {
    session
        .call
        .args
        .first()
        .cloned()
        .ok_or_else(|| Failure::new(FAILED_IO, "Required Argument missing"))
}

/// `set-gi GI`
pub fn set(session: &mut Session<'_>) -> Result<u8, Failure> {
    let text = required_argument(session)?;
    let (store, at, mut record) = session.open()?.in_place()?;
    let previous = line(&record);
    let mut fields = Fields(Some(&text));
    match &mut record.generation {
        Generation::Counts(gc) => set_counts(gc, &mut fields)?,
        Generation::Uuids { uuids, flags } => set_uuids(uuids, flags, &mut fields)?,
        Generation::Nodes(_) => return Err(super::refuse_v09()),
    }
    let now = line(&record);
    session.con.say(format_args!("previously {previous}"));
    session.con.say(format_args!("set GI to  {now}"));
    if session.con.confirm("Write new GI to disk?") == Answer::No {
        session.con.say("Operation canceled.");
        return Ok(0);
    }
    session.commit(&store, at, &record)?;
    Ok(0)
}

fn set_counts(gc: &mut GenerationCounts, fields: &mut Fields<'_>) -> Result<(), Failure> {
    fields.flag(&mut gc.flags, MdFlags::CONSISTENT)?;
    for count in &mut gc.counts {
        if let Some(value) = fields.number32()? {
            *count = value;
        }
    }
    for column in COUNT_FLAG_COLUMNS {
        fields.flag(&mut gc.flags, column)?;
    }
    Ok(())
}

fn set_uuids(
    uuids: &mut UuidSet,
    flags: &mut MdFlags,
    fields: &mut Fields<'_>,
) -> Result<(), Failure> {
    let [younger, older] = &mut uuids.history;
    for slot in [&mut uuids.current, &mut uuids.bitmap, younger, older] {
        if let Some(value) = fields.number(16)? {
            slot.0 = value;
        }
    }
    for column in GenerationIds::COLUMNS {
        fields.flag(flags, column)?;
    }
    Ok(())
}

/// The rest of the argument; `None` behind the last field.
struct Fields<'a>(Option<&'a str>);

impl Fields<'_> {
    /// The next field as a number; `None` keeps the old value.
    fn number(&mut self, radix: u32) -> Result<Option<u64>, Failure> {
        let Some(rest) = self.0 else { return Ok(None) };
        let (field, next) = match rest.split_once(':') {
            Some((field, next)) => (field, Some(next)),
            None => (rest, None),
        };
        self.0 = next;
        if field.is_empty() {
            return Ok(None);
        }
        let shown = self.shown();
        match strtoull(field, radix) {
            (Some(value), "") => Ok(Some(value)),
            (None, "") => Err(Failure::new(
                FAILED_IO,
                format_args!("'{shown}': Numerical result out of range"),
            )),
            _ => Err(Failure::new(
                FAILED_IO,
                format_args!("'{shown}' is not a number."),
            )),
        }
    }

    /// The genuine tool shows what is left to parse instead of the culprit.
    fn shown(&self) -> &str {
        self.0.unwrap_or("(null)")
    }

    /// The next field as a number of 32 bits, its radix told by its prefix.
    fn number32(&mut self) -> Result<Option<u32>, Failure> {
        let Some(value) = self.number(0)? else {
            return Ok(None);
        };
        u32::try_from(value).map(Some).map_err(|_| {
            let shown = self.shown();
            Failure::new(
                FAILED_IO,
                format_args!("'{shown}' is out of range (max 0xFFffFFff)."),
            )
        })
    }

    fn flag(&mut self, flags: &mut MdFlags, column: MdFlags) -> Result<(), Failure> {
        match self.number32()? {
            None => {}
            Some(value @ (0 | 1)) => flags.set(column, value == 1),
            Some(other) => {
                return Err(Failure::new(
                    FAILED_IO,
                    format_args!("'{other}' is not 0 or 1."),
                ));
            }
        }
        Ok(())
    }
}
