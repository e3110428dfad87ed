//! Streams a table of a million rows from a database without holding the table in memory. The header, each row and the
//! footer are sent as soon as they are rendered. Further rows are read from the database only when the client has
//! received the previous rows.
//!
//! ```sh
//! cargo run --release -p framecast --example stock_table [ADDRESS:PORT [FILE]]
//! curl http://127.0.0.1:5001/stock-table | wc -l
//! curl --compressed -O http://127.0.0.1:5001/stock-table.csv       # or .ndjson, .json
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "says where to look, and how far it is")]

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::ready;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use framecast::table::{
    CellWriter, Chunk, HtmlPage, Record, Table, TableEnd, TableFormat, Writer, choose_compression,
    choose_format, respond,
};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use rusqlite::{Connection, OpenFlags, Row, params};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type BoxError = Box<dyn Error + Send + Sync>;

/// The number of stocks. With one row per stock and day ([`DAYS`]), the table has a million rows.
const STOCKS: usize = 100;
const DAYS: usize = 10_000;

/// The number of rows that one query reads. The rows of at most two queries wait in memory for a client.
const PAGE_ROWS: i64 = 200;

/// The size of SQLite's page cache for each client, in KiB. It is less than the default of 2 MiB, because a client
/// reads each row once, in order.
const CACHE_KIB: i64 = 128;

/// One row of the table: the prices of one stock on one day.
struct Stock {
    id: i64,
    day: String,
    symbol: String,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: i64,
}

impl Stock {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            day: row.get(1)?,
            symbol: row.get(2)?,
            open: row.get(3)?,
            high: row.get(4)?,
            low: row.get(5)?,
            close: row.get(6)?,
            volume: row.get(7)?,
        })
    }
}

impl Record for Stock {
    const COLUMNS: &'static [&'static str] =
        &["id", "day", "symbol", "open", "high", "low", "close", "volume"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(self.id);
        cells.text(&self.day);
        cells.text(&self.symbol);
        cells.float(self.open);
        cells.float(self.high);
        cells.float(self.low);
        cells.float(self.close);
        cells.integer(self.volume);
    }
}

/// The HTML page of the table, rendered from three templates.
struct StockPage;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Stocks</title>
<style>td { padding-right: 1em; text-align: end } td:nth-child(-n+3) { text-align: start }</style>
<h1>Stocks</h1>
<table>
<thead><tr>{% for column in columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
"#
)]
struct Header {
    columns: &'static [&'static str],
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<tr><td>{{ stock.id }}</td><td>{{ stock.day }}</td><td>{{ stock.symbol }}</td>
{%- for price in prices %}<td>{{ price|fmt("{:.2}") }}</td>{% endfor -%}
<td>{{ stock.volume }}</td></tr>
"#
)]
struct StockRow<'a> {
    stock: &'a Stock,
    prices: [f64; 4],
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% match end %}
{%- when TableEnd::Whole with { rows } -%}
</tbody>
</table>
<p>{{ rows }} rows
{%- when TableEnd::BrokenOff with { rows, reason } -%}
<tr><td colspan="8">The table breaks off here, after {{ rows }} rows: {{ reason }}</td></tr>
{%- endmatch %}
"#
)]
struct Footer<'a> {
    end: &'a TableEnd<'a>,
}

impl HtmlPage<Stock> for StockPage {
    fn header(&mut self, out: &mut Chunk) -> fmt::Result {
        Ok(Header { columns: Stock::COLUMNS }.render_into(out)?)
    }

    fn row(&mut self, stock: &Stock, out: &mut Chunk) -> fmt::Result {
        let prices = [stock.open, stock.high, stock.low, stock.close];
        Ok(StockRow { stock, prices }.render_into(out)?)
    }

    fn footer(&mut self, end: &TableEnd<'_>, out: &mut Chunk) -> fmt::Result {
        Ok(Footer { end }.render_into(out)?)
    }
}

/// Returns a stream of all rows. A thread reads the rows page by page. The thread starts when the stream is first
/// polled, waits while the stream is not polled, and ends when the stream is dropped.
fn stocks(file: Arc<PathBuf>) -> impl Stream<Item = Result<Stock, BoxError>> + Send {
    let begin = async move {
        let (sender, mut receiver) = mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || read(&file, &sender));
        let pages = stream::poll_fn(move |context| receiver.poll_recv(context));
        // Checks how the reader ended. Otherwise, a table that the reader broke off would look complete.
        let end = stream::once(reader).filter_map(|ended| {
            ready(match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Err(BoxError::from(error))),
                Err(panic) => Some(Err(panic.into())),
            })
        });
        pages.map(Ok).chain(end).map_ok(|page: Vec<Stock>| stream::iter(page).map(Ok)).try_flatten()
    };
    begin.flatten_stream()
}

