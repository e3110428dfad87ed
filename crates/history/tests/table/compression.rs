//! Compressed tables can be decoded as they arrive.

use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::write::GzDecoder as GzWriter;
use framecast_history::table::{CHUNK_BYTES, Compression, TableFormat};

use crate::{COMPRESSIONS, Note, render, writer};

/// Decodes its input at once, as far as that goes.
enum Decoder {
    Identity(Vec<u8>),
    Gzip(Box<GzWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Decoder {
    fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Identity(Vec::new()),
            Compression::Gzip => Self::Gzip(Box::new(GzWriter::new(Vec::new()))),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap()),
        }
    }

    /// The text of `bytes` and everything before.
    fn push(&mut self, bytes: &[u8]) -> &str {
        let text = match self {
            Self::Identity(text) => {
                text.extend_from_slice(bytes);
                text
            }
            Self::Gzip(decoder) => {
                decoder.write_all(bytes).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes).unwrap();
                decoder.flush().unwrap();
                decoder.get_ref()
            }
        };
        std::str::from_utf8(text).unwrap()
    }
}

/// All of `bytes` decoded, or the error of a decoder that expects the end of the stream.
fn decode(compression: Compression, bytes: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    match compression {
        Compression::None => text.push_str(std::str::from_utf8(bytes).unwrap()),
        Compression::Gzip => _ = GzDecoder::new(bytes).read_to_string(&mut text)?,
        Compression::Zstd => _ = zstd::stream::read::Decoder::new(bytes)?.read_to_string(&mut text)?,
    }
    Ok(text)
}

#[test]
fn each_chunk_can_be_decoded_when_it_comes() {
    for compression in COMPRESSIONS {
        for format in TableFormat::ALL {
            let mut writer = writer(format, compression);
            let mut decoder = Decoder::new(compression);
            writer.begin::<Note<'_>>();
            decoder.push(&writer.take());
            for id in 0..50 {
                let text = format!("text of row {id}");
                writer.row(&Note::new(id, &text));
                assert!(decoder.push(&writer.take()).contains(&text), "{compression:?} {format:?} {id}");
            }
            assert_eq!(writer.rows(), 50);
            decoder.push(&writer.end::<Note<'_>>());
        }
    }
}

#[test]
fn all_chunks_together_are_the_table_whatever_the_coding() {
    let mut random = fastrand::Rng::with_seed(7);
    let texts: Vec<String> =
        (0..5_000).map(|_| (0..random.usize(..60)).map(|_| random.char(..)).collect()).collect();
    let notes: Vec<Note<'_>> = (0..).zip(&texts).map(|(id, text)| Note::new(id, text)).collect();
    for format in TableFormat::ALL {
        let whole = render(format, &notes);
        for compression in COMPRESSIONS {
            let mut writer = writer(format, compression);
            let mut bytes = Vec::new();
            let mut chunks = 0;
            for note in &notes {
                writer.row(note);
                if writer.is_full() {
                    bytes.extend_from_slice(&writer.take());
                    assert!(writer.is_empty());
                    chunks += 1;
                }
            }
            bytes.extend_from_slice(&writer.end::<Note<'_>>());
            assert_eq!(chunks, whole.len() / CHUNK_BYTES, "{format:?}");
            assert_eq!(decode(compression, &bytes).unwrap(), whole, "{format:?} {compression:?}");
        }
    }
}

#[test]
fn an_empty_table_is_whole_in_every_coding() {
    for format in TableFormat::ALL {
        for compression in COMPRESSIONS {
            let bytes = writer(format, compression).end::<Note<'_>>();
            assert_eq!(
                decode(compression, &bytes).unwrap(),
                render::<Note<'_>>(format, &[]),
                "{format:?} {compression:?}"
            );
        }
    }
    assert_eq!(render::<Note<'_>>(TableFormat::Json, &[]), "[\n]\n");
}

#[test]
fn a_table_that_breaks_off_has_its_rows_and_no_end() {
    for compression in COMPRESSIONS {
        for format in TableFormat::ALL {
            let mut writer = writer(format, compression);
            let mut decoder = Decoder::new(compression);
            writer.row(&Note::new(1, "the only row"));
            let mut bytes = writer.take().to_vec();
            bytes.extend_from_slice(&writer.break_off::<Note<'_>>("no <disk>"));
            let text = decoder.push(&bytes);
            assert!(text.contains("the only row"));
            assert_eq!(
                text.contains("breaks off here, after 1 row: no &#60;disk&#62;"),
                format == TableFormat::Html
            );
            assert!(!text.contains("</table>") && !text.contains("\n]"));
            assert!(
                compression == Compression::None || decode(compression, &bytes).is_err(),
                "{compression:?} has an end"
            );
            // Later rows are ignored.
            writer.row(&Note::new(2, "late"));
            assert!(writer.end::<Note<'_>>().is_empty() && writer.break_off::<Note<'_>>("again").is_empty());
        }
    }
}
