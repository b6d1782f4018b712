//! A mail as a page of sections, and its two forms: plain text of 80 columns, and HTML that Outlook
//! and phones show alike. Both are made of the same blocks, so neither says more than the other.

use std::fmt::Write as _;

/// Width of the text, in columns.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// The narrowest last column of a table that is still wrapped within the width.
const NARROWEST: usize = 24;

/// A part of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Names with their values.
    Facts(Vec<(String, String)>),
    Table {
        head: Vec<&'static str>,
        rows: Vec<Vec<String>>,
    },
    /// A command, and what it is for.
    Command {
        what: String,
        command: String,
    },
    /// The output of a tool, line by line.
    Output(String),
    /// Titles with their addresses.
    Links(Vec<(String, String)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub heading: &'static str,
    pub blocks: Vec<Block>,
}

/// The body of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// One sentence: the fact.
    pub lead: String,
    pub sections: Vec<Section>,
}

impl Page {
    /// Returns the page without sections that say nothing.
    pub fn new(lead: String, sections: Vec<Section>) -> Self {
        Self { lead, sections: sections.into_iter().filter(|section| !section.blocks.is_empty()).collect() }
    }

    pub fn text(&self) -> String {
        let mut text = wrapped(&self.lead, 0);
        for Section { heading, blocks } in &self.sections {
            let _ = writeln!(text, "\n{heading}\n{}", "-".repeat(heading.chars().count()));
            for block in blocks {
                text.push_str(&block.text());
            }
        }
        text
    }

    pub fn html(&self, title: &str) -> String {
        let mut html = String::new();
        let _ = write!(html, "{HEAD}<title>{}</title>{STYLE}</head>\n{OPEN}", escaped(title));
        let _ = writeln!(html, "<tr><td class=\"lead\" style=\"{LEAD}\">{}</td></tr>", escaped(&self.lead));
        for Section { heading, blocks } in &self.sections {
            let _ = write!(
                html,
                "<tr><td style=\"{HEADING}\"><b>{}</b></td></tr>\n<tr><td style=\"{CELL}\">",
                escaped(heading)
            );
            for block in blocks {
                html.push_str(&block.html());
            }
            html.push_str("</td></tr>\n");
        }
        html.push_str(CLOSE);
        html
    }
}

impl Block {
    fn text(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Text(paragraph) => text.push_str(&wrapped(paragraph, INDENT)),
            Self::Facts(facts) => {
                let rows: Vec<_> = facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
                text.push_str(&columns(&rows));
            }
            Self::Table { head, rows } => {
                let head = vec![head.iter().map(ToString::to_string).collect()];
                text.push_str(&columns(&[head, rows.clone()].concat()));
            }
            Self::Command { what, command } => {
                let _ = writeln!(text, "{}    {command}", wrapped(what, INDENT));
            }
            Self::Output(output) => {
                for line in output.lines() {
                    let _ = writeln!(text, "  | {}", line.trim_end());
                }
            }
            Self::Links(links) => {
                for (title, address) in links {
                    let _ = writeln!(text, "  {title}: {address}");
                }
            }
        }
        text
    }

    fn html(&self) -> String {
        let mut html = String::new();
        match self {
            Self::Text(paragraph) => {
                let _ = write!(html, "<p style=\"{PARAGRAPH}\">{}</p>", escaped(paragraph));
            }
            Self::Facts(facts) => {
                let _ = write!(html, "{TABLE}");
                for (name, value) in facts {
                    let (name, value) = (escaped(name), escaped(value));
                    let _ = write!(
                        html,
                        "<tr><td class=\"quiet\" style=\"{NAME}\">{name}</td><td style=\"{VALUE}\">{value}</td></tr>"
                    );
                }
                html.push_str("</table>");
            }
            Self::Table { head, rows } => {
                let _ = write!(html, "{TABLE}<tr>");
                for name in head {
                    let _ = write!(html, "<td class=\"quiet\" style=\"{NAME}\">{}</td>", escaped(name));
                }
                html.push_str("</tr>");
                for row in rows {
                    html.push_str("<tr>");
                    for cell in row {
                        let _ = write!(html, "<td style=\"{VALUE}\">{}</td>", escaped(cell));
                    }
                    html.push_str("</tr>");
                }
                html.push_str("</table>");
            }
            Self::Command { what, command } => {
                let _ = write!(
                    html,
                    "<p style=\"{PARAGRAPH}\">{}</p><pre class=\"code\" style=\"{CODE}\">{}</pre>",
                    escaped(what),
                    escaped(command)
                );
            }
            Self::Output(output) => {
                let _ = write!(html, "<pre class=\"code\" style=\"{CODE}\">{}</pre>", escaped(output.trim_end()));
            }
            Self::Links(links) => {
                for (title, address) in links {
                    let (title, address) = (escaped(title), escaped(address));
                    let _ =
                        write!(html, "<p style=\"{PARAGRAPH}\"><a class=\"link\" href=\"{address}\">{title}</a></p>");
                }
            }
        }
        html
    }
}