/// Reads all rows, a page of [`PAGE_ROWS`] rows at a time, and sends each page to `pages`. Each page is a separate
/// query, which continues after the last key of the previous page. No query stays open while the client receives rows,
/// so a slow client holds no lock.
fn read(file: &Path, pages: &mpsc::Sender<Vec<Stock>>) -> rusqlite::Result<()> {
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let mut query = database.prepare("SELECT * FROM stock WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut last = 0;
    loop {
        let page: Vec<Stock> =
            query.query_map(params![last, PAGE_ROWS], Stock::read)?.collect::<Result<_, _>>()?;
        match page.last() {
            Some(stock) => last = stock.id,
            None => return Ok(()),
        }
        if pages.blocking_send(page).is_err() {
            return Ok(());
        }
    }
}

/// Creates and fills the table of stocks in one transaction, unless the table already exists.
fn fill(file: &Path) -> Result<(), BoxError> {
    let mut database = Connection::open(file)?;
    if database.table_exists(None, "stock")? {
        return Ok(());
    }
    let transaction = database.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE stock (id INTEGER PRIMARY KEY, day TEXT NOT NULL, symbol TEXT NOT NULL, open REAL NOT NULL,
            high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume INTEGER NOT NULL) STRICT",
    )?;
    let mut insert = transaction.prepare("INSERT INTO stock VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut stocks: Vec<(String, f64)> = (0..STOCKS)
        .map(|_| ((0..4).map(|_| random.uppercase()).collect(), cents(random.f64() * 200.0 + 10.0)))
        .collect();
    let mut day = jiff::civil::date(2000, 1, 1);
    for done in 1..=DAYS {
        let text = day.to_string();
        for (symbol, price) in &mut stocks {
            let open = *price;
            let close = cents((open * (0.98 + random.f64() * 0.0402)).max(1.0));
            let (high, low) = (cents(open.max(close) * 1.01), cents(open.min(close) * 0.99));
            let volume = random.i64(100..1_000_000);
            insert.execute(params![text, *symbol, open, high, low, close, volume])?;
            *price = close;
        }
        day = day.tomorrow()?;
        if done % (DAYS / 100) == 0 {
            progress(done * 100 / DAYS)?;
        }
    }
    drop(insert);
    transaction.commit()?;
    eprintln!();
    Ok(())
}

fn cents(price: f64) -> f64 {
    (price * 100.0).round() / 100.0
}

fn progress(percent: usize) -> std::io::Result<()> {
    let done = percent / 2;
    eprint!("\rfilling the database [{}{}] {percent:3} %", "#".repeat(done), ".".repeat(50 - done));
    stderr().flush()
}

type Parameters = Query<HashMap<String, String>>;

fn answer(
    file: Arc<PathBuf>,
    extension: Option<TableFormat>,
    query: &Parameters,
    headers: &HeaderMap,
) -> Response {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let parameter = query.get("format").map(String::as_str);
    let extension = extension.map(TableFormat::extension);
    let format = match choose_format(extension, parameter, text(header::ACCEPT)) {
        Ok(format) => format,
        Err(unknown) => return (StatusCode::NOT_ACCEPTABLE, format!("{unknown}\n")).into_response(),
    };
    let compression = choose_compression(text(header::ACCEPT_ENCODING));
    respond(Table::new(stocks(file), Writer::new(format, compression, StockPage)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:5001".to_owned());
    let file =
        arguments.next().map_or_else(|| std::env::temp_dir().join("stock_table.sqlite"), PathBuf::from);
    fill(&file)?;

    let table = |extension| {
        get(async move |State(file): State<Arc<PathBuf>>, query: Parameters, headers: HeaderMap| {
            answer(file, extension, &query, &headers)
        })
    };
    let mut router = Router::new()
        .route("/", get(async || Redirect::to("/stock-table")))
        .route("/stock-table", table(None));
    for format in TableFormat::ALL {
        router = router.route(&format!("/stock-table.{}", format.extension()), table(Some(format)));
    }
    let listener = TcpListener::bind(address).await?;
    println!("open http://{}/stock-table", listener.local_addr()?);
    axum::serve(listener, router.with_state(Arc::new(file))).await?;
    Ok(())
}
