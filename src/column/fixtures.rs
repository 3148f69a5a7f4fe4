//! Helpers of the tests of this module and of the JSON writer.

use crate::column::Charset;
use crate::column::ColumnSpec;
use crate::column::declared;
use crate::column::declared::DeclaredType;

/// The bytes of a hex string; blanks are allowed between them.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "{text}");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A small generator of numbers, the same ones in every run (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Values that servers logged, and their JSON. The file says where they come from.
pub struct Sample {
    pub line: &'static str,
    pub declared: DeclaredType,
    pub charset: Option<Charset>,
    pub spec: ColumnSpec,
    pub logged: Vec<u8>,
    pub json: &'static str,
}

pub fn samples() -> impl Iterator<Item = Sample> {
    include_str!("fixtures/values.tsv").lines().filter(|line| !line.starts_with('#')).map(sample)
}

fn sample(line: &'static str) -> Sample {
    let fields: Vec<_> = line.split('\t').collect();
    let [_, declared, charset, type_code, metadata, logged, json] = fields[..] else { panic!("{line}") };
    // The file doubles the backslashes of the server's text and has \n and \t for its line feeds and tabs.
    let declared =
        declared.replace("\\\\", "\u{1}").replace("\\n", "\n").replace("\\t", "\t").replace('\u{1}', "\\");
    let declared = declared::parse(&declared).unwrap();
    let charset = (charset != "-").then(|| Charset::from_name(charset).unwrap());
    let metadata = u16::from_str_radix(metadata, 16).unwrap();
    let mut spec = ColumnSpec::new(type_code.parse().unwrap(), metadata);
    spec.declare(&declared, charset);
    Sample { line, declared, charset, spec, logged: hex(logged), json }
}

/// A document's column in the before-image, its column in the after-image, and the document after the update.
pub struct DiffSample {
    pub base: Vec<u8>,
    pub diff: Vec<u8>,
    pub json: &'static str,
}

pub fn diff_samples() -> impl Iterator<Item = DiffSample> {
    include_str!("fixtures/json_diffs.tsv").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        let [base, diff, json] = fields[..] else { panic!("{line}") };
        DiffSample { base: hex(base), diff: hex(diff), json }
    })
}
