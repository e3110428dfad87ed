//! Any text survives unchanged.

use framecast_history::table::{CellWriter, Compression, Record, TableFormat};
use framecast_media::{escape_hidden_multiline, is_hidden};
use serde_json::{Value, json};

use crate::{Note, html_cells, render, writer};

const NASTY: [&str; 20] = [
    "",
    " ",
    "plain",
    "\"",
    "\"\"quoted\"\"",
    "a,b;c\td",
    "two\nlines",
    "two\r\nlines\r",
    "</td></tr></table><script>alert('x')</script>",
    "&amp; &#60; &",
    "NUL \0 in the middle",
    "\0",
    "\u{1}\u{8}\u{b}\u{1b}[31m\u{7f}\u{85}",
    "\u{2028}\u{2029}\u{feff}",
    "grüße, 日本語, \u{1f4f7}\u{200d}\u{1f469}",
    "\\ \\n \\u0000 /",
    "'single'",
    "null",
    "{\"a\":[1]}",
    "-",
];

const FORMULAS: [&str; 17] = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "=HYPERLINK(\"http://x\",\"y\")",
    "\n=1",
    " =1",
    "  \t@SUM(A1)",
    "\u{a0}+1",
    "\u{3000}-1",
    "\u{200b}\u{feff}=1",
    "＝1+1",
    " ＋1",
    "\u{202e}＠SUM(A1)",
];

/// What a reader of CSV gets for `text`.
fn in_csv(text: &str) -> String {
    let is_unseen =
        |c: char| c.is_whitespace() || is_hidden(c) || "\u{200b}\u{200c}\u{200d}\u{2060}\u{ad}".contains(c);
    let seen = text.trim_start_matches(is_unseen);
    let is_formula = seen.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if is_formula || text.starts_with(['\t', '\r', '\n']) { format!("'{text}") } else { text.to_owned() }
}

fn assert_comes_out_as_it_is(texts: &[&str]) {
    let notes: Vec<Note<'_>> = (0..).zip(texts).map(|(id, text)| Note::new(id, text)).collect();

    let csv = render(TableFormat::Csv, &notes);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap(), Note::COLUMNS);
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), notes.len(), "{csv:?}");
    for (row, note) in rows.iter().zip(&notes) {
        assert_eq!(row, [&note.id.to_string(), &in_csv(note.text), "0.5", "true"].as_slice());
    }

    let expected: Vec<Value> = notes
        .iter()
        .map(|note| json!({"id": note.id, "text": note.text, "value": note.value, "new": note.is_new}))
        .collect();
    let json = render(TableFormat::Json, &notes);
    assert!(!json.contains(|c: char| c >= ' ' && is_hidden(c)), "{json:?}");
    let array: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(array, expected);
    let ndjson = render(TableFormat::Ndjson, &notes);
    let lines: Vec<Value> =
        ndjson.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, expected);

    let html = render(TableFormat::Html, &notes);
    let cells = html_cells(&html);
    assert_eq!(cells.len(), 4 * notes.len());
    for (cells, note) in cells.chunks(4).zip(&notes) {
        assert_eq!(
            cells,
            [
                note.id.to_string(),
                escape_hidden_multiline(note.text).into_owned(),
                "0.5".into(),
                "true".into()
            ]
        );
    }
}

#[test]
fn nasty_texts_come_out_as_they_are() {
    assert_comes_out_as_it_is(&NASTY);
    assert_comes_out_as_it_is(&FORMULAS);
    assert_comes_out_as_it_is(&[]);
}

