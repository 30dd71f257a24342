//! Tables: aligned for people, tab-separated for programs.

/// Rows under headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    empty: &'static str,
}

impl Table {
    /// A table without rows; `empty` is what a person is told while there are none.
    pub(crate) fn new(headings: &[&'static str], empty: &'static str) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), empty }
    }

    /// Adds a row: one cell for each heading.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| clean(&cell.into())).collect();
        debug_assert_eq!(cells.len(), self.headings.len(), "a row has a cell for each heading");
        self.rows.push(cells);
    }

    /// The text, with a line end after each line.
    pub(crate) fn render(&self, for_terminal: bool) -> String {
        if for_terminal { self.aligned() } else { self.separated() }
    }

    fn separated(&self) -> String {
        let headings = self.headings.join("\t");
        let rows = self.rows.iter().map(|row| row.join("\t"));
        std::iter::once(headings).chain(rows).map(|line| line + "\n").collect()
    }

    fn aligned(&self) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: Vec<&str>| {
            let padded: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
            padded.join("  ").trim_end().to_owned() + "\n"
        };
        let headings = line(self.headings.clone());
        let rows = self.rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
        std::iter::once(headings).chain(rows).collect()
    }
}

/// One cell is one line, without what would steer a terminal.
fn clean(cell: &str) -> String {
    cell.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "ID"], "nothing here");
        table.row(["a\tb\u{1b}", "1"]);
        table.row(["l\u{fc}nger", "22"]);
        table
    }

    #[test]
    fn programs_get_tabs() {
        assert_eq!(table().render(false), "NAME\tID\na b \t1\nl\u{fc}nger\t22\n");
        assert_eq!(Table::new(&["A"], "none").render(false), "A\n");
    }

    #[test]
    fn people_get_columns() {
        assert_eq!(table().render(true), "NAME    ID\na b     1\nl\u{fc}nger  22\n");
        assert_eq!(Table::new(&["A"], "none").render(true), "none\n");
    }
}
