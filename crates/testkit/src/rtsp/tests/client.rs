//! A client that sends one request after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use digest_auth::{AuthContext, HttpMethod};

use crate::rtsp::FakeCamera;

/// One RTP packet as received.
pub(super) struct Packet {
    pub(super) has_marker: bool,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) struct RawClient {
    tcp: BufReader<TcpStream>,
    url: String,
    number: u32,
    session: Option<String>,
}

impl RawClient {
    pub(super) fn connect(camera: &FakeCamera) -> Self {
        let url = camera.url();
        let address = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { tcp: BufReader::new(tcp), url, number: 0, session: None }
    }

    /// A client that has begun to play the pictures over TCP.
    pub(super) fn playing(camera: &FakeCamera) -> Self {
        let mut client = Self::connect(camera);
        let answer = client.set_up("/track0");
        assert!(answer.starts_with("RTSP/1.0 200 "), "{answer}");
        let answer = client.request("PLAY", "", &[]);
        assert!(answer.starts_with("RTSP/1.0 200 "), "{answer}");
        client
    }

    pub(super) fn set_up(&mut self, track: &str) -> String {
        self.request("SETUP", track, &[("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")])
    }

    /// Asks for the pictures over UDP, to these two sockets.
    pub(super) fn set_up_udp(&mut self) -> (UdpSocket, UdpSocket) {
        let [rtp, rtcp] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in [&rtp, &rtcp] {
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        }
        let ports = [&rtp, &rtcp].map(|socket| socket.local_addr().unwrap().port());
        let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports[0], ports[1]);
        let answer = self.request("SETUP", "/track0", &[("Transport", &transport)]);
        assert!(header(&answer, "Transport").unwrap().contains(&transport), "{answer}");
        (rtp, rtcp)
    }

    /// Sends a request for `path` of the camera, and returns the answer. Packets before it are dropped.
    pub(super) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        self.number += 1;
        let mut text = format!("{method} {}{path} RTSP/1.0\r\nCSeq: {}\r\n", self.url, self.number);
        let session = self.session.as_deref().map(|id| ("Session", id));
        for (name, value) in headers.iter().copied().chain(session) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        self.tcp.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
        let answer = self.answer();
        let session = header(&answer, "Session").and_then(|id| id.split(';').next().map(str::to_owned));
        self.session = session.or(self.session.take());
        answer
    }

    fn answer(&mut self) -> String {
        while self.tcp.fill_buf().unwrap().first() == Some(&b'$') {
            self.packet();
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.tcp.read_line(&mut head).unwrap() > 0, "the connection ends: {head}");
        }
        let len = header(&head, "Content-Length").map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.tcp.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// The next packet in the connection, with its channel.
    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 4];
        self.tcp.read_exact(&mut head).unwrap();
        assert_eq!(head[0], b'$');
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.tcp.read_exact(&mut packet).unwrap();
        (head[1], packet)
    }

    /// The next RTP packet.
    pub(super) fn rtp(&mut self) -> Packet {
        loop {
            let (channel, packet) = self.packet();
            if channel == 0 {
                let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
                return Packet {
                    has_marker: packet[1] & 0x80 != 0,
                    timestamp,
                    payload: packet[12..].to_vec(),
                };
            }
        }
    }

    /// The next `count` RTP packets that have the marker bit.
    pub(super) fn packets_with_marker(&mut self, count: usize) -> Vec<Packet> {
        std::iter::repeat_with(|| self.rtp()).filter(|packet| packet.has_marker).take(count).collect()
    }

    /// Drops what comes until the camera ends the connection.
    pub(super) fn read_to_end(&mut self) -> io::Result<()> {
        io::copy(&mut self.tcp, &mut io::sink()).map(drop)
    }

    /// The header `Authorization` for the challenge in `answer`.
    pub(super) fn digest(&self, answer: &str, login: &str, method: &str) -> String {
        let (user, password) = login.split_once(':').unwrap();
        let mut challenge = digest_auth::parse(header(answer, "WWW-Authenticate").unwrap()).unwrap();
        let method = HttpMethod(method.into());
        let context = AuthContext::new_with_method(user, password, &*self.url, None::<&[u8]>, method);
        challenge.respond(&context).unwrap().to_string()
    }
}

/// The value of a header of `answer`.
pub(super) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
