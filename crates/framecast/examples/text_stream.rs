//! A multipart stream whose parts are text: a server that writes the stream in an axum route, and a client that parses
//! it.
//!
//! ```sh
//! cargo run -p framecast --example text_stream [ADDRESS:PORT]         # serves the stream to browsers
//! cargo run -p framecast --example text_stream read ADDRESS:PORT      # prints each text as it comes
//! ```
#![expect(clippy::print_stdout, reason = "says where to look, and what was read")]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use framecast::Bytes;
use framecast::multipart::{Parser, ParserEvent, Writer, boundary_from_content_type};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Responds with a countdown from ten: five texts per second, each as one part of a multipart stream. The browser
/// replaces each text by the next one.
async fn countdown() -> impl IntoResponse {
    let writer = Writer::new("text").expect("four letters are a boundary");
    let (content_type, opening, closing) = (writer.content_type(), writer.opening(), writer.closing());
    let parts = stream::iter((0..=10).rev()).then(move |number: u32| {
        let writer = writer.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            part(&writer, &if number == 0 { "lift-off".to_owned() } else { number.to_string() })
        }
    });
    let body = stream::once(async { opening }).chain(parts).chain(stream::once(async { closing }));
    ([(CONTENT_TYPE, content_type)], Body::from_stream(body.map(Ok::<_, Infallible>)))
}

fn part(writer: &Writer, text: &str) -> Bytes {
    let length = text.len().to_string();
    let headers = [("Content-Type", "text/plain"), ("Content-Length", &length)];
    writer.part(&headers, text.as_bytes()).expect("headers of letters and digits are well formed")
}

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    println!("open http://{}/", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/", get(countdown))).await?;
    Ok(())
}

async fn read(address: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    // With HTTP/1.0 the server sends the body without chunks.
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut boundary = None;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        if let Some((name, value)) =
            line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case("content-type"))
        {
            boundary = boundary_from_content_type(value.trim());
            println!("{name}: {}", value.trim());
        }
        line.clear();
    }
    let mut parser = Parser::new(boundary.as_deref());
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            len => parser.push(&bytes[..len]),
        }
        while let Some(event) = parser.next_event()? {
            match event {
                ParserEvent::Part(part) => println!("{}", String::from_utf8_lossy(&part.body)),
                ParserEvent::End => return Ok(()),
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["read", address] => read(address).await,
        [address] => serve(address).await,
        _ => serve("127.0.0.1:5000").await,
    }
}