/// Returns a paragraph of lines that fit the width; a word that does not fit has its own line.
fn wrapped(paragraph: &str, indent: usize) -> String {
    let mut text = String::new();
    for line in lines(paragraph, WIDTH - indent) {
        let _ = writeln!(text, "{}{line}", " ".repeat(indent));
    }
    text
}

fn lines(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let line = lines.last_mut().filter(|line| line.is_empty() || length(line) + 1 + length(word) <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Returns rows whose columns stand below each other; the last column is wrapped.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell)).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count.saturating_sub(1)).map(width).collect();
    let before = INDENT + widths.iter().map(|width| width + 2).sum::<usize>();
    let last = WIDTH.saturating_sub(before).max(NARROWEST);
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(INDENT);
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell}{}", " ".repeat(width - length(cell) + 2));
        }
        let cell = row.get(widths.len()).map(String::as_str).unwrap_or_default();
        for (number, part) in lines(cell, last).iter().enumerate() {
            let begin = if number == 0 { line.clone() } else { " ".repeat(before) };
            let _ = writeln!(text, "{}", format!("{begin}{part}").trim_end());
        }
    }
    text
}

/// Text as it may stand in HTML, in an attribute too. What no document may contain is left out.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(character),
            _ if character.is_control() => html.push('\u{fffd}'),
            _ => html.push(character),
        }
    }
    html
}

// Outlook on Windows renders with Word: tables and inline styles, no flexible layout. Phones take
// the width from the first table. Both colour schemes are named, so that no client inverts one.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">";
const STYLE: &str = "<style>\
:root{color-scheme:light dark}\
body,table.page{background:#ffffff;color:#1b1f24}\
.quiet{color:#57606a}.code{background:#f3f4f6;color:#1b1f24}.lead{background:#fff1e5;color:#1b1f24}.link{color:#0550ae}\
@media (prefers-color-scheme:dark){\
body,table.page{background:#16191d!important;color:#e6e9ec!important}\
.quiet{color:#a2abb5!important}.code{background:#23282e!important;color:#e6e9ec!important}\
.lead{background:#4a2a10!important;color:#fdf3ea!important}.link{color:#86b7ff!important}}\
</style>";
const OPEN: &str = "<body style=\"margin:0;padding:0\">\
<table class=\"page\" role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">\n";
const CLOSE: &str = "</table></body></html>\n";
const TABLE: &str = "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\">";
const LEAD: &str = "padding:14px 16px;font:600 16px/1.4 Segoe UI,Roboto,Helvetica,Arial,sans-serif";
const HEADING: &str = "padding:16px 16px 4px 16px;font:600 14px/1.4 Segoe UI,Roboto,Helvetica,Arial,sans-serif";
const CELL: &str = "padding:0 16px 6px 16px;font:14px/1.45 Segoe UI,Roboto,Helvetica,Arial,sans-serif";
const PARAGRAPH: &str = "margin:4px 0";
const NAME: &str = "padding:2px 12px 2px 0;font:13px/1.4 Segoe UI,Roboto,Helvetica,Arial,sans-serif;vertical-align:top;white-space:nowrap";
const VALUE: &str = "padding:2px 12px 2px 0;font:13px/1.4 Segoe UI,Roboto,Helvetica,Arial,sans-serif;vertical-align:top;word-break:break-word";
const CODE: &str = "margin:2px 0 8px 0;padding:8px;font:12px/1.45 Consolas,Menlo,monospace;white-space:pre-wrap;\
word-break:break-word";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_columns_stand_below_each_other() {
        let long = "word ".repeat(40);
        let rows = vec![
            vec!["22:04:57".to_owned(), "10 s".to_owned(), long.clone()],
            vec!["a".into(), "b".into(), "c".into()],
        ];
        let page = Page::new(
            long,
            vec![Section { heading: "Tried", blocks: vec![Block::Table { head: vec!["at", "took", "what"], rows }] }],
        );
        let text = page.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\n  a         b     c\n"), "{text}");
    }

    #[test]
    fn an_output_keeps_its_lines_in_both_forms_and_breaks_no_document() {
        let output = "dpkg: error\n<script>alert('1')</script> \u{1b}[31m & \"quoted\"\n".to_owned();
        let page = Page::new("x".into(), vec![Section { heading: "Said", blocks: vec![Block::Output(output)] }]);
        assert!(page.text().contains("  | dpkg: error\n  | <script>"));
        let html = page.html("t");
        assert!(html.contains("dpkg: error\n&lt;script&gt;alert(&#39;1&#39;)") && !html.contains("<script"), "{html}");
        assert!(!html.contains('\u{1b}'));
    }

    #[test]
    fn a_section_without_content_is_left_out() {
        let page = Page::new("x".into(), vec![Section { heading: "Empty", blocks: vec![] }]);
        assert_eq!(page.text(), "x\n");
    }
}
