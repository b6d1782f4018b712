//! The evidence as one text: the output of every tool and file of the host, each under its name.
//! Pure.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::redact::redact;

/// Limit of the compressed evidence in the cluster, in bytes.
pub const IN_CLUSTER: usize = 64 * 1024;
/// Limit of each section on the node, in characters. In the cluster the limit is halved until all
/// fits.
const SECTION: usize = 1 << 20;
const LEAST: usize = 256;

/// The name of the section whose end goes into the record.
pub const KERNEL: &str = "kernel log of this boot";

/// The output of one tool or file, or one sentence why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub name: &'static str,
    pub said: Result<String, String>,
}

/// The section with the output of a reimage's script.
pub const REIMAGE: &str = "output of the reimage";

/// The sections whose first word is a version.
pub const LOADED_DRIVER: &str = "driver that is loaded";
pub const ROCM: &str = "ROCm";

/// The evidence of a node, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence(Vec<Section>);

impl Evidence {
    pub fn of(sections: Vec<Section>) -> Self {
        let redacted = sections.into_iter().map(|Section { name, said }| {
            // Redact before cutting: the part that is cut off may contain the name that marks a
            // secret.
            let said = said.map(|text| tail(redact(text.trim_end()).as_str(), SECTION).to_owned());
            Section { name, said: said.map_err(|why| redact(&why)) }
        });
        Self(redacted.collect())
    }

    /// Returns the output of one section.
    pub fn section(&self, name: &str) -> Option<&Result<String, String>> {
        self.0.iter().find(|section| section.name == name).map(|section| &section.said)
    }

    /// Returns everything as gzip. Writing to memory does not fail.
    pub fn whole(&self) -> std::io::Result<Vec<u8>> {
        gzip(&self.text(SECTION))
    }

    /// Returns the end of everything as gzip of at most `most` bytes, if possible. The longest
    /// sections lose most.
    pub fn within(&self, most: usize) -> std::io::Result<Vec<u8>> {
        let mut of_each = SECTION;
        loop {
            let packed = gzip(&self.text(of_each))?;
            if packed.len() <= most || of_each <= LEAST {
                return Ok(packed);
            }
            of_each /= 2;
        }
    }

    fn text(&self, of_each: usize) -> String {
        let mut text = String::new();
        for Section { name, said } in &self.0 {
            let said = match said {
                Ok(said) => tail(said, of_each),
                Err(why) => &format!("(nothing: {why})"),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "==== {name} ====\n{said}\n");
        }
        text
    }
}

fn gzip(text: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// Returns the last `most` characters.
pub fn tail(text: &str, most: usize) -> &str {
    let begin = text.char_indices().rev().take(most).last().map_or(text.len(), |(at, _)| at);
    &text[begin..]
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(packed: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        text
    }

    /// Text that does not compress well.
    fn noise(lines: u32) -> String {
        let mut state = 1_u64;
        let mut line = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}\n")
        };
        (0..lines).map(|_| line()).collect()
    }

    #[test]
    fn every_section_is_written_even_without_output() {
        let said = Ok("amdgpu: device lost\n".to_owned());
        let none = Err("there is no lspci".to_owned());
        let evidence = Evidence::of(vec![Section { name: "kernel", said }, Section { name: "PCI", said: none }]);
        let text = "==== kernel ====\namdgpu: device lost\n\n==== PCI ====\n(nothing: there is no lspci)\n\n";
        assert_eq!(read(&evidence.whole().unwrap()), text);
        assert_eq!(read(&evidence.within(IN_CLUSTER).unwrap()), text);
    }

    #[test]
    fn long_sections_keep_their_end_and_short_ones_stay_whole() {
        let short = Section { name: "version", said: Ok("6.16.6".into()) };
        let long = Section { name: "kernel", said: Ok(format!("{}the end", noise(60_000))) };
        let evidence = Evidence::of(vec![short, long]);
        assert!(evidence.whole().unwrap().len() > IN_CLUSTER);
        let packed = evidence.within(IN_CLUSTER).unwrap();
        assert!(packed.len() <= IN_CLUSTER && packed.len() > IN_CLUSTER / 4, "{}", packed.len());
        let text = read(&packed);
        assert!(text.contains("6.16.6") && text.contains("the end"));
    }

    #[test]
    fn the_evidence_contains_no_secret() {
        let evidence = Evidence::of(vec![Section { name: "kernel", said: Ok("password=S3CRET".into()) }]);
        assert!(!read(&evidence.whole().unwrap()).contains("S3CRET"));
    }

    #[test]
    fn a_tail_does_not_split_characters() {
        assert_eq!(tail("abc", 5), "abc");
        assert_eq!(tail("aäöü", 2), "öü");
        assert_eq!(tail("abc", 0), "");
    }
}
