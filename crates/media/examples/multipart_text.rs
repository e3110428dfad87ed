//! Uses the multipart writer and parser with parts that are not pictures: a text that replaces itself.
//!
//! ```sh
//! cargo run -p framecast-media --example multipart_text
//! ```

use std::error::Error;
use std::io::Write;

use framecast_media::container::multipart::{Parser, ParserEvent, Writer, boundary_from_content_type};

fn main() -> Result<(), Box<dyn Error>> {
    // The server's side: the opening once, then a part each time the text changes.
    let writer = Writer::new("text")?;
    let content_type = writer.content_type();
    let mut stream = vec![writer.opening()];
    for text in ["three", "two", "one", "lift-off"] {
        let length = text.len().to_string();
        let headers = [("Content-Type", "text/plain"), ("Content-Length", &length)];
        stream.push(writer.part(&headers, text.as_bytes())?);
    }
    stream.push(writer.closing());

    // The client's side: parses the bytes in whatever pieces they arrive.
    let mut out = std::io::stdout().lock();
    let mut parser = Parser::new(boundary_from_content_type(&content_type).as_deref());
    for bytes in stream {
        parser.push(&bytes);
        while let Some(event) = parser.next_event()? {
            match event {
                ParserEvent::Part(part) => writeln!(out, "{}", String::from_utf8_lossy(&part.body))?,
                ParserEvent::End => writeln!(out, "the stream ended")?,
            }
        }
    }
    Ok(())
}
