//! Rows of cells → aligned columns.

use super::tabwriter::TabWriter;
use crate::cli::terminal::escape;

/// What happens with the last column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Not padded, as kubectl's tables.
    LastColumnOpen,
    /// Padded like the others, as `api-resources` and `custom-columns` with a tab at each end.
    LastColumnPadded,
}

/// The text of a table; cells are cut at their first line end and cannot steer a terminal.
pub fn render(rows: &[Vec<String>], align: Align) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| cell(c)).collect();
        text.push_str(&cells.join("\t"));
        if align == Align::LastColumnPadded {
            text.push('\t');
        }
        text.push('\n');
    }
    if text.is_empty() { text } else { TabWriter::TABLE.format(&text) }
}

/// One cell. Source: k8s.io/cli-runtime/pkg/printers/tableprinter.go (`printRows`).
pub fn cell(text: &str) -> String {
    match text.find(['\u{c}', '\n', '\r']) {
        Some(at) => format!("{}...", escape(&text[..at]).replace('\t', " ")),
        None => escape(text).replace('\t', " "),
    }
}
