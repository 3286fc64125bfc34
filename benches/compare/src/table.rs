//! Markdown tables that are also readable as text.

/// Rows of cells below a row of headings. The first columns are text, the others numbers.
#[derive(Debug)]
pub struct Table {
    text_columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(text_columns: usize, headings: &[&str]) -> Table {
        Table { text_columns, rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    #[must_use]
    pub fn to_markdown(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell = if column < self.text_columns {
                    format!("| {cell:<width$} ")
                } else {
                    format!("| {cell:>width$} ")
                };
                text.push_str(&cell);
            }
            text.push_str("|\n");
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width - 1);
                    text.push_str(&if column < self.text_columns {
                        format!("| {dashes}- ")
                    } else {
                        format!("| {dashes}: ")
                    });
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn text_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(1, &["server", "n"]);
        table.row(vec!["a".to_owned(), "1000".to_owned()]);
        assert_eq!(table.to_markdown(), "| server |    n |\n| ------ | ---: |\n| a      | 1000 |\n");
    }
}
