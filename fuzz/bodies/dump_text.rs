//! Any bytes are a dump or refused with a line; a bitmap that was read is written and read again
//! as the same, in whatever pieces it comes.

use drbdmeta::record::Format;
use drbdmeta::text::parser::{DumpError, Parser, Words};
use drbdmeta::text::words::WordWriter;

/// More 64-bit words are not kept.
const MOST: u64 = 1 << 16;

pub fn read_write_read(data: &[u8]) {
    for format in [Format::V06, Format::V07, Format::V08] {
        match read(data, format) {
            Ok(words) => written_and_read(&words),
            Err(error) => assert!(!error.to_string().is_empty(), "a refusal has a reason"),
        }
    }
}

fn read(data: &[u8], format: Format) -> Result<Vec<u64>, DumpError> {
    let mut parser = Parser::new(data);
    parser.version(format)?;
    if format == Format::V06 {
        parser.v06()?;
        return Ok(Vec::new());
    }
    parser.head(format)?;
    let words = bitmap(&mut parser)?;
    parser.end()?;
    Ok(words)
}

fn bitmap(parser: &mut Parser<&[u8]>) -> Result<Vec<u64>, DumpError> {
    let mut words = Vec::new();
    parser.bitmap(|Words { count, word }| {
        let room = MOST - words.len() as u64;
        words.extend(std::iter::repeat_n(word, count.min(room) as usize));
        Ok::<_, DumpError>(())
    })?;
    Ok(words)
}

fn written_and_read(words: &[u64]) {
    let mut words = words.to_vec();
    words.resize(words.len().next_multiple_of(4), 0);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let whole = written(&bytes, usize::MAX);
    assert_eq!(whole, written(&bytes, 4096), "pieces do not show");
    let again = bitmap(&mut Parser::new(whole.as_bytes())).expect("what is written is read");
    assert_eq!(again, words, "read again");
}

fn written(bytes: &[u8], piece: usize) -> String {
    let mut text = b"bm {".to_vec();
    let mut writer = WordWriter::default();
    for piece in bytes.chunks(piece) {
        writer
            .piece(&mut text, piece)
            .expect("memory takes everything");
    }
    writer.finish(&mut text).expect("memory takes everything");
    String::from_utf8(text).expect("digits and words")
}
