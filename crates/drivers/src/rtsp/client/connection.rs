//! A connection to an RTSP server: sends requests, with the camera's login if the server asks for it, and receives what
//! the server sends.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http1::Head;
use crate::login::{Login, RequestLine};
use crate::rtsp_message::{Message, MessageError, MessageReader, RtspResponse};

/// The room for one read.
const READ_BYTES: usize = 64 * 1024;

/// The maximum number of bytes in packets that arrive before the response to a request. Some cameras send pictures
/// before they answer PLAY.
const MAX_EARLY_BYTES: usize = 4 * 1024 * 1024;

/// What a kept packet costs beside its data, so that packets without data are limited too.
const PACKET_OVERHEAD_BYTES: usize = 64;

/// The maximum number of login challenges to which the client responds during one request: the first one, and a second
/// one if the nonce has expired by then.
const MAX_LOGIN_ATTEMPTS: usize = 2;

const USER_AGENT: &str = concat!("Framecast/", env!("CARGO_PKG_VERSION"));

/// The reason why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::rtsp) enum ClientError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the camera closed the connection")]
    Closed,
    /// What the server sends cannot be read.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// The server has not answered within this time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The server refused a request.
    #[error("{method} was answered with {code}")]
    Refused { method: &'static str, code: u16 },
    /// The server refused the login.
    #[error("{method} was answered with 401 although the login was sent")]
    LoginRefused { method: &'static str },
    /// The server refers the client to another address.
    #[error("{method} was answered with {code}, which names another address")]
    Moved { method: &'static str, code: u16 },
    /// The server answered SETUP with a transport other than the one that was requested.
    #[error("the camera chose another transport")]
    OtherTransport,
    /// The packets before the response to a request were too many.
    #[error("the camera sends pictures in place of its answer")]
    NoAnswer,
}

/// What the server sent while no response was awaited.
pub(super) enum Received {
    /// A packet of media, with its channel.
    Packet(u8, Bytes),
    /// A challenge: the last request must be sent again with a login.
    Challenge,
}

/// An open connection. Dropping it closes the connection.
pub(super) struct RtspConnection {
    tcp: TcpStream,
    /// The time limit for connecting and for each response.
    limit: Duration,
    reader: MessageReader,
    /// Packets that arrived while the client waited for a response.
    early: VecDeque<(u8, Bytes)>,
    early_bytes: usize,
    login: Option<Login>,
    cseq: u32,
}

impl RtspConnection {
    /// Connects to `host`. Sends `login` if the server asks for it. `limit` is the time limit for connecting and for
    /// each response. Cancel safe.
    pub(super) async fn open(
        host: &str,
        port: u16,
        login: Option<Login>,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let connecting = timeout(limit, TcpStream::connect((host, port)));
        let tcp = connecting.await.map_err(|_| ClientError::TimedOut(limit))??;
        tcp.set_nodelay(true)?;
        let (reader, early) = (MessageReader::default(), VecDeque::new());
        Ok(Self { tcp, limit, reader, early, early_bytes: 0, login, cseq: 0 })
    }

    /// Returns the address of the server, and that of this machine on the way to it.
    pub(super) fn addresses(&self) -> io::Result<(IpAddr, IpAddr)> {
        Ok((self.tcp.peer_addr()?.ip(), self.tcp.local_addr()?.ip()))
    }

    /// Sends a request and returns its response, if that says success. Packets that arrive before the response are
    /// kept; [`receive`](Self::receive) returns them.
    pub(super) async fn request(
        &mut self,
        method: &'static str,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<RtspResponse, ClientError> {
        let mut challenges = 0;
        loop {
            let limit = self.limit;
            let answering = async {
                let cseq = self.send(method, url, headers).await?;
                self.response(cseq).await
            };
            let response = timeout(limit, answering).await.map_err(|_| ClientError::TimedOut(limit))??;
            match response.head.status() {
                200..300 => return Ok(response),
                code @ 300..=399 => return Err(ClientError::Moved { method, code }),
                401 if challenges < MAX_LOGIN_ATTEMPTS
                    && self.handle_challenge(&response.head, challenges) =>
                {
                    challenges += 1;
                }
                401 if challenges > 0 => return Err(ClientError::LoginRefused { method }),
                code => return Err(ClientError::Refused { method, code }),
            }
        }
    }

    /// Takes the challenge of a 401 response. Returns whether another request can help: it cannot if the server has
    /// refused the login.
    fn handle_challenge(&mut self, head: &Head, challenges: usize) -> bool {
        use crate::login::AuthOutcome::{Challenged, StaleNonce, Unsupported};
        let Some(login) = &mut self.login else { return false };
        match login.handle_challenge(false, head) {
            Unsupported => false,
            Challenged => challenges == 0,
            StaleNonce => true,
        }
    }

    /// Sends a request without waiting for its response, and returns its `CSeq`.
    pub(super) async fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<u32, ClientError> {
        let text = self.request_text(method, url, headers);
        self.tcp.write_all(text.as_bytes()).await?;
        Ok(self.cseq)
    }

    /// Sends a request without waiting for anything: if the connection has no room for it, the server does not get it.
    pub(super) fn try_send(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) {
        let text = self.request_text(method, url, headers);
        if let Err(error) = self.tcp.try_write(text.as_bytes()) {
            tracing::debug!(%error, method, "the camera does not get the last request");
        }
    }

    /// Returns the text of a request with the next `CSeq`.
    fn request_text(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) -> String {
        self.cseq += 1;
        let request = RequestLine { method, target: url, is_encrypted: false };
        let authorization = self.login.as_mut().and_then(|login| login.authorization(request));
        let mut text =
            format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: {USER_AGENT}\r\n", self.cseq);
        let authorization = authorization.as_deref().map(|value| ("Authorization", value));
        for (name, value) in headers.iter().copied().chain(authorization) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text
    }

    /// Sends a packet of media to the server. The server does not respond.
    pub(super) async fn send_packet(&mut self, channel: u8, packet: &[u8]) -> Result<(), ClientError> {
        let len = u16::try_from(packet.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut bytes = vec![b'$', channel];
        bytes.extend(len.to_be_bytes());
        bytes.extend(packet);
        Ok(self.tcp.write_all(&bytes).await?)
    }

    /// Waits for the response to the request with this `CSeq`. A response without `CSeq` counts too.
    async fn response(&mut self, cseq: u32) -> Result<RtspResponse, ClientError> {
        loop {
            match self.read_message().await? {
                Message::Response(response) => {
                    let answered = response.head.get("CSeq").and_then(|text| text.trim().parse::<u32>().ok());
                    if answered.is_none_or(|answered| answered == cseq) {
                        return Ok(response);
                    }
                }
                Message::Request(asked) => self.refuse(asked).await?,
                Message::Packet { channel, data } => {
                    self.early_bytes += data.len() + PACKET_OVERHEAD_BYTES;
                    if self.early_bytes > MAX_EARLY_BYTES {
                        return Err(ClientError::NoAnswer);
                    }
                    self.early.push_back((channel, data));
                }
            }
        }
    }

    /// Waits for the next packet of media. Reads the responses to requests whose response nobody waits for, such as
    /// those that keep the session alive: whatever the response says, the session goes on. Cancel safe.
    pub(super) async fn receive(&mut self) -> Result<Received, ClientError> {
        if let Some((channel, data)) = self.early.pop_front() {
            self.early_bytes -= data.len() + PACKET_OVERHEAD_BYTES;
            return Ok(Received::Packet(channel, data));
        }
        loop {
            match self.read_message().await? {
                Message::Packet { channel, data } => return Ok(Received::Packet(channel, data)),
                Message::Request(asked) => self.refuse(asked).await?,
                Message::Response(response) => {
                    let status = response.head.status();
                    tracing::trace!(status, "the camera answered a request that keeps the session alive");
                    if status == 401 && self.handle_challenge(&response.head, 0) {
                        return Ok(Received::Challenge);
                    }
                }
            }
        }
    }

    /// Refuses a request of the server.
    async fn refuse(&mut self, cseq: Option<String>) -> Result<(), ClientError> {
        let cseq = cseq.map(|cseq| format!("CSeq: {cseq}\r\n")).unwrap_or_default();
        let text = format!("RTSP/1.0 501 Not Implemented\r\n{cseq}\r\n");
        Ok(self.tcp.write_all(text.as_bytes()).await?)
    }

    /// Waits for the next message. Cancel safe.
    async fn read_message(&mut self) -> Result<Message, ClientError> {
        loop {
            if let Some(message) = self.reader.next_message()? {
                return Ok(message);
            }
            let room = self.reader.room();
            room.reserve(READ_BYTES);
            if self.tcp.read_buf(room).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }
}
