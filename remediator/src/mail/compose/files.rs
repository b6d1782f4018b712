//! The attachments of a mail: what is readable is text, and all together stays within what mail
//! servers take.

use crate::api::evidence_maps::{Found, Stored};

/// An attached file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub content: Vec<u8>,
    /// gzip; else text.
    pub packed: bool,
}

/// Bytes of all files of an ordinary mail: base64 makes 3 MB of them.
pub const MOST: usize = 2_200_000;
/// Bytes of all files for a server that refused the ordinary mail: 1 MB of MIME.
pub const FEW: usize = 700_000;
/// Less than this is not worth a file.
const LEAST: usize = 1_024;

/// What is attached, and what the text has to say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub attached: Vec<Attachment>,
    /// What is missing or cut, and why.
    pub notes: Vec<String>,
}

impl Files {
    /// Adds a text, unless it is empty.
    pub fn add_text(&mut self, name: &str, text: String) {
        if !text.trim().is_empty() {
            self.attached.push(Attachment { name: name.to_owned(), content: text.into_bytes(), packed: false });
        }
    }

    /// Adds a file of evidence: what is short enough to be read as text, else as it is stored.
    pub fn add_evidence(&mut self, (name, file): Found) {
        match file {
            Ok(Stored { text: Some(content), .. }) => {
                self.attached.push(Attachment { name: format!("{name}.txt"), content, packed: false });
            }
            Ok(Stored { packed: content, text: None }) => {
                self.attached.push(Attachment { name: format!("{name}.txt.gz"), content, packed: true });
            }
            Err(why) => self.notes.push(format!("{name} is not attached: {why}")),
        }
    }

    /// Cuts the largest files until all together have at most `most` bytes: of a text the end
    /// stays, of a packed file nothing.
    pub fn within(mut self, most: usize) -> Self {
        loop {
            let total: usize = self.attached.iter().map(|file| file.content.len()).sum();
            let largest = self.attached.iter().enumerate().max_by_key(|(_, file)| file.content.len());
            let Some((at, size)) = largest.map(|(at, file)| (at, file.content.len())).filter(|_| total > most) else {
                return self;
            };
            let file = &mut self.attached[at];
            let left = size.saturating_sub(total - most).max(size / 2);
            if file.packed || left < LEAST {
                self.notes.push(format!("{} is not attached: all files together would be too large", file.name));
                self.attached.remove(at);
                continue;
            }
            let mut begin = size - left;
            // Whole lines, and no half of a character.
            begin += file.content[begin..].iter().position(|byte| *byte == b'\n').map_or(0, |line| line + 1);
            file.content.drain(..begin);
            let note = format!("of {} only the end is attached", file.name);
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Returns what is attached, for the text.
    pub fn lines(&self) -> Vec<(String, String)> {
        let size = |bytes: usize| if bytes < 1_000 { format!("{bytes} B") } else { format!("{} kB", bytes / 1_000) };
        let attached = self.attached.iter().map(|file| (file.name.clone(), size(file.content.len())));
        attached.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_readable_unless_it_is_long_and_what_is_missing_is_said() {
        let mut files = Files::default();
        files.add_evidence(("a".into(), Ok(Stored { packed: vec![1], text: Some(b"kernel log".to_vec()) })));
        files.add_evidence(("b".into(), Ok(Stored { packed: vec![2; 9], text: None })));
        files.add_evidence(("c".into(), Err("its ConfigMap is gone".into())));
        let names: Vec<_> = files.attached.iter().map(|file| (file.name.as_str(), file.packed)).collect();
        assert_eq!(names, [("a.txt", false), ("b.txt.gz", true)]);
        assert_eq!((files.attached[0].content.as_slice(), files.attached[1].content.len()), (&b"kernel log"[..], 9));
        assert_eq!(files.notes, ["c is not attached: its ConfigMap is gone"]);
    }

    #[test]
    fn the_largest_files_are_cut_first_and_the_text_says_so() {
        let mut files = Files::default();
        files.add_text("small.log", "small\n".into());
        files.add_text("large.log", "a line of the log\n".repeat(200_000));
        files.attached.push(Attachment { name: "p.gz".into(), content: vec![1; 900_000], packed: true });
        let cut = files.within(MOST);
        let sizes: Vec<_> = cut.attached.iter().map(|file| (file.name.as_str(), file.content.len())).collect();
        assert!(sizes.iter().map(|(_, size)| size).sum::<usize>() <= MOST, "{sizes:?}");
        assert_eq!((sizes[0], sizes.len()), (("small.log", 6), 3));
        assert!(cut.attached[1].content.starts_with(b"a line"), "a line is not halved");
        assert_eq!(cut.notes, ["of large.log only the end is attached"]);
        let few = cut.within(FEW);
        assert!(few.attached.iter().all(|file| !file.packed), "{:?}", few.notes);
        assert_eq!(few.attached[0].content, b"small\n");
    }
}
