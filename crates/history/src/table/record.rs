//! A row of a table and its cells, independent of the table's format.

/// The content of one row of a table. A record can borrow its data, because it is written at once and not kept.
pub trait Record {
    /// The names of the columns: the header of HTML and CSV, and the keys of JSON.
    const COLUMNS: &'static [&'static str];

    /// Writes the row's cells into `cells`: one call for each column, in the order of the columns. Calls beyond the
    /// last column are ignored, and missing cells are empty.
    fn write_cells<C: CellWriter>(&self, cells: &mut C);
}

/// Receives the cells of a row, one by one, and writes them in the format of the table.
pub trait CellWriter {
    /// Writes a text. HTML shows hidden characters, such as NUL, as escapes. In CSV, an apostrophe comes before a text
    /// that a spreadsheet would run as a formula. Any other text is unchanged, apart from the quotes and escapes of the
    /// format.
    fn text(&mut self, text: &str);
    /// Writes a whole number.
    fn integer(&mut self, value: i64);
    /// Writes a number that need not be whole. Infinity and NaN are written as [`null`](Self::null).
    fn float(&mut self, value: f64);
    /// Writes `true` or `false`.
    fn boolean(&mut self, value: bool);
    /// Writes a cell without a value: `null` in JSON, otherwise an empty cell.
    fn null(&mut self);
}

/// Writes the cells of `record` to `cells`. Leaves out cells beyond the last column, and adds empty cells if some are
/// missing.
#[inline]
pub(super) fn write_cells<R: Record, C: CellWriter>(record: &R, cells: C) {
    let mut counted = CountedCells { cells, left: R::COLUMNS.len() };
    record.write_cells(&mut counted);
    while counted.left > 0 {
        counted.null();
    }
}

/// Passes cells on to the writer `cells`, but at most one cell for each column.
struct CountedCells<C> {
    cells: C,
    left: usize,
}

impl<C: CellWriter> CountedCells<C> {
    #[inline]
    fn next(&mut self) -> Option<&mut C> {
        self.left = self.left.checked_sub(1)?;
        Some(&mut self.cells)
    }
}

impl<C: CellWriter> CellWriter for CountedCells<C> {
    #[inline]
    fn text(&mut self, text: &str) {
        if let Some(cells) = self.next() {
            cells.text(text);
        }
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        if let Some(cells) = self.next() {
            cells.integer(value);
        }
    }

    #[inline]
    fn float(&mut self, value: f64) {
        if let Some(cells) = self.next() {
            if value.is_finite() {
                cells.float(value);
            } else {
                cells.null();
            }
        }
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        if let Some(cells) = self.next() {
            cells.boolean(value);
        }
    }

    #[inline]
    fn null(&mut self) {
        if let Some(cells) = self.next() {
            cells.null();
        }
    }
}
