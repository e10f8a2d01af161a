//! Every refusal of the genuine drbdsetup-84 9.22 in a kernel in which nothing is configured
//! (`testdata/drbdsetup/refusals.txt`): output, error text and exit status.

mod support;

use support::{Knowledge, blocks, run};

const HELP: &str = include_str!("../../testdata/drbdsetup/help.txt");
const CAPTURE: &str = include_str!("../../testdata/drbdsetup/refusals.txt");

#[test]
fn every_command_line_is_refused_as_the_genuine_program_does() {
    let blocks = blocks(CAPTURE);
    assert!(blocks.len() > 150, "{} captured", blocks.len());
    for block in blocks {
        let (ending, _) = run(&block.words, &Knowledge::default());
        assert_eq!(ending, block.ending, "{:?}", block.words);
    }
}

#[test]
fn every_usage_text_is_the_genuine_one() {
    let blocks = blocks(HELP);
    assert!(blocks.len() > 80, "{} captured", blocks.len());
    for block in blocks {
        let (ending, requests) = run(&block.words, &Knowledge::default());
        assert_eq!(ending, block.ending, "{:?}", block.words);
        assert!(requests.is_empty(), "help needs nobody to ask");
    }
}
