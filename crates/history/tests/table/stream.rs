//! A stream of records as a stream of pieces: what comes when.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use framecast_history::table::{
    CHUNK_BYTES, Compression, FLUSH_AFTER, PlainPage, Table, TableFormat, TruncatedTable,
};
use framecast_testkit::{cut_short, pause};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{Note, writer};

type Rows = mpsc::UnboundedSender<io::Result<Note<'static>>>;

/// A table whose rows the test sends.
fn fed(format: TableFormat) -> (Rows, Table<impl Stream<Item = io::Result<Note<'static>>>, PlainPage>) {
    let (rows, mut receiver) = mpsc::unbounded_channel();
    let stream = stream::poll_fn(move |context| receiver.poll_recv(context));
    (rows, Table::new(stream, writer(format, Compression::None)))
}

async fn next(
    table: &mut (impl Stream<Item = Result<Bytes, TruncatedTable>> + Unpin),
) -> Option<Result<String, TruncatedTable>> {
    Some(table.next().await?.map(|piece| String::from_utf8(piece.to_vec()).unwrap()))
}

fn note(id: i64) -> io::Result<Note<'static>> {
    Ok(Note::new(id, "row"))
}

#[tokio::test(start_paused = true)]
async fn the_header_leaves_at_once_and_before_there_is_a_row() {
    for (format, header) in
        [(TableFormat::Html, "<tbody>"), (TableFormat::Csv, "id,text"), (TableFormat::Json, "[")]
    {
        let (_rows, mut table) = fed(format);
        let start = Instant::now();
        assert!(next(&mut table).await.unwrap().unwrap().contains(header));
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(cut_short(Duration::from_secs(60), table.next()).await.is_none(), "nothing follows");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_waits_a_tenth_of_a_second_at_most_and_those_that_come_meanwhile_leave_with_it() {
    let (rows, mut table) = fed(TableFormat::Ndjson);
    for round in 0..3 {
        let start = Instant::now();
        rows.send(note(round)).unwrap();
        let sender = rows.clone();
        let later = tokio::spawn(async move {
            pause(FLUSH_AFTER * 6 / 10).await;
            sender.send(note(100)).unwrap();
            pause(FLUSH_AFTER * 6 / 10).await;
        });
        let text = next(&mut table).await.unwrap().unwrap();
        assert!(start.elapsed() <= FLUSH_AFTER + Duration::from_millis(1), "{:?}", start.elapsed());
        assert_eq!(text.lines().count(), 2, "{text}");
        later.await.unwrap();
    }
    drop(rows);
    assert!(next(&mut table).await.is_none());
}

#[tokio::test]
async fn rows_that_are_there_leave_in_full_chunks() {
    let rows = stream::iter(0..30_000).map(|id| Ok::<_, Infallible>(Note::new(id, "row")));
    let mut table = Table::new(rows, writer(TableFormat::Csv, Compression::None));
    let mut sizes = Vec::new();
    while let Some(text) = next(&mut table).await {
        sizes.push(text.unwrap().len());
    }
    let between = &sizes[1..sizes.len() - 1];
    assert!(
        between.len() > 3 && between.iter().all(|size| (CHUNK_BYTES..CHUNK_BYTES + 100).contains(size)),
        "{sizes:?}"
    );
    assert!(next(&mut table).await.is_none());
}

#[tokio::test]
async fn rows_are_asked_for_when_the_table_is_and_others_get_their_turn_between_chunks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let rows = stream::iter(0..).map(move |id| {
        counter.fetch_add(1, Ordering::Relaxed);
        note(id)
    });
    let mut table = Box::pin(Table::new(rows, writer(TableFormat::Csv, Compression::None)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(table.as_mut().poll_next(&mut context).is_ready());
    assert_eq!(asked.load(Ordering::Relaxed), 0, "the header needs no row");
    for chunks in 1..5 {
        assert!(table.as_mut().poll_next(&mut context).is_pending());
        let Poll::Ready(Some(Ok(piece))) = table.as_mut().poll_next(&mut context) else { panic!("no chunk") };
        assert!(piece.len() < CHUNK_BYTES + 100);
        let rows = asked.load(Ordering::Relaxed);
        assert!(rows <= chunks * CHUNK_BYTES / 10, "{rows} rows asked for after {chunks} chunks");
    }
}

#[tokio::test]
async fn an_error_of_the_rows_breaks_the_table_off() {
    for format in TableFormat::ALL {
        let rows = [note(1), note(2), Err(io::Error::other("the disk is gone")), note(3)];
        let mut table = Table::new(stream::iter(rows), writer(format, Compression::None));
        let (mut text, mut failure) = (String::new(), None);
        while let Some(frame) = next(&mut table).await {
            match frame {
                Ok(part) => text.push_str(&part),
                Err(broken) => failure = Some(broken),
            }
        }
        let broken = failure.expect("the table breaks off");
        assert_eq!((broken.rows, broken.source.to_string()), (2, "the disk is gone".to_owned()));
        assert!(text.matches("row").count() >= 2, "{text}");
        assert_eq!(
            text.contains("breaks off here, after 2 rows: the disk is gone"),
            format == TableFormat::Html
        );
        assert!(!text.contains("</table>") && !text.contains("\n]"), "{text}");
        assert!(next(&mut table).await.is_none(), "{format:?}");
    }
}

#[tokio::test]
async fn dropping_the_table_or_its_end_drops_the_rows() {
    let (rows, mut table) = fed(TableFormat::Csv);
    next(&mut table).await.unwrap().unwrap();
    assert!(!rows.is_closed());
    drop(table);
    assert!(rows.is_closed());

    let (rows, mut table) = fed(TableFormat::Csv);
    rows.send(Err(io::Error::other("broken"))).unwrap();
    while next(&mut table).await.is_some() {}
    assert!(rows.is_closed(), "a table that has ended needs no rows");
}
