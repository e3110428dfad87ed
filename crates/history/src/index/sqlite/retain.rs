//! Removes old events from SQLite, and corrects the times of events.

use rusqlite::{OptionalExtension, Transaction, params, params_from_iter};

use super::{add, get, set};
use crate::index::sql;
use crate::index::{Evicted, Pruned, Retention, SHIFT_ROWS, ShiftProgress, TimeCorrection};

/// The maximum size of a database in memory, in bytes: about 50,000 events of the usual length.
const MEMORY_BYTES: i64 = 16 << 20;

/// The number of old events to remove at once from a database in memory that is too large.
const EVICTED_ROWS: i64 = 100;

/// How many events were removed, of all kinds (`rows`) and of the kind `mark` (`marks`). The table `state` has the
/// numbers of stored events, from which these numbers are subtracted.
#[derive(Default)]
struct Removed {
    rows: i64,
    marks: i64,
    /// Events with ids up to this one are not lost when they are removed from memory, because they have been copied to
    /// the database that replaces the one in memory.
    relocated_up_to: i64,
    lost: i64,
    /// The highest id of all events that were ever removed from the database.
    up_to: i64,
}

pub(super) fn prune(transaction: &Transaction<'_>, retention: Retention) -> rusqlite::Result<Pruned> {
    let (rows, marks) = (get(transaction, "rows")?, get(transaction, "marks")?);
    let mut removed = Removed { up_to: get(transaction, "pruned")?, ..Removed::default() };
    if let Some(aged) = retention.aged {
        let values = [aged.limit(rows), aged.before_ms, aged.up_to_id];
        delete(transaction, &sql::aged('?'), &values, &mut removed)?;
        if let Some(trusted_ms) = aged.trusted_ms {
            transaction.prepare_cached(&sql::trust('?'))?.execute([trusted_ms])?;
        }
    }
    let aged = removed.rows;
    let surplus = retention.surplus(rows - removed.rows, marks - removed.marks);
    delete(transaction, &sql::marks('?'), &[surplus.marks], &mut removed)?;
    delete(transaction, &sql::oldest('?'), &[surplus.any], &mut removed)?;
    count(transaction, &removed)?;
    if aged > 0 {
        add(transaction, "untold", aged)?;
    }
    let Removed { rows, up_to, .. } = removed;
    let has_more = Retention::has_more(aged) || Retention::has_more(rows - aged);
    Ok(Pruned { up_to, aged: aged.unsigned_abs(), has_more })
}

/// Removes the oldest events while the database in memory is too large. If many of the events are marks, which people
/// and programs set, removes the oldest marks first. [`Evicted::lost`] does not include events with ids up to
/// `relocated_up_to`, because they have been copied to the database that replaces the one in memory.
pub(super) fn evict(transaction: &Transaction<'_>, relocated_up_to: i64) -> rusqlite::Result<Evicted> {
    let number = |text: &str| transaction.query_row(text, [], |row| row.get::<_, i64>(0));
    let page_bytes = number("PRAGMA page_size")?;
    let (rows, marks) = (get(transaction, "rows")?, get(transaction, "marks")?);
    let mut removed = Removed { relocated_up_to, ..Removed::default() };
    while (number("PRAGMA page_count")? - number("PRAGMA freelist_count")?) * page_bytes > MEMORY_BYTES {
        let (rows, marks, before) = (rows - removed.rows, marks - removed.marks, removed.rows);
        let max_rows = u64::try_from(rows - EVICTED_ROWS).unwrap_or(0);
        let surplus = Retention { aged: None, max_rows: Some(max_rows) }.surplus(rows, marks);
        delete(transaction, &sql::marks('?'), &[surplus.marks], &mut removed)?;
        delete(transaction, &sql::oldest('?'), &[surplus.any], &mut removed)?;
        if removed.rows == before {
            break;
        }
    }
    count(transaction, &removed)?;
    Ok(Evicted { rows: removed.rows.unsigned_abs(), lost: removed.lost.unsigned_abs(), up_to: removed.up_to })
}

