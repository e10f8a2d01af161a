//! What the fuzz targets of `fuzz/` check, over seeds and random changes of them: so that CI does
//! it without a nightly compiler.

#[path = "../../fuzz/bodies/activity_log.rs"]
mod activity_log;
#[path = "../../fuzz/bodies/dump_text.rs"]
mod dump_text;
#[path = "../../fuzz/bodies/superblock.rs"]
mod superblock;

use proptest::{collection::vec, prelude::*, sample::Index};

const CRASHED: &[u8] = include_bytes!("../../testdata/drbdmeta/crashed-primary-internal-64M.md");
const CLEAN: &[u8] = include_bytes!("../../testdata/drbdmeta/clean-down-internal-64M.md");
const STRIPED: &[u8] =
    include_bytes!("../../testdata/drbdmeta/crashed-primary-external-striped-64M.md");

/// Of captured areas of 64 MiB disks: page of bitmap, eight of log, superblock.
fn superblock_seeds() -> Vec<Vec<u8>> {
    let size = (64u64 << 20).to_le_bytes();
    let v07: Vec<u8> = [0u32, 7000, 5, 2, 3, 4, 5, 0x8374_026a, 131_072, 8, 127, 72]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect();
    vec![
        [&size[..], &[1], &CRASHED[36_864..]].concat(),
        [&size[..], &[1], &CLEAN[36_864..]].concat(),
        [&size[..], &[2], &STRIPED[..4096]].concat(),
        [&(300u64 << 20).to_le_bytes()[..], &[0], &v07].concat(),
    ]
}

fn log_seeds() -> Vec<Vec<u8>> {
    vec![
        [&[0, 8, 67, 0, 0][..], &CRASHED[4096..36_864]].concat(),
        [&[0, 8, 67, 0, 1][..], &CLEAN[4096..36_864]].concat(),
        [&[1, 16, 67, 0, 1][..], &STRIPED[4096..135_168]].concat(),
        [&[0, 8, 127, 0, 2][..], &[0xff; 4096]].concat(),
    ]
}

const DUMPS: &[&str] = &[
    "# c\nversion \"v08\";\n\nuuid {\n 0x987375B2AFC96EB1; 0x3879BFDA9EAE551F; 0x0000000000000000; \
     0x0000000000000000;\n flags 0x00000093;\n}\n# al-extents 67;\nla-size-sect 1048472;\n\
     bm-byte-per-bit 4096;\ndevice-uuid 0x0000000000000000;\nla-peer-max-bio-size 1048576;\n\
     al-stripes 1;\nal-stripe-size-4k 8;\n# bm-bytes 16384;\nbm {\n   # at 0kB\n    32 times \
     0x0000000000000000;\n   # at 8192kB\n    0x0000000000000001; 0x0000000000000000; \
     0xFFFFFFFFFFFFFFFF; 0x00000001FFFFFFFF;\n    1900 times 0xFFFFFFFFFFFFFFFF;\n}\n# bits-set 4;\n",
    "version \"v07\";\nThis_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.\ngc {\n 3; 1; 2; \
     3; -4;\n}\nla-size-sect 2000;\nbm { 0x00000000000000FF; 12 times 0x0000000000000000; }\n",
    "version \"v06\";\ngc {\n 3; 1; 2; 3; -4;\n}\n",
];

/// Bytes that lead somewhere in all three.
const PIECES: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[0xff; 8],
    &[0x83, 0x74, 0x02, 0x69],
    &[0x83, 0x74, 0x02, 0x6a],
    &[0x83, 0x74, 0x02, 0x6b],
    &[0x83, 0x74, 0x02, 0x6c],
    &[0x83, 0x74, 0x02, 0x6d],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    b";",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"#",
    b"\n",
    b" times ",
    b"0x00000000000000FF;",
    b"18446744073709551615",
    b"9999999999999999999",
    b"-1",
    b"bm {",
    b"al-stripes",
];

/// Pieces put over or into a seed, or taken out of it; then it is perhaps cut.
fn spoilt(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), prop::sample::select(PIECES), 0usize..3);
    let cut = prop::option::weighted(0.2, any::<Index>());
    (prop::sample::select(seeds), vec(change, 0..6), cut).prop_map(|(mut bytes, changes, cut)| {
        for (place, piece, how) in changes {
            let at = place.index(bytes.len() + 1);
            let end = match how {
                0 => at,
                _ => (at + piece.len()).min(bytes.len()),
            };
            let new = if how == 2 { &[][..] } else { piece };
            bytes.splice(at..end, new.iter().copied());
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len() + 1)));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6000) })]

    #[test]
    fn any_superblock_is_judged(data in spoilt(superblock_seeds())) {
        superblock::parse_judge_encode(&data);
    }

    #[test]
    fn any_log_is_replayed(data in spoilt(log_seeds())) {
        activity_log::replay_all(&data);
    }

    #[test]
    fn any_dump_is_read_or_refused(
        data in spoilt(DUMPS.iter().map(|dump| dump.as_bytes().to_vec()).collect()),
    ) {
        dump_text::read_write_read(&data);
    }
}

/// With `FUZZ_SEEDS` set to the directory `fuzz/corpus` the seeds are written there.
#[test]
fn the_seeds_themselves_pass() {
    let dumps: Vec<Vec<u8>> = DUMPS.iter().map(|dump| dump.as_bytes().to_vec()).collect();
    type Target = (&'static str, Vec<Vec<u8>>, fn(&[u8]));
    let targets: [Target; 3] = [
        (
            "superblock",
            superblock_seeds(),
            superblock::parse_judge_encode,
        ),
        ("activity_log", log_seeds(), activity_log::replay_all),
        ("dump_text", dumps, dump_text::read_write_read),
    ];
    let corpus = std::env::var_os("FUZZ_SEEDS").map(std::path::PathBuf::from);
    for (name, seeds, check) in targets {
        for (number, seed) in seeds.iter().enumerate() {
            check(seed);
            if let Some(corpus) = &corpus {
                let directory = corpus.join(name);
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
            }
        }
    }
}
