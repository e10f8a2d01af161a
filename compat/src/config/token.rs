//! Tokens and the numbers by which parse errors name them (spec 10 section 12).

use std::sync::LazyLock;

use foldhash::HashMap;

use drbd_options::{ALL, Era, Form, Kind, OptionRow, Section};

/// A token with its place.
#[derive(Clone, Copy, Debug)]
pub struct Token<'s> {
    /// What it is.
    pub kind: TokenKind,
    /// The text as written, quotes and backslashes included.
    pub raw: &'s str,
    /// Line, from 1.
    pub line: u32,
    /// Byte offset in the file.
    pub offset: usize,
}

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// End of the file.
    Eof,
    /// `{ } ; [ ] :`
    Op(u8),
    /// A reserved word of the structure.
    Keyword(Keyword),
    /// The name of an option.
    Option,
    /// Four groups of digits.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// Up to eight digits, perhaps with a unit.
    Integer,
    /// Any other word, or quoted text.
    Text,
    /// A character that belongs to nothing.
    Unknown,
    /// A bare word of more than 128 characters.
    TooLong,
    /// Quoted text of more than 255 characters.
    QuotedTooLong,
    /// Quoted text that the line ends.
    Unterminated,
}

macro_rules! keywords {
    ($($name:ident $word:literal $number:literal,)*) => {
        /// Reserved words that are no options.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "the names are the words")]
        pub enum Keyword { $($name,)* }

        const KEYWORDS: &[(&str, Keyword)] = &[$(($word, Keyword::$name),)*];

        impl Keyword {
            const fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }
        }
    };
}

keywords! {
    Global "global" 258,
    Resource "resource" 259,
    On "on" 260,
    StackedOnTopOf "stacked-on-top-of" 261,
    IgnoreOn "ignore-on" 262,
    Net "net" 263,
    Disk "disk" 264,
    Skip "skip" 265,
    Syncer "syncer" 266,
    Startup "startup" 267,
    DisableIpVerification "disable-ip-verification" 268,
    DialogRefresh "dialog-refresh" 269,
    Handlers "handlers" 271,
    Common "common" 272,
    Address "address" 273,
    AlternateLinkAddress "alternate-link-address" 274,
    Device "device" 275,
    Minor "minor" 276,
    MetaDisk "meta-disk" 277,
    FlexibleMetaDisk "flexible-meta-disk" 278,
    MinorCount "minor-count" 279,
    BecomePrimaryOn "become-primary-on" 294,
    StackedTimeouts "stacked-timeouts" 294,
    UsageCount "usage-count" 296,
    Ask "ask" 297,
    Yes "yes" 298,
    No "no" 299,
    ThisHost "_this_host" 300,
    RemoteHost "_remote_host" 301,
    Proxy "proxy" 302,
    Inside "inside" 303,
    Outside "outside" 304,
    Plugin "plugin" 307,
    Sci "sci" 311,
    Sdp "sdp" 312,
    Ssocks "ssocks" 313,
    Ipv4 "ipv4" 314,
    Ipv6 "ipv6" 315,
    DiscardMyData "discard-my-data" 317,
    Include "include" 318,
    Floating "floating" 320,
    Volume "volume" 322,
    CmdTimeoutShort "cmd-timeout-short" 323,
    CmdTimeoutMedium "cmd-timeout-medium" 324,
    CmdTimeoutLong "cmd-timeout-long" 325,
    Options "options" 327,
    UdevAlwaysUseVnr "udev-always-use-vnr" 328,
}

static WORDS: LazyLock<HashMap<&'static str, TokenKind>> = LazyLock::new(|| {
    let options = ALL.iter().flat_map(|table| table.iter());
    let mut words = HashMap::default();
    for row in options.filter(|row| is_read_by_84(row)) {
        words.insert(row.name, TokenKind::Option);
        words.extend(row.older.iter().map(|s| (s.name, TokenKind::Option)));
    }
    // Behind the options: some of these are options, too, but of their own token number.
    words.extend(KEYWORDS.iter().map(|(w, k)| (*w, TokenKind::Keyword(*k))));
    words
});

