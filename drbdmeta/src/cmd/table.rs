//! The table of sub-commands: dispatch, usage text, option checks and manual derive from it.

use super::args::{OptionId, Options};
use super::console::{Console, FAILED_IO, FAILED_USE, Failure};
use super::session::Session;
use super::{al, create, dump, export, gi, misc, resize, restore, verify};
use crate::record::Format;
use crate::record::validate::MAX_AL_BLOCKS;

/// What a command does to the meta-data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing; also allowed while the minor is attached.
    Reads,
    /// It writes; refused while the minor is attached.
    Modifies,
}

/// Whether the usage text lists a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listing {
    /// It is listed.
    Shown,
    /// It is for drbdadm and for experts.
    Hidden,
    /// Ours: the genuine tool does not have it, so that its usage text stays as it was.
    New,
}

/// One sub-command.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What stands behind the name in the usage text.
    pub usage: &'static str,
    /// Whether it is listed.
    pub listing: Listing,
    /// Reads or writes.
    pub effect: Effect,
    /// How many arguments it takes before further ones are remarked on. `None`: the genuine tool
    /// is silent about those that this command does not want.
    pub max_args: Option<usize>,
    /// Options that are allowed with this command only (beside the general ones).
    pub options: &'static [OptionId],
    /// One sentence for help and manual.
    pub help: &'static str,
    /// The code.
    pub run: fn(&mut Session<'_>) -> Result<u8, Failure>,
}

use Effect::{Modifies, Reads};
use Listing::{Hidden, New, Shown};

/// All sub-commands, in the order of the usage text.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "get-gi",
        usage: "--node-id {val}",
        listing: Shown,
        effect: Reads,
        max_args: Some(0),
        options: &[OptionId::NodeId],
        help: "Print the generation identifiers on one line.",
        run: gi::get,
    },
    Command {
        name: "show-gi",
        usage: "--node-id {val}",
        listing: Shown,
        effect: Reads,
        max_args: Some(0),
        options: &[OptionId::NodeId, OptionId::Json],
        help: "Print the generation identifiers with explanations; with --json as one JSON object.",
        run: gi::show,
    },
    Command {
        name: "dump-md",
        usage: "",
        listing: Shown,
        effect: Reads,
        max_args: Some(0),
        options: &[],
        help: "Print all meta-data, the bitmap included, as text.",
        run: dump::run,
    },
    Command {
        name: "restore-md",
        usage: "file",
        listing: Shown,
        effect: Modifies,
        max_args: None,
        options: &[OptionId::AlStripes, OptionId::AlStripeSize],
        help: "Write meta-data from the text of dump-md, in the file or on stdin.",
        run: restore::run,
    },
    Command {
        name: "verify-dump",
        usage: "file",
        listing: Shown,
        effect: Reads,
        max_args: None,
        options: &[],
        help: "Check the syntax of a dump, in the file or on stdin, without opening the device.",
        run: restore::verify,
    },
    Command {
        name: "apply-al",
        usage: "",
        listing: Shown,
        effect: Modifies,
        max_args: Some(0),
        options: &[],
        help: "Replay the activity log: mark what a crashed Primary may have written as out of sync.",
        run: al::apply,
    },
    Command {
        name: "wipe-md",
        usage: "",
        listing: Shown,
        effect: Modifies,
        max_args: Some(0),
        options: &[],
        help: "Overwrite the superblock with zeros.",
        run: misc::wipe,
    },
    Command {
        name: "outdate",
        usage: "",
        listing: Shown,
        effect: Modifies,
        max_args: Some(0),
        options: &[],
        help: "Mark consistent data as outdated.",
        run: gi::outdate,
    },
    Command {
        name: "invalidate",
        usage: "",
        listing: Shown,
        effect: Modifies,
        max_args: Some(0),
        options: &[],
        help: "Mark the data as inconsistent: a full sync from the peer follows.",
        run: gi::invalidate,
    },
    Command {
        name: "dstate",
        usage: "",
        listing: Shown,
        effect: Reads,
        max_args: Some(0),
        options: &[],
        help: "Print the disk state that the flags stand for.",
        run: gi::dstate,
    },
    Command {
        name: "check-resize",
        usage: "",
        listing: Shown,
        effect: Modifies,
        max_args: None,
        options: &[],
        help: "Move internal meta-data to its place after the device was resized off line.",
        run: resize::check,
    },
    Command {
        name: "create-md",
        usage: "[--peer-max-bio-size {val}] [--al-stripes {val}] [--al-stripe-size-kB {val}] {max_peers}",
        listing: Shown,
        effect: Modifies,
        // The number of peers is an argument of v09 only.
        max_args: Some(0),
        options: &[
            OptionId::PeerMaxBioSize,
            OptionId::AlStripes,
            OptionId::AlStripeSize,
        ],
        help: "Initialise meta-data, or convert that of another format. MAX_PEERS belongs to v09 and is ignored.",
        run: create::run,
    },
    Command {
        name: "forget-peer",
        usage: "--node-id {val}",
        listing: Shown,
        effect: Modifies,
        max_args: None,
        options: &[OptionId::NodeId],
        help: "Release the slot of a peer in v09 meta-data, which is refused here: the formats before have none.",
        run: misc::forget_peer,
    },
    Command {
        name: "read-dev-uuid",
        usage: "",
        listing: Hidden,
        effect: Reads,
        max_args: Some(0),
        options: &[],
        help: "Print the identity of the device.",
        run: gi::read_device_uuid,
    },
    Command {
        name: "write-dev-uuid",
        usage: "VAL",
        listing: Hidden,
        effect: Modifies,
        max_args: Some(1),
        options: &[],
        help: "Set the identity of the device.",
        run: gi::write_device_uuid,
    },
    Command {
        name: "set-gi",
        usage: "GI",
        listing: Hidden,
        effect: Modifies,
        max_args: Some(1),
        options: &[OptionId::NodeId],
        help: "Change generation identifiers; fields as in get-gi, empty ones keep their value.",
        run: gi::set,
    },
    Command {
        name: "verify",
        usage: "",
        listing: New,
        effect: Reads,
        max_args: Some(0),
        options: &[],
        help: "Check superblock, activity log and bitmap against each other, and report in words.",
        run: verify::run,
    },
    Command {
        name: "export",
        usage: "[--json]",
        listing: New,
        effect: Reads,
        max_args: Some(0),
        options: &[OptionId::Json],
        help: "Print all meta-data as one JSON object; out-of-sync blocks as [first bit, bits].",
        run: export::run,
    },
];

