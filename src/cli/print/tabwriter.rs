//! Columns from tab-separated text, as Go's `text/tabwriter` makes them: a column is a run of lines that
//! have a cell there, ended by a tab; what stands behind a line's last tab is in no column.

/// How columns are made.
#[derive(Clone, Copy, Debug)]
pub struct TabWriter {
    pub min_width: usize,
    pub padding: usize,
}

impl TabWriter {
    /// kubectl's tables (k8s.io/cli-runtime/pkg/printers/tabwriter.go).
    pub const TABLE: TabWriter = TabWriter { min_width: 6, padding: 3 };
    /// `describe` (k8s.io/kubectl/pkg/describe: `tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)`).
    pub const DESCRIBE: TabWriter = TabWriter { min_width: 0, padding: 2 };

    /// Lays the text out.
    pub fn format(self, text: &str) -> String {
        let ends = text.ends_with('\n');
        let body = text.strip_suffix('\n').unwrap_or(text);
        let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
        let mut out = String::with_capacity(text.len() * 2);
        let mut widths = Vec::new();
        self.block(&lines, &mut widths, &mut out);
        if !ends {
            out.pop();
        }
        out
    }

    /// The widths that the cells of `lines` ask for, when every line has the same columns.
    pub fn widths(self, rows: &[Vec<String>]) -> Vec<usize> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..columns)
            .map(|c| rows.iter().filter_map(|r| r.get(c)).map(|cell| self.width(cell)).max().unwrap_or(0))
            .collect()
    }

    fn width(self, cell: &str) -> usize {
        (cell.chars().count() + self.padding).max(self.min_width)
    }

    fn block(self, lines: &[Vec<&str>], widths: &mut Vec<usize>, out: &mut String) {
        let column = widths.len();
        let has_cell = |line: &Vec<&str>| column + 1 < line.len();
        let mut printed = 0;
        let mut at = 0;
        while at < lines.len() {
            if !has_cell(&lines[at]) {
                at += 1;
                continue;
            }
            write(&lines[printed..at], widths, out);
            let end = lines[at..].iter().position(|l| !has_cell(l)).map_or(lines.len(), |n| at + n);
            widths.push(lines[at..end].iter().map(|l| self.width(l[column])).max().unwrap_or(self.min_width));
            self.block(&lines[at..end], widths, out);
            widths.pop();
            printed = end;
            at = end;
        }
        write(&lines[printed..], widths, out);
    }
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for line in lines {
        for (i, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(i) {
                for _ in cell.chars().count()..*width {
                    out.push(' ');
                }
            }
        }
        out.push('\n');
    }
}

/// A table that is printed piece by piece: columns only get wider (kubectl's `RememberWidths`).
#[derive(Debug, Default)]
pub struct Growing {
    widths: Vec<usize>,
}

impl Growing {
    /// The text of the next rows.
    pub fn rows(&mut self, rows: &[Vec<String>]) -> String {
        for (i, width) in TabWriter::TABLE.widths(rows).into_iter().enumerate() {
            match self.widths.get_mut(i) {
                Some(known) => *known = (*known).max(width),
                None => self.widths.push(width),
            }
        }
        let mut text = String::new();
        for row in rows {
            for (i, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if i + 1 < row.len() {
                    text.extend(std::iter::repeat_n(' ', self.widths[i].saturating_sub(cell.chars().count())));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_runs_of_lines() {
        let text = "Name:\tweb\nLabels:\ta=b\n\tc=d\nplain\nX:\ty\n";
        let expected = "Name:    web\nLabels:  a=b\n         c=d\nplain\nX:  y\n";
        assert_eq!(TabWriter::DESCRIBE.format(text), expected);
    }

    #[test]
    fn the_last_cell_is_not_padded() {
        assert_eq!(TabWriter::TABLE.format("A\tB\tC\nlonger\t\tx\n"), "A        B     C\nlonger         x\n");
    }
}
