//! The text of `dump-md`: [`words`] writes the bitmap, [`lexer`] and [`parser`] read a dump of any
//! era, streaming.

pub mod lexer;
pub mod parser;
pub mod words;
