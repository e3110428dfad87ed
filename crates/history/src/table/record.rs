//! What a row consists of.

/// One row of a table. It may borrow its data: it is rendered at once and not kept.
pub trait Record {
    /// Names of the columns: the header of HTML and CSV, the keys of JSON.
    const COLUMNS: &'static [&'static str];

    /// Writes the cells: one call for each column, in their order. Calls beyond the last column are ignored, and
    /// missing cells are empty.
    fn write_cells<C: CellWriter>(&self, cells: &mut C);
}

/// Receives the cells of a row.
pub trait CellWriter {
    /// Text, written unchanged, with two exceptions: HTML gets no NUL, which is replaced there; and CSV gets a leading
    /// apostrophe before anything that a spreadsheet would run as a formula.
    fn text(&mut self, text: &str);
    /// A whole number.
    fn integer(&mut self, value: i64);
    /// Any other number. A number that is not finite is written as [`null`](Self::null).
    fn float(&mut self, value: f64);
    /// `true` or `false`.
    fn boolean(&mut self, value: bool);
    /// An empty cell; `null` in JSON.
    fn null(&mut self);
}

/// Writes the cells of `record` to `cells`: exactly as many as there are columns.
#[inline]
pub(super) fn write_cells<R: Record, C: CellWriter>(record: &R, cells: C) {
    let mut counted = CountedCells { cells, left: R::COLUMNS.len() };
    record.write_cells(&mut counted);
    while counted.left > 0 {
        counted.null();
    }
}

/// Passes on cells until all columns have one.
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
