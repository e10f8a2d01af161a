//! The bitmap as text: 64-bit words in hexadecimal, runs folded (spec 40 section 15.3).
//!
//! The folding follows the genuine tool to the letter, its windows of 32 MiB included: dumps of
//! the same bitmap compare equal.

use std::io::{self, Write};

/// Runs are counted in units of so many words.
const GROUP: u64 = 4;
/// A shorter run is printed word by word.
const SHORTEST_RUN: u64 = 8;
/// A line of its own tells the position this often: 32 words are 8 MiB of the volume.
const WORDS_PER_MARK: u64 = 32;
/// KiB of the volume that a word covers.
const KIB_PER_WORD: u64 = 256;

/// Text is handed on in pieces of about this size.
const PIECE: usize = 1 << 16;
/// Words compared at once where a run is long.
const STRIDE: usize = 64;

/// Bytes of bitmap that the genuine tool has in memory at a time.
pub const WINDOW_BYTES: u64 = 32 << 20;

/// Writes a bitmap that comes in pieces.
pub struct WordWriter {
    text: Vec<u8>,
    /// Words in a window, and how many of the current one are still to come.
    window: u64,
    left: u64,
    /// Words written, as text.
    index: u64,
    open: Option<Run>,
    bits_set: u64,
}

/// A run that may go on.
struct Run {
    word: u64,
    /// Its length in earlier windows: 0, or enough for a run.
    before: u64,
    /// Its length in this window, in whole groups.
    here: u64,
}

impl Default for WordWriter {
    fn default() -> Self {
        Self::with_window(WINDOW_BYTES / 8)
    }
}

impl WordWriter {
    fn with_window(window: u64) -> Self {
        Self {
            text: Vec::new(),
            window,
            left: window,
            index: 0,
            open: None,
            bits_set: 0,
        }
    }

