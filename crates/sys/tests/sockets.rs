//! Tests with real sockets.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use framecast_sys::{TcpInfo, unacknowledged_bytes, unsent_bytes};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

#[test]
fn what_a_reader_leaves_lying_is_known_to_the_sender() {
    let (mut server, mut client) = pair();
    server.set_nonblocking(true).unwrap();
    assert_eq!((unacknowledged_bytes(server.as_fd()), unsent_bytes(server.as_fd())), (Some(0), Some(0)));
    let mut written = 0;
    while let Ok(len) = server.write(&[7; 65_536]) {
        written += len;
    }
    let (on_its_way, unsent) =
        (unacknowledged_bytes(server.as_fd()).unwrap(), unsent_bytes(server.as_fd()).unwrap());
    assert!(unsent > 0 && unsent <= on_its_way && on_its_way <= written as u64, "{unsent} of {on_its_way}");
    let full = TcpInfo::query(server.as_fd()).unwrap();
    assert!(full.mss.unwrap() > 0 && full.cwnd.unwrap() > 0 && full.bytes_acked.is_some());
    assert!(u64::from(full.notsent_bytes.unwrap()) <= on_its_way && full.snd_wnd.is_some());

    drop(server);
    let mut read = Vec::new();
    client.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), written);
}

#[test]
fn other_sockets_say_what_they_can() {
    let (mut ours, _theirs) = UnixStream::pair().unwrap();
    ours.write_all(&[7; 1000]).unwrap();
    assert!(unacknowledged_bytes(ours.as_fd()).unwrap() >= 1000);
    assert_eq!((unsent_bytes(ours.as_fd()), TcpInfo::query(ours.as_fd())), (None, None));
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(TcpInfo::query(datagrams.as_fd()), None);
}
