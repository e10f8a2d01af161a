//! The bitmap as text: 64-bit words in hexadecimal, runs folded (spec 40 section 15.3).
//!
//! The folding follows the genuine tool to the letter, its windows of 32 MiB included: dumps of
//! the same bitmap compare equal.

use std::io::{self, Write};

use crate::bitmap;

/// Runs are counted in units of so many words.
const GROUP: u64 = 4;
/// A shorter run is printed word by word.
const SHORTEST_RUN: u64 = 8;
/// A line of its own tells the position this often: 32 words are 8 MiB of the volume.
const WORDS_PER_MARK: u64 = 32;
/// KiB of the volume that a word covers.
const KIB_PER_WORD: u64 = 256;

/// Writes windows of a bitmap one after the other.
#[derive(Default)]
pub struct WordWriter {
    index: u64,
    pending: Option<Run>,
    bits_set: u64,
}

/// A run that lasted to the end of its window and may go on in the next.
struct Run {
    word: u64,
    count: u64,
}

impl WordWriter {
    /// The next window: a multiple of 32 bytes, the last one excepted.
    pub fn window(&mut self, out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
        self.bits_set += bitmap::count_ones(bytes);
        let (words, _) = bytes.as_chunks::<8>();
        let words = |i: usize| words.get(i).map(|w| u64::from_le_bytes(*w));
        let mut at = 0;
        if let Some(run) = self.pending.take() {
            let more = run_length(&words, 0, run.word);
            let more = if more >= SHORTEST_RUN { more } else { 0 };
            let run = Run {
                count: run.count + more,
                ..run
            };
            at = more as usize;
            if more > 0 && words(at).is_none() {
                self.pending = Some(run);
                return Ok(());
            }
            self.put_run(out, &run)?;
        }
        while let Some(word) = words(at) {
            let count = run_length(&words, at, word);
            if count >= SHORTEST_RUN {
                at += count as usize;
                let run = Run { word, count };
                if words(at).is_none() {
                    self.pending = Some(run);
                    return Ok(());
                }
                self.put_run(out, &run)?;
                continue;
            }
            self.line_start(out)?;
            for _ in 0..GROUP {
                let Some(word) = words(at) else { break };
                out.write_all(&literal(word))?;
                at += 1;
                self.index += 1;
            }
        }
        Ok(())
    }

    /// Ends the list.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(run) = self.pending.take() {
            self.put_run(out, &run)?;
        }
        writeln!(out, "\n}}")
    }

    /// How many bits were set in everything written.
    pub const fn bits_set(&self) -> u64 {
        self.bits_set
    }

    fn put_run(&mut self, out: &mut dyn Write, run: &Run) -> io::Result<()> {
        self.line_start(out)?;
        write!(out, " {} times 0x{:016X};", run.count, run.word)?;
        self.index += run.count;
        Ok(())
    }

    fn line_start(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.index.is_multiple_of(WORDS_PER_MARK) {
            write!(out, "\n   # at {}kB", self.index * KIB_PER_WORD)?;
        }
        write!(out, "\n   ")
    }
}

/// ` 0x0123456789ABCDEF;`: most of a large dump consists of these.
fn literal(word: u64) -> [u8; 20] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = *b" 0x0000000000000000;";
    for (i, digit) in text[3..19].iter_mut().enumerate() {
        *digit = DIGITS[(word >> (60 - 4 * i) & 0xf) as usize];
    }
    text
}

/// How many words from `at` on equal `word`, in whole groups. The genuine tool compares halves:
/// a word with unequal halves never forms a run.
fn run_length(words: &impl Fn(usize) -> Option<u64>, at: usize, word: u64) -> u64 {
    if word >> 32 != word & 0xffff_ffff {
        return 0;
    }
    let equal = (at..).take_while(|&i| words(i) == Some(word)).count() as u64;
    equal / GROUP * GROUP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parser::{DumpError, Parser};
    use proptest::prelude::*;

    fn text(windows: &[&[u64]]) -> String {
        let mut out = Vec::new();
        let mut writer = WordWriter::default();
        for window in windows {
            let bytes: Vec<u8> = window.iter().flat_map(|w| w.to_le_bytes()).collect();
            writer.window(&mut out, &bytes).unwrap();
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
            window in 1usize..30,
        ) {
            let mut words: Vec<u64> = runs
                .iter()
                .flat_map(|&(count, word)| std::iter::repeat_n(word, count))
                .collect();
            words.resize(words.len().next_multiple_of(4), 7);
            let windows: Vec<&[u64]> = words.chunks(window * 4).collect();
            let dump = format!("bm {{{}", text(&windows));
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