    /// The next piece: a multiple of 32 bytes, the last one excepted.
    pub fn piece(&mut self, out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
        let (mut words, _) = bytes.as_chunks::<8>();
        while !words.is_empty() {
            let room = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, later) = words.split_at(room.min(words.len()));
            self.within_window(out, now)?;
            self.left -= now.len() as u64;
            if self.left == 0 {
                self.left = self.window;
                self.end_window();
            }
            words = later;
        }
        self.hand_on(out, PIECE)
    }

    fn within_window(&mut self, out: &mut dyn Write, words: &[[u8; 8]]) -> io::Result<()> {
        let mut words = words;
        if let Some(mut run) = self.open.take() {
            let more = run_length(words, run.word);
            run.here += more;
            words = &words[more as usize..];
            if words.is_empty() {
                self.open = Some(run);
                return Ok(());
            }
            self.close(&run);
        }
        while let Some(first) = words.first() {
            let word = u64::from_le_bytes(*first);
            let here = run_length(words, word);
            if here > 0 && here == words.len() as u64 {
                self.open = Some(Run {
                    word,
                    before: 0,
                    here,
                });
                return Ok(());
            }
            if here >= SHORTEST_RUN {
                words = &words[here as usize..];
                self.put_run(word, here);
            } else {
                let (group, rest) = words.split_at(words.len().min(GROUP as usize));
                self.put_literals(group);
                words = rest;
            }
            self.hand_on(out, PIECE)?;
        }
        Ok(())
    }

    /// What reaches the end of a window goes on in the next one if it is long enough by itself.
    fn end_window(&mut self) {
        let Some(run) = self.open.take() else { return };
        if run.here >= SHORTEST_RUN {
            self.open = Some(Run {
                word: run.word,
                before: run.before + run.here,
                here: 0,
            });
        } else {
            self.close(&run);
        }
    }

    fn close(&mut self, run: &Run) {
        let (folded, rest) = if run.here >= SHORTEST_RUN {
            (run.before + run.here, 0)
        } else {
            (run.before, run.here)
        };
        if folded > 0 {
            self.put_run(run.word, folded);
        }
        // Less than the shortest run: one group, or none.
        if rest > 0 {
            self.put_literals(&[run.word.to_le_bytes(); GROUP as usize]);
        }
    }

    /// Ends the list.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(run) = self.open.take() {
            self.close(&run);
        }
        self.text.extend_from_slice(b"\n}\n");
        self.hand_on(out, 0)
    }

    /// How many bits were set in everything written.
    pub const fn bits_set(&self) -> u64 {
        self.bits_set
    }

    fn put_run(&mut self, word: u64, count: u64) {
        self.line_start();
        self.text
            .extend_from_slice(format!(" {count} times").as_bytes());
        self.text.extend_from_slice(&literal(word));
        self.index += count;
        self.bits_set += count * u64::from(word.count_ones());
    }

    fn put_literals(&mut self, group: &[[u8; 8]]) {
        self.line_start();
        for word in group {
            let word = u64::from_le_bytes(*word);
            self.text.extend_from_slice(&literal(word));
            self.index += 1;
            self.bits_set += u64::from(word.count_ones());
        }
    }

    fn line_start(&mut self) {
        if self.index.is_multiple_of(WORDS_PER_MARK) {
            let text = format!("\n   # at {}kB", self.index * KIB_PER_WORD);
            self.text.extend_from_slice(text.as_bytes());
        }
        self.text.extend_from_slice(b"\n   ");
    }

    fn hand_on(&mut self, out: &mut dyn Write, from: usize) -> io::Result<()> {
        if self.text.len() >= from {
            out.write_all(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

/// ` 0x0123456789ABCDEF;`: most of a large dump consists of these.
fn literal(word: u64) -> [u8; 20] {
    let mut text = *b" 0x0000000000000000;";
    for (i, digit) in text[3..19].iter_mut().enumerate() {
        let nibble = (word >> (60 - 4 * i) & 0xf) as u8;
        // Without a branch or a table, so that all sixteen are computed at once.
        *digit = nibble + b'0' + u8::from(nibble > 9) * (b'A' - b'9' - 1);
    }
    text
}

/// How many words equal `word`, in whole groups. The genuine tool compares halves: a word with
/// unequal halves never forms a run.
fn run_length(words: &[[u8; 8]], word: u64) -> u64 {
    if word >> 32 != word & 0xffff_ffff {
        return 0;
    }
    let word = word.to_le_bytes();
    let pattern = [word; STRIDE];
    let long = words
        .chunks_exact(STRIDE)
        .take_while(|chunk| chunk.as_flattened() == pattern.as_flattened())
        .count()
        * STRIDE;
    let rest = words[long..].iter().take_while(|w| **w == word).count();
    (long + rest) as u64 / GROUP * GROUP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parser::{DumpError, Parser};
    use proptest::prelude::*;

    /// The first window ends with the first slice.
    fn text(windows: &[&[u64]]) -> String {
        let writer = WordWriter {
            left: windows.first().map_or(1, |w| w.len() as u64),
            ..WordWriter::default()
        };
        in_pieces(writer, &windows.concat(), usize::MAX)
    }

    fn in_pieces(mut writer: WordWriter, words: &[u64], piece: usize) -> String {
        let mut out = Vec::new();
        for piece in words.chunks(piece) {
            let bytes: Vec<u8> = piece.iter().flat_map(|w| w.to_le_bytes()).collect();
            writer.piece(&mut out, &bytes).unwrap();
        }
        writer.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_captured_bitmap_prints_as_the_genuine_tool_printed_it() {
        // Spec 40 section 15.2, a real device with four dirty blocks.
        let mut words = vec![0u64; 2048];
        for dirty in [32, 64, 112, 2016] {
            words[dirty] = 1;
        }
        let literal =
            "    0x0000000000000001; 0x0000000000000000; 0x0000000000000000; 0x0000000000000000;";
        let zeros = |n: u32| format!("    {n} times 0x0000000000000000;");
        let expected = [
            "".to_owned(),
            "   # at 0kB".to_owned(),
            zeros(32),
            "   # at 8192kB".to_owned(),
            literal.to_owned(),
            zeros(28),
            "   # at 16384kB".to_owned(),
            literal.to_owned(),
            zeros(44),
            literal.to_owned(),
            zeros(1900),
            "   # at 516096kB".to_owned(),
            literal.to_owned(),
            zeros(28),
            "}\n".to_owned(),
        ];
        assert_eq!(text(&[&words]), expected.join("\n"));
    }

    #[test]
    fn runs_cross_windows_as_captured() {
        let run = |first: usize, second: usize| {
            let (a, b) = (vec![0; first], vec![0; second]);
            let text = text(&[&a, &b]);
            text.matches(" times ").count() + 100 * text.matches("0x0000000000000000; 0x0").count()
        };
        // Spec 40 section 15.3, zeros before and behind a boundary.
        assert!(text(&[&[0; 8], &[0; 8]]).contains("16 times"));
        assert!(text(&[&[0; 1000], &[0; 4]]).contains("1000 times"));
        assert!(text(&[&[0; 4], &[0; 100]]).contains("100 times"));
        assert_eq!(run(8, 8), 1);
        assert_eq!(run(8, 4), 201);
        assert_eq!(run(4, 100), 201);
    }

    #[test]
    fn unequal_halves_are_never_folded() {
        assert!(!text(&[&[0x1_0000_0000; 40]]).contains("times"));
        assert!(text(&[&[u64::MAX; 40]]).contains("40 times 0xFFFFFFFFFFFFFFFF"));
    }

    #[test]
    fn an_empty_bitmap_is_an_empty_block() {
        assert_eq!(text(&[]), "\n}\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_a_parser_reads(
            runs in prop::collection::vec((1usize..40, prop::sample::select(vec![0, 1, u64::MAX, 1 << 32])), 0..20),
            window in 1u64..30,
            piece in 1usize..20,
        ) {
            let mut words: Vec<u64> = runs
                .iter()
                .flat_map(|&(count, word)| std::iter::repeat_n(word, count))
                .collect();
            words.resize(words.len().next_multiple_of(4), 7);
            let writer = || WordWriter::with_window(window * 4);
            let whole = in_pieces(writer(), &words, usize::MAX);
            prop_assert_eq!(&whole, &in_pieces(writer(), &words, piece * 4));
            let dump = format!("bm {{{whole}");
            let mut read = Vec::new();
            let mut parser = Parser::new(dump.as_bytes());
            parser
                .bitmap(|w| {
                    read.extend(std::iter::repeat_n(w.word, w.count as usize));
                    Ok::<_, DumpError>(())
                })
                .unwrap();
            parser.end().unwrap();
            prop_assert_eq!(read, words);
        }
    }
}
