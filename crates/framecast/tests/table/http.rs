//! Tables over hyper and real sockets.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use framecast::table::{Compression, Table, TableFormat, respond};
use framecast_testkit::pause;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::{COMPRESSIONS, Note, writer};

/// Serves one connection; the answer is a table of the rows that `rows` makes.
async fn serve<S>(format: TableFormat, compression: Compression, rows: S) -> SocketAddr
where
    S: Stream<Item = io::Result<Note>> + Send + 'static,
{
    let socket = TcpSocket::new_v4().unwrap();
    // Data must wait in the program, and not in the socket.
    socket.set_send_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let table = Mutex::new(Some(respond(Table::new(rows, writer(format, compression)))));
        let service = service_fn(move |_: Request<Incoming>| {
            let answer = table.lock().unwrap().take().unwrap();
            async move { Ok::<_, io::Error>(answer) }
        });
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(TokioIo::new(socket), service).await.ok();
    });
    address
}

/// What a client reads, and the error at the end.
async fn read(address: SocketAddr) -> (Vec<u8>, Option<hyper::Error>) {
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut body = sender.send_request(Request::new(Empty::<Bytes>::new())).await.unwrap().into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

fn many(rows: i64) -> impl Stream<Item = io::Result<Note>> + Send {
    stream::iter(0..rows).map(|id| Ok(Note { id, text: "some text" }))
}

#[tokio::test]
async fn a_table_arrives_whole() {
    for compression in COMPRESSIONS {
        let (bytes, error) = read(serve(TableFormat::Csv, compression, many(20_000)).await).await;
        assert!(error.is_none(), "{error:?}");
        let text = match compression {
            Compression::None => bytes,
            Compression::Gzip => {
                let mut text = Vec::new();
                io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut text).unwrap();
                text
            }
            Compression::Zstd => zstd::decode_all(&*bytes).unwrap(),
        };
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with(",some text,0.5,true")).count(), 20_000);
        assert_eq!(text.lines().count(), 20_001, "and the header");
    }
}

#[tokio::test]
async fn a_table_that_breaks_off_is_an_incomplete_body_with_all_rows_so_far() {
    for format in TableFormat::ALL {
        let rows = many(20_000).chain(stream::iter([Err(io::Error::other("the disk is gone"))]));
        let (bytes, error) = read(serve(format, Compression::None, rows).await).await;
        let error = error.expect("the body has no end");
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof), "{error:?}");
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("some text").count(), 20_000, "{format:?}");
        assert_eq!(text.contains("after 20000 rows: the disk is gone"), format == TableFormat::Html);
    }
}

#[tokio::test]
async fn who_reads_slowly_is_told_that_a_table_broke_off() {
    let rows = many(2_000).chain(stream::iter([Err(io::Error::other("the disk is gone"))]));
    let address = serve(TableFormat::Html, Compression::None, rows).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let len = socket.read(&mut piece).await.unwrap();
        if len == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..len]);
        pause(Duration::from_millis(1)).await;
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("after 2000 rows: the disk is gone"), "{}", &answer[answer.len() - 300..]);
    assert!(!answer.ends_with("0\r\n\r\n"), "it has no end");
}

#[tokio::test]
async fn a_table_that_breaks_off_closes_the_connection_without_the_last_chunk() {
    let rows =
        stream::iter([Ok(Note { id: 1, text: "some text" }), Err(io::Error::other("the disk is gone"))]);
    let mut socket =
        TcpStream::connect(serve(TableFormat::Csv, Compression::None, rows).await).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(answer.ends_with("1,some text,0.5,true\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_drops_the_rows() {
    // Endless rows, and none at all: a server that writes notices a closed connection in another way than one that
    // waits.
    for is_endless in [true, false] {
        let (dropped, is_dropped) = oneshot::channel::<()>();
        let rows = stream::poll_fn(move |_| {
            assert!(!dropped.is_closed());
            if is_endless {
                std::task::Poll::Ready(Some(Ok(Note { id: 1, text: "row" })))
            } else {
                std::task::Poll::Pending
            }
        });
        let mut socket =
            TcpStream::connect(serve(TableFormat::Csv, Compression::None, rows).await).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        socket.read_exact(&mut [0; 100]).await.unwrap();
        drop(socket);
        is_dropped.await.expect_err("the stream is dropped");
    }
}

#[test]
fn the_answer_says_what_it_is() {
    let table = |format, compression| respond(Table::new(many(1), writer(format, compression)));
    let response = table(TableFormat::Csv, Compression::None);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("vary"), Some("accept, accept-encoding"));
    assert_eq!(header("cache-control"), Some("no-store"));
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    let response = table(TableFormat::Html, Compression::Zstd);
    assert_eq!(response.headers()["content-encoding"], "zstd");
}