/// Looks a command up.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name == name)
}

/// The usage text, exactly as the genuine tool prints it.
pub fn usage(program: &str) -> String {
    let mut text = format!(
        "\nUSAGE: {program} [--force] DEVICE FORMAT [FORMAT ARGS...] COMMAND [CMD ARGS...]\n\n\
         FORMATS:\n  v06 minor\n  v07 device index\n  v08 device index\n  v09 device index\n\n\
         COMMANDS:\n"
    );
    for command in COMMANDS.iter().filter(|c| c.listing == Shown) {
        // The genuine tool leaves a blank behind everything but a file name or {max_peers}.
        let blank = match command.usage.ends_with("{val}") {
            true => " ",
            false => "",
        };
        text.push_str(&format!("  {} {}{blank}\n", command.name, command.usage));
    }
    text
}

/// Which options a command accepts, in the order and words of the genuine tool.
pub fn check_options(
    con: &mut Console<'_>,
    command: &Command,
    format: Format,
    options: &Options,
) -> Result<(), Failure> {
    let allowed = |id| command.options.contains(&id);
    let refused = |text: String| Err(Failure::new(FAILED_IO, text));
    if options.peer_max_bio_size.is_some() && !allowed(OptionId::PeerMaxBioSize) {
        return refused("The --peer-max-bio-size option is only allowed with create-md".to_owned());
    }
    if options.al_stripes.is_some() || options.al_stripe_blocks.is_some() {
        if !allowed(OptionId::AlStripes) {
            return refused(
                "The --al-stripe* options are only allowed with create-md and restore-md"
                    .to_owned(),
            );
        }
        let stripes = options.al_stripes.unwrap_or(1);
        let blocks = stripes.checked_mul(options.al_stripe_blocks.unwrap_or(8));
        if blocks.is_none_or(|b| b > MAX_AL_BLOCKS) {
            return refused("invalid (too large) al-stripe* settings".to_owned());
        }
        if blocks.is_none_or(|b| b < 8) {
            return refused("invalid (too small) al-stripe* settings".to_owned());
        }
    }
    if options.json && !allowed(OptionId::Json) {
        return refused(format!(
            "The {} command does not accept the --json option",
            command.name
        ));
    }
    if options.node_id.is_some() && !allowed(OptionId::NodeId) {
        return refused(format!(
            "The {} command does not accept the --node-id option",
            command.name
        ));
    }
    match (format, options.node_id) {
        (Format::V09, None) if allowed(OptionId::NodeId) => refused(format!(
            "The {} command requires the --node-id option",
            command.name
        )),
        (Format::V06 | Format::V07 | Format::V08, Some(1..)) => {
            con.warn("Not v09, implicitly set --node-id = 0");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Exit status of a command line that names no command.
pub const USAGE_STATUS: u8 = FAILED_USE;
