//! A whole mail as the text of a golden file: its header, its parts and the names of its
//! attachments, without what differs from run to run. Pure.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use regex::Regex;

/// Columns of a paragraph.
const WIDTH: usize = 100;

/// What differs, each with the word that stands for it. Earlier ones win.
const DIFFERS: [(&str, &str); 17] = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b[0-9a-f]{16,64}\b", "HEX"),
    (r"\b[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} [\d:]{8} \+0000", "DATE"),
    (r"\b\d{4}-\d\d-\d\d[T ][\d:]{8}(\.\d+)?( UTC|Z)?", "TIME"),
    (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
    (r"\b\d+ h( \d+ min)?\b|\b\d+ min( \d+ s)?\b|\b\d+(\.\d+)? m?s\b", "DURATION"),
    (r"\b\d+(\.\d+)? (B|kB|MB)\b", "SIZE"),
    (r"http://[a-z0-9.-]+:\d+|\b10\.26\.\d+\.\d+", "ADDRESS"),
    (r"\b127\.\d+\.\d+\.\d+(:\d+)?|\blocalhost:\d+", "ADDRESS"),
    (r"CLOCK to CLOCK, \d+ times|\bCLOCK, \d+ times|CLOCK to CLOCK", "WHEN"),
    (r"\b\d{10,}\b", "NUMBER"),
    (r"\bkernel before the repair [^ ]+", "kernel before the repair VERSION"),
    (r"\bossci-(mail|body)-HEX", "BOUNDARY"),
    // The first of two checks that fail is named, and each Prometheus sends its own count.
    (r"\b(rocm-smi|rocminfo|amd-smi) failed", "CHECK failed"),
    (r"\b(rocm-smi|rocminfo|amd-smi): CHECK failed", "CHECK: CHECK failed"),
    (r"failed \d+ times in a row", "failed N times in a row"),
    (r"/[^ <>]*/(state|stories|machines|nodes)/[^ <>]*", "PATH"),
];

/// # Errors
/// The text is no mail.
pub fn told(raw: &str) -> Result<String> {
    let mail = MessageParser::new().parse(raw.as_bytes()).context("the text is no mail")?;
    let (header, _) = raw.split_once("\r\n\r\n").or_else(|| raw.split_once("\n\n")).context("the mail has no body")?;
    // What the mail server adds on top says nothing about us.
    let header = header.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    let ours =
        header.lines().filter(|line| !["Received:", "Return-Path:", "Bcc:"].iter().any(|by| line.starts_with(by)));
    let mut told: String = ours.map(|line| format!("{}\n", same(line))).collect();
    for part in &mail.parts {
        let name = part.attachment_name();
        match (&part.body, name) {
            (PartType::Multipart(_), _) => {}
            (_, Some(name)) => told.push_str(&format!("\n== attached: {}\n", same(name))),
            (PartType::Text(text), None) => {
                let graph =
                    |line: &&str| !line.trim_start().starts_with("Graph of ") && !line.contains("/graph?g0.expr");
                let text: String = text.lines().filter(graph).map(|line| format!("{line}\n")).collect();
                told.push_str(&format!("\n== text\n{}", paragraphs(&text)));
            }
            // Made of the same sections; the examples' files have it whole.
            (PartType::Html(_), None) => told.push_str("\n== HTML\n"),
            _ => told.push_str("\n== something else\n"),
        }
    }
    Ok(told)
}

/// Sets each paragraph anew: where lines break depends on the length of what was replaced.
fn paragraphs(text: &str) -> String {
    let mut told = String::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let words = same(&paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
        let mut column = 0;
        for word in words.split(' ') {
            if column > 0 && column + word.len() >= WIDTH {
                (told, column) = (told + "\n", 0);
            }
            if column > 0 {
                told.push(' ');
            }
            told.push_str(word);
            column += word.len() + 1;
        }
        told.push('\n');
    }
    told
}

fn same(text: &str) -> String {
    static ALL: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        DIFFERS.iter().filter_map(|(pattern, word)| Some((Regex::new(pattern).ok()?, *word))).collect()
    });
    ALL.iter().fold(text.to_owned(), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced_and_nothing_else() {
        for (pattern, _) in DIFFERS {
            Regex::new(pattern).unwrap();
        }
        let text = "22:04:57 7 min 3 s the node is on 0b8c1f9a-7e55-4a7e-b1d2-93f0a6c4d822, seen 22:01:00 to 22:02:00, \
                    9 times, since 2026-11-28 22:04:52 UTC, GPU 0000:65:00.0 at 127.0.0.1:9093";
        let expected = "CLOCK DURATION the node is on UUID, seen WHEN, since TIME, GPU 0000:65:00.0 at ADDRESS";
        assert_eq!(same(text), expected);
    }

    #[test]
    fn a_mail_is_its_header_its_text_and_its_attachments() {
        let raw = "From: a@b\r\nSubject: one\r\n two\r\nDate: Sat, 28 Nov 2026 22:53:22 +0000\r\nContent-Type: \
                   multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: \
                   quoted-printable\r\n\r\nall is w=\r\nell\r\n--x\r\nContent-Type: text/plain\r\nContent-Disposition: \
                   attachment; filename=node.txt\r\n\r\nx\r\n--x--\r\n";
        let told = told(raw).unwrap();
        assert_eq!(
            told,
            "From: a@b\nSubject: one two\nDate: DATE\nContent-Type: multipart/mixed; boundary=x\n\n== text\nall is \
             well\n\n== attached: node.txt\n"
        );
    }
}
