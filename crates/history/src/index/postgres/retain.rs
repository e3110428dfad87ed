//! Removes old events from PostgreSQL, and corrects the times of events, by the same rules as for SQLite.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Transaction};

use super::{add, get};
use crate::index::sql;
use crate::index::{Pruned, Retention, SHIFT_ROWS, ShiftProgress, TimeCorrection};

/// How many events were removed, of all kinds (`rows`) and of the kind `mark` (`marks`). The table `state` has the
/// numbers of stored events, from which these numbers are subtracted.
struct Removed {
    rows: i64,
    marks: i64,
    /// The highest id of all events that were ever removed from the database.
    up_to: i64,
}

pub(super) async fn prune(transaction: &Transaction<'_>, retention: Retention) -> Result<Pruned, Error> {
    let (rows, marks) = (get(transaction, "rows").await?, get(transaction, "marks").await?);
    let mut removed = Removed { rows: 0, marks: 0, up_to: get(transaction, "pruned").await? };
    if let Some(aged) = retention.aged {
        let values = [aged.limit(rows), aged.before_ms, aged.up_to_id];
        delete(transaction, &sql::aged('$'), &values, &mut removed).await?;
        if let Some(trusted_ms) = aged.trusted_ms {
            transaction.execute(&sql::trust('$'), &[&trusted_ms]).await?;
        }
    }
    let aged = removed.rows;
    let surplus = retention.surplus(rows - removed.rows, marks - removed.marks);
    delete(transaction, &sql::marks('$'), &[surplus.marks], &mut removed).await?;
    delete(transaction, &sql::oldest('$'), &[surplus.any], &mut removed).await?;
    let Removed { rows, marks, up_to } = removed;
    if rows > 0 {
        add(transaction, "rows", -rows).await?;
        add(transaction, "marks", -marks).await?;
        add(transaction, "untold", aged).await?;
        transaction.execute("UPDATE state SET value = $1 WHERE key = 'pruned'", &[&up_to]).await?;
    }
    let has_more = Retention::has_more(aged) || Retention::has_more(rows - aged);
    Ok(Pruned { up_to, aged: aged.unsigned_abs(), has_more })
}

/// Removes the events that the SQL `select` selects with the parameters `values`, and updates the numbers of removed
/// events in `removed`. The first parameter is the maximum number of rows.
async fn delete(
    transaction: &Transaction<'_>,
    select: &str,
    values: &[i64],
    removed: &mut Removed,
) -> Result<(), Error> {
    if values.first() == Some(&0) {
        return Ok(());
    }
    let text = format!(
        "WITH gone AS (
            DELETE FROM events WHERE (at, id) IN (SELECT at, id FROM ({select}) AS chosen) RETURNING id, kind
        ) SELECT count(*), count(*) FILTER (WHERE kind = 'mark'), coalesce(max(id), 0) FROM gone"
    );
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    let row = transaction.query_one(&text, &values).await?;
    removed.rows += row.get::<_, i64>(0);
    removed.marks += row.get::<_, i64>(1);
    removed.up_to = removed.up_to.max(row.get(2));
    Ok(())
}

/// Returns the time corrections that are still to be applied to events.
pub(super) async fn shifts(transaction: &Transaction<'_>) -> Result<Vec<TimeCorrection>, Error> {
    let rows =
        transaction.query("SELECT first, last, by_ms, seen_ms FROM shifts ORDER BY first", &[]).await?;
    let shift = |row: &tokio_postgres::Row| TimeCorrection {
        first: row.get(0),
        last: row.get(1),
        by_ms: row.get(2),
        seen_ms: row.get(3),
    };
    Ok(rows.iter().map(shift).collect())
}

/// Stores the time corrections `shifts`, which are still to be applied to events, in place of all corrections in the
/// database.
pub(super) async fn plan(transaction: &Transaction<'_>, shifts: &[TimeCorrection]) -> Result<(), Error> {
    transaction.execute("DELETE FROM shifts", &[]).await?;
    let text = "INSERT INTO shifts (first, last, by_ms, seen_ms) VALUES ($1, $2, $3, $4)";
    let statement = transaction.prepare(text).await?;
    for TimeCorrection { first, last, by_ms, seen_ms } in shifts {
        transaction.execute(&statement, &[first, last, by_ms, seen_ms]).await?;
    }
    Ok(())
}

/// Applies the oldest of the time corrections in the database to at most `SHIFT_ROWS` events. If the correction covers
/// more events, it stays in the database for the rest.
pub(super) async fn apply_shifts(transaction: &Transaction<'_>) -> Result<ShiftProgress, Error> {
    let text = "SELECT first, last, by_ms FROM shifts ORDER BY first LIMIT 1";
    let Some(waiting) = transaction.query_opt(text, &[]).await? else {
        return Ok(ShiftProgress { moved: 0, is_done: true });
    };
    let (first, last, by_ms): (i64, i64, i64) = (waiting.get(0), waiting.get(1), waiting.get(2));
    let until = transaction.query_one(&sql::shifted('$'), &[&first, &last, &SHIFT_ROWS]).await?;
    let Some(until): Option<i64> = until.get(0) else {
        transaction.execute("DELETE FROM shifts WHERE first = $1", &[&first]).await?;
        return Ok(ShiftProgress { moved: 0, is_done: false });
    };
    let text = "UPDATE events SET at = greatest(at + $3, 0) WHERE id BETWEEN $1 AND $2";
    let moved = transaction.execute(text, &[&first, &until, &by_ms]).await?;
    if until < last {
        let text = "UPDATE shifts SET first = $2 WHERE first = $1";
        transaction.execute(text, &[&first, &(until + 1)]).await?;
    } else {
        // The next correction might begin right after this one.
        transaction.execute("DELETE FROM shifts WHERE first = $1", &[&first]).await?;
    }
    Ok(ShiftProgress { moved, is_done: false })
}