#[test]
fn random_texts_come_out_as_they_are() {
    let alphabet: Vec<char> = "\0\t\n\r\"',;=+-@<>&\\ azé日\u{1f4f7}\u{2028}\u{fffd}".chars().collect();
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut text =
            || -> String {
                let len = random.usize(..40);
                (0..len)
                    .map(|_| {
                        if random.u8(..8) == 0 { random.char(..) } else { *random.choice(&alphabet).unwrap() }
                    })
                    .collect()
            };
        let texts: Vec<String> = (0..20).map(|_| text()).collect();
        assert_comes_out_as_it_is(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn formulas_are_defused_and_numbers_are_not_touched() {
    let notes: Vec<Note<'_>> =
        FORMULAS.iter().map(|text| Note { id: -7, text, value: -0.25, is_new: false }).collect();
    let csv = render(TableFormat::Csv, &notes);
    for row in csv::Reader::from_reader(csv.as_bytes()).records() {
        let row = row.unwrap();
        assert!(row[1].starts_with('\''), "{row:?}");
        assert_eq!((&row[0], &row[2]), ("-7", "-0.25"));
    }
}

/// A record whose column names need escapes, and whose cells are all numbers.
struct Numbers(i64, f64);

impl Record for Numbers {
    const COLUMNS: &'static [&'static str] = &["=whole", "<re\"al>"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(self.0);
        cells.float(self.1);
    }
}

#[test]
fn numbers_read_back_as_they_were() {
    let reals = [0.0, -0.0, 1.0, 0.1, 1e21, -1.5e-300, f64::MAX, f64::MIN_POSITIVE];
    let numbers: Vec<Numbers> = reals.iter().map(|real| Numbers(i64::MIN, *real)).collect();
    let csv = render(TableFormat::Csv, &numbers);
    for (row, real) in csv::Reader::from_reader(csv.as_bytes()).records().zip(reals) {
        let row = row.unwrap();
        assert_eq!((row[0].parse(), row[1].parse()), (Ok(i64::MIN), Ok(real)));
    }
    let ndjson = render(TableFormat::Ndjson, &numbers);
    for (line, real) in ndjson.lines().zip(reals) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["=whole"].as_i64(), Some(i64::MIN));
        // Parsed by the standard library: serde_json reads the last digit of some numbers differently.
        let text = line.trim_end_matches('}').rsplit(':').next().unwrap();
        assert!(row["<re\"al>"].is_f64() && text.parse() == Ok(real), "{line}");
    }
}

#[test]
fn what_is_no_number_is_an_empty_cell() {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|real| Numbers(1, real));
    assert_eq!(render(TableFormat::Csv, &numbers), "'=whole,\"<re\"\"al>\"\r\n1,\r\n1,\r\n1,\r\n");
    assert_eq!(render(TableFormat::Ndjson, &numbers), "{\"=whole\":1,\"<re\\\"al>\":null}\n".repeat(3));
    assert_eq!(html_cells(&render(TableFormat::Html, &numbers)), ["1", ""].repeat(3));
}

/// Writes fewer or more cells than it has columns.
struct Careless(usize);

impl Record for Careless {
    const COLUMNS: &'static [&'static str] = &["a", "b"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        for _ in 0..self.0 {
            cells.text("x");
        }
    }
}

#[test]
fn rows_have_as_many_cells_as_there_are_columns_whatever_they_tell() {
    let careless = [Careless(0), Careless(1), Careless(5)];
    assert_eq!(render(TableFormat::Csv, &careless), "a,b\r\n,\r\nx,\r\nx,x\r\n");
    let rows = "{\"a\":null,\"b\":null}\n{\"a\":\"x\",\"b\":null}\n{\"a\":\"x\",\"b\":\"x\"}\n";
    assert_eq!(render(TableFormat::Ndjson, &careless), rows);
    assert_eq!(html_cells(&render(TableFormat::Html, &careless)), ["", "", "x", "", "x", "x"]);
}

#[test]
fn a_byte_order_mark_stands_before_csv_alone_and_only_where_it_is_asked_for() {
    for (format, begin) in [
        (TableFormat::Csv, "\u{feff}word\r\nä\r\n"),
        (TableFormat::Ndjson, "{\"word\":\"ä\"}"),
        (TableFormat::Json, "["),
        (TableFormat::Html, "<!doctype html>"),
    ] {
        let mut writer = writer(format, Compression::None).with_byte_order_mark();
        writer.row(&Word("ä"));
        let text = String::from_utf8(writer.end::<Word<'_>>().to_vec()).unwrap();
        assert!(text.starts_with(begin), "{text}");
    }
    assert_eq!(render(TableFormat::Csv, &[Word("ä")]), "word\r\nä\r\n");
}

struct Word<'a>(&'a str);

impl Record for Word<'_> {
    const COLUMNS: &'static [&'static str] = &["word"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.text(self.0);
    }
}

#[test]
fn a_row_of_one_empty_cell_is_not_lost() {
    let csv = render(TableFormat::Csv, &[Word("a"), Word(""), Word("b")]);
    let rows = csv::Reader::from_reader(csv.as_bytes()).into_records().map(|row| row.unwrap()[0].to_owned());
    assert_eq!(rows.collect::<Vec<_>>(), ["a", "", "b"]);
}

struct Nothing;

impl Record for Nothing {
    const COLUMNS: &'static [&'static str] = &[];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        cells.integer(1);
    }
}

#[test]
fn a_table_without_columns_is_still_well_formed() {
    let rows: Vec<Value> = serde_json::from_str(&render(TableFormat::Json, &[Nothing, Nothing])).unwrap();
    assert_eq!(rows, [json!({}), json!({})]);
    assert_eq!(render(TableFormat::Ndjson, &[Nothing]), "{}\n");
    assert!(render(TableFormat::Html, &[Nothing]).contains("<tr></tr>"));
}