/// Subtracts the numbers of removed events from the numbers of stored events in the table `state`, and stores the
/// highest removed id there.
fn count(transaction: &Transaction<'_>, removed: &Removed) -> rusqlite::Result<()> {
    if removed.rows > 0 {
        add(transaction, "rows", -removed.rows)?;
        add(transaction, "marks", -removed.marks)?;
        set(transaction, "pruned", removed.up_to)?;
    }
    Ok(())
}

/// Removes the events that the SQL `select` selects with the parameters `values`, and updates the numbers of removed
/// events in `removed`. The first parameter is the maximum number of rows.
fn delete(
    transaction: &Transaction<'_>,
    select: &str,
    values: &[i64],
    removed: &mut Removed,
) -> rusqlite::Result<()> {
    if values.first() == Some(&0) {
        return Ok(());
    }
    let text = format!(
        "SELECT count(*), coalesce(sum(kind = 'mark'), 0), coalesce(sum(id > {}), 0), coalesce(max(id), 0) FROM ({select})",
        removed.relocated_up_to
    );
    let (rows, marks, lost, highest): (i64, i64, i64, i64) =
        transaction.prepare_cached(&text)?.query_row(params_from_iter(values), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let text = format!("DELETE FROM events WHERE (at, id) IN (SELECT at, id FROM ({select}))");
    transaction.prepare_cached(&text)?.execute(params_from_iter(values))?;
    removed.rows += rows;
    removed.marks += marks;
    removed.lost += lost;
    removed.up_to = removed.up_to.max(highest);
    Ok(())
}

/// Returns the time corrections that are still to be applied to events.
pub(super) fn shifts(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<TimeCorrection>> {
    let mut statement =
        transaction.prepare("SELECT first, last, by_ms, seen_ms FROM shifts ORDER BY first")?;
    let shifts = statement.query_map([], |row| {
        Ok(TimeCorrection { first: row.get(0)?, last: row.get(1)?, by_ms: row.get(2)?, seen_ms: row.get(3)? })
    })?;
    shifts.collect()
}

/// Stores the time corrections `shifts`, which are still to be applied to events, in place of all corrections in the
/// database.
pub(super) fn plan(transaction: &Transaction<'_>, shifts: &[TimeCorrection]) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM shifts", [])?;
    let text = "INSERT INTO shifts (first, last, by_ms, seen_ms) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(text)?;
    for TimeCorrection { first, last, by_ms, seen_ms } in shifts {
        statement.execute([first, last, by_ms, seen_ms])?;
    }
    Ok(())
}

/// Applies the oldest of the time corrections in the database to at most `SHIFT_ROWS` events. If the correction covers
/// more events, it stays in the database for the rest.
pub(super) fn apply_shifts(transaction: &Transaction<'_>) -> rusqlite::Result<ShiftProgress> {
    let first = transaction
        .prepare_cached("SELECT first, last, by_ms FROM shifts ORDER BY first LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((first, last, by_ms)): Option<(i64, i64, i64)> = first else {
        return Ok(ShiftProgress { moved: 0, is_done: true });
    };
    let until: Option<i64> = transaction
        .prepare_cached(&sql::shifted('?'))?
        .query_row([first, last, SHIFT_ROWS], |row| row.get(0))?;
    let Some(until) = until else {
        transaction.execute("DELETE FROM shifts WHERE first = ?1", [first])?;
        return Ok(ShiftProgress { moved: 0, is_done: false });
    };
    let moved = transaction
        .prepare_cached("UPDATE events SET at = max(at + ?3, 0) WHERE id BETWEEN ?1 AND ?2")?
        .execute(params![first, until, by_ms])?;
    if until < last {
        transaction.execute("UPDATE shifts SET first = ?2 WHERE first = ?1", [first, until + 1])?;
    } else {
        // The next correction might begin right after this one.
        transaction.execute("DELETE FROM shifts WHERE first = ?1", [first])?;
    }
    Ok(ShiftProgress { moved: moved as u64, is_done: false })
}
