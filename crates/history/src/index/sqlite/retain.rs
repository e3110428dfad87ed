//! What is taken away, and times that are put right.

use rusqlite::{OptionalExtension, Transaction, params, params_from_iter};

use super::{add, get, set};
use crate::index::sql;
use crate::index::{Pruned, Retention, SHIFT_ROWS, Shift, Shifted};

/// What went: the counts of the table `state` follow.
struct Gone {
    rows: i64,
    marks: i64,
    /// The highest id of all that ever went.
    up_to: i64,
}

pub(super) fn prune(transaction: &Transaction<'_>, retention: Retention) -> rusqlite::Result<Pruned> {
    let (rows, marks) = (get(transaction, "rows")?, get(transaction, "marks")?);
    let mut gone = Gone { rows: 0, marks: 0, up_to: get(transaction, "pruned")? };
    if let Some(aged) = retention.aged {
        let values = [aged.limit(rows), aged.before_ms, aged.up_to_id];
        delete(transaction, &sql::aged('?'), &values, &mut gone)?;
    }
    let aged = gone.rows;
    let surplus = retention.surplus(rows - gone.rows, marks - gone.marks);
    delete(transaction, &sql::marks('?'), &[surplus.marks], &mut gone)?;
    delete(transaction, &sql::oldest('?'), &[surplus.any], &mut gone)?;
    let Gone { rows, marks, up_to } = gone;
    if rows > 0 {
        add(transaction, "rows", -rows)?;
        add(transaction, "marks", -marks)?;
        add(transaction, "untold", aged)?;
        set(transaction, "pruned", up_to)?;
    }
    let has_more = Retention::has_more(aged) || Retention::has_more(rows - aged);
    Ok(Pruned { up_to, aged: aged.unsigned_abs(), has_more })
}

/// Takes away what `select` chooses with `values`, the first of which is how many at most.
fn delete(
    transaction: &Transaction<'_>,
    select: &str,
    values: &[i64],
    gone: &mut Gone,
) -> rusqlite::Result<()> {
    if values.first() == Some(&0) {
        return Ok(());
    }
    let text =
        format!("SELECT count(*), coalesce(sum(kind = 'mark'), 0), coalesce(max(id), 0) FROM ({select})");
    let (rows, marks, highest): (i64, i64, i64) = transaction
        .prepare_cached(&text)?
        .query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let text = format!("DELETE FROM events WHERE (at, id) IN (SELECT at, id FROM ({select}))");
    transaction.prepare_cached(&text)?.execute(params_from_iter(values))?;
    gone.rows += rows;
    gone.marks += marks;
    gone.up_to = gone.up_to.max(highest);
    Ok(())
}

/// The shifts that wait.
pub(super) fn shifts(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Shift>> {
    let mut statement =
        transaction.prepare("SELECT first, last, by_ms, seen_ms FROM shifts ORDER BY first")?;
    let shifts = statement.query_map([], |row| {
        Ok(Shift { first: row.get(0)?, last: row.get(1)?, by_ms: row.get(2)?, seen_ms: row.get(3)? })
    })?;
    shifts.collect()
}

/// Puts `shifts` in the place of those that wait.
pub(super) fn plan(transaction: &Transaction<'_>, shifts: &[Shift]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM shifts", [])?;
    let text = "INSERT INTO shifts (first, last, by_ms, seen_ms) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(text)?;
    for Shift { first, last, by_ms, seen_ms } in shifts {
        statement.execute([first, last, by_ms, seen_ms])?;
    }
    Ok(())
}

/// Makes some of the first shift that waits; what is left of it goes on waiting.
pub(super) fn shift(transaction: &Transaction<'_>) -> rusqlite::Result<Shifted> {
    let first = transaction
        .prepare_cached("SELECT first, last, by_ms FROM shifts ORDER BY first LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((first, last, by_ms)): Option<(i64, i64, i64)> = first else {
        return Ok(Shifted { moved: 0, is_done: true });
    };
    let until: Option<i64> = transaction
        .prepare_cached(&sql::shifted('?'))?
        .query_row([first, last, SHIFT_ROWS], |row| row.get(0))?;
    let Some(until) = until else {
        transaction.execute("DELETE FROM shifts WHERE first = ?1", [first])?;
        return Ok(Shifted { moved: 0, is_done: false });
    };
    let moved = transaction
        .prepare_cached("UPDATE events SET at = max(at + ?3, 0) WHERE id BETWEEN ?1 AND ?2")?
        .execute(params![first, until, by_ms])?;
    if until < last {
        transaction.execute("UPDATE shifts SET first = ?2 WHERE first = ?1", [first, until + 1])?;
    } else {
        // The next one may begin right after it.
        transaction.execute("DELETE FROM shifts WHERE first = ?1", [first])?;
    }
    Ok(Shifted { moved: moved as u64, is_done: false })
}