/// 0.7-only words are ordinary words to 8.4, and `drbdsetup`'s own options never occur in files.
fn is_read_by_84(row: &OptionRow) -> bool {
    row.until > Era::V07 && row.section != Section::CommandLine
}

/// The kind of a reserved word; `None` for an ordinary one.
pub(super) fn reserved(word: &str) -> Option<TokenKind> {
    WORDS.get(word).copied()
}

impl Token<'_> {
    /// The number that `(TK n)` shows.
    pub fn number(&self) -> u32 {
        match self.kind {
            TokenKind::Eof => 0,
            TokenKind::Op(c) => u32::from(c),
            TokenKind::Keyword(keyword) => keyword.number(),
            TokenKind::Option => option_number(self.raw),
            TokenKind::Ipv4 => 280,
            TokenKind::Integer => 281,
            TokenKind::Text => 282,
            TokenKind::Unknown => 283,
            TokenKind::TooLong => 308,
            TokenKind::QuotedTooLong => 309,
            TokenKind::Unterminated => 310,
            TokenKind::Ipv6 => 316,
        }
    }

    /// Whether it is this operator.
    pub fn is_op(&self, op: u8) -> bool {
        self.kind == TokenKind::Op(op)
    }

    /// Whether it is this keyword.
    pub fn is(&self, keyword: Keyword) -> bool {
        self.kind == TokenKind::Keyword(keyword)
    }

    /// The text that counts: without quotes, and without the backslashes of escapes.
    pub fn text(&self) -> String {
        let Some(inner) = self.raw.strip_prefix('"') else {
            return self.raw.to_owned();
        };
        match self.kind {
            TokenKind::Text => unescape(inner.strip_suffix('"').unwrap_or(inner)),
            _ => self.raw.to_owned(),
        }
    }
}

fn unescape(inner: &str) -> String {
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

/// Marks of words that `syncer`, or `proxy` and another section, share.
const IN_SYNCER: u32 = 8192;
const IN_PROXY: u32 = 12288;

fn option_number(word: &str) -> u32 {
    let rows = || {
        ALL.iter()
            .flat_map(|t| t.iter())
            .filter(|r| is_read_by_84(r))
    };
    let spelled = |row: &OptionRow, section| {
        row.older
            .iter()
            .any(|s| s.name == word && s.section == section)
    };
    let Some(row) = rows().find(|r| r.name == word || r.older.iter().any(|s| s.name == word))
    else {
        return TokenKindNumbers::TEXT;
    };
    let negated = row
        .older
        .iter()
        .any(|s| s.name == word && s.form == Form::Negated);
    let flag = matches!(row.kind, Kind::Bool { .. } | Kind::Flag);
    let base = match (row.section, flag, negated) {
        (Section::Disk, _, true) => 285,
        (Section::Disk, true, _) => 284,
        (Section::Disk, ..) => 286,
        (Section::Net, _, true) => 288,
        (Section::Net, true, _) => 287,
        (Section::Net, ..) => 289,
        (Section::Startup, true, _) => 292,
        (Section::Startup, ..) => 293,
        (Section::Handlers, ..) => 295,
        (Section::Proxy, ..) => 306,
        (Section::Syncer, ..) => 321,
        (Section::Options, ..) => 326,
        _ => TokenKindNumbers::TEXT,
    };
    if spelled(row, Section::Syncer) {
        base + IN_SYNCER
    } else if row.section == Section::Proxy
        || rows().any(|r| r.section == Section::Proxy && r.name == word)
    {
        base + IN_PROXY
    } else {
        base
    }
}

/// Numbers that are needed outside [`Token::number`].
struct TokenKindNumbers;

impl TokenKindNumbers {
    const TEXT: u32 = 282;
}
