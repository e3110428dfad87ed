//! What a row consists of.

/// One row of a table. It may borrow its data: it is rendered at once and not kept.
pub trait Record {
    /// Names of the columns: the header of HTML and CSV, the keys of JSON.
    const COLUMNS: &'static [&'static str];

    /// Writes the cells: one call for each column, in their order. Calls beyond the last column are ignored, and
    /// missing cells are empty.
    fn tell<C: Cells>(&self, cells: &mut C);
}

/// Receives the cells of a row.
pub trait Cells {
    /// Text, written unchanged, with two exceptions: HTML gets no NUL, which is replaced there; and CSV gets a leading
    /// apostrophe before anything that a spreadsheet would run as a formula.
    fn text(&mut self, text: &str);
    /// A whole number.
    fn integer(&mut self, value: i64);
    /// Any other number. A number that is not finite is written as [`nothing`](Self::nothing).
    fn real(&mut self, value: f64);
    /// `true` or `false`.
    fn boolean(&mut self, value: bool);
    /// An empty cell; `null` in JSON.
    fn nothing(&mut self);
}

/// Writes the cells of `record` to `cells`: exactly as many as there are columns.
#[inline]
pub(super) fn tell<R: Record, C: Cells>(record: &R, cells: C) {
    let mut counted = Counted { cells, left: R::COLUMNS.len() };
    record.tell(&mut counted);
    while counted.left > 0 {
        counted.nothing();
    }
}

/// Passes on cells until all columns have one.
struct Counted<C> {
    cells: C,
    left: usize,
}

impl<C: Cells> Counted<C> {
    #[inline]
    fn next(&mut self) -> Option<&mut C> {
        self.left = self.left.checked_sub(1)?;
        Some(&mut self.cells)
    }
}

impl<C: Cells> Cells for Counted<C> {
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
    fn real(&mut self, value: f64) {
        if let Some(cells) = self.next() {
            if value.is_finite() {
                cells.real(value);
            } else {
                cells.nothing();
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
    fn nothing(&mut self) {
        if let Some(cells) = self.next() {
            cells.nothing();
        }
    }
}
