//! A session: from the description of a stream to its end.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{ClientError, Received, RtspConnection};
use super::description::{NoVideo, VideoTrack};
use crate::login::Login;
use crate::rtsp::target::Transport;
use crate::rtsp_message::RtspResponse;

/// The time after which a server may end a session that shows no sign of life, if the server does not say (RFC 2326
/// §12.37).
const USUAL_SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// The limits of the time between two requests that keep a session alive.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The maximum time that the server gets for its response to TEARDOWN.
const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The maximum size of a datagram.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// The requested size of the kernel's buffer for datagrams. The kernel may give less.
const SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Packets without pictures, for the camera's ports of media and of reports: an RTP header alone, and a report of nothing
/// received (RFC 3550 §5.1, §6.4.2).
const FIRST_RTP: &[u8] = &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const FIRST_RTCP: &[u8] = &[0x80, 201, 0, 1, 0, 0, 0, 0];

/// The number of pairs of ports that are tried.
const PORT_ATTEMPTS: usize = 20;

/// A stream whose description has arrived.
pub(in crate::rtsp) struct Described {
    connection: RtspConnection,
    /// What the server said of the video.
    pub(in crate::rtsp) video: Result<VideoTrack, NoVideo>,
    has_get_parameter: bool,
}

/// A session of which the server knows. If it is dropped before [`tear_down`](Self::tear_down), it tells the server
/// without waiting for the answer, because some servers have few sessions.
pub(in crate::rtsp) struct RtspSession {
    connection: RtspConnection,
    transport: OpenTransport,
    id: String,
    control: String,
    keep_alive_method: &'static str,
    keep_alive_interval: Duration,
    keep_alive_at: Instant,
    /// Whether the last request that keeps the session alive has been sent again because of a challenge.
    was_challenged: bool,
    has_ended: bool,
}

/// Where the packets of the video arrive.
enum OpenTransport {
    /// Within the RTSP connection, on these channels.
    Tcp {
        rtp: u8,
        rtcp: u8,
    },
    Udp(Box<UdpPorts>),
}

struct UdpPorts {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// The addresses from which the server sends. Datagrams from elsewhere are ignored.
    senders: [IpAddr; 2],
    /// Whether the log says already that datagrams came from elsewhere.
    has_warned: bool,
    /// The server's ports for media and for reports; `None` if the server has not named them.
    server_ports: Option<(SocketAddr, SocketAddr)>,
    buffer: Box<[u8]>,
    rtcp_buffer: Box<[u8]>,
}

/// A packet of the video.
pub(in crate::rtsp) enum Packet {
    Rtp(Bytes),
    Rtcp(Bytes),
}

impl Described {
    /// Connects to the server and asks for the description of the stream at `url`, which has no login in it. `limit` is
    /// the time limit for each response of the server, now and later.
    pub(in crate::rtsp) async fn ask(
        (host, port): (&str, u16),
        url: &str,
        login: Option<Login>,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let mut connection = RtspConnection::open(host, port, login, limit).await?;
        // Servers that do not know OPTIONS are asked to keep a session alive with OPTIONS all the same.
        let has_get_parameter = match connection.request("OPTIONS", url, &[]).await {
            Ok(response) => response.head.has_word("Public", "GET_PARAMETER"),
            Err(ClientError::Refused { .. } | ClientError::Moved { .. }) => false,
            // Sending a wrong login again could lock the account.
            Err(error) => return Err(error),
        };
        let response = connection.request("DESCRIBE", url, &[("Accept", "application/sdp")]).await?;
        let base = ["Content-Base", "Content-Location"].into_iter().find_map(|name| response.head.get(name));
        let video = VideoTrack::find(&response.body, base.unwrap_or(url));
        Ok(Self { connection, video, has_get_parameter })
    }

    /// Asks the server to send `track` over `transport`.
    pub(in crate::rtsp) async fn play(
        mut self,
        track: &VideoTrack,
        transport: Transport,
    ) -> Result<RtspSession, ClientError> {
        let (ports, asked) = match transport {
            Transport::Tcp => (None, "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned()),
            Transport::Udp => {
                let (rtp, rtcp) = bind_pair(self.connection.addresses()?.1).await?;
                let port = rtp.local_addr()?.port();
                (Some((rtp, rtcp)), format!("RTP/AVP;unicast;client_port={port}-{}", port + 1))
            }
        };
        let response = self.connection.request("SETUP", &track.control, &[("Transport", &asked)]).await?;
        let (id, session_timeout) = session_of(&response);
        let transport = self.opened(ports, &response);
        let interval = (session_timeout / 2).clamp(KEEP_ALIVE.0, KEEP_ALIVE.1);
        // The server has a session by now, also if what follows fails.
        let mut session = RtspSession {
            connection: self.connection,
            transport: OpenTransport::Tcp { rtp: 0, rtcp: 1 },
            control: track.session_control.clone(),
            keep_alive_method: if self.has_get_parameter { "GET_PARAMETER" } else { "OPTIONS" },
            keep_alive_interval: interval,
            keep_alive_at: Instant::now() + interval,
            was_challenged: false,
            has_ended: false,
            id,
        };
        let played = match transport {
            Ok(transport) => {
                session.transport = transport;
                session.play().await
            }
            Err(error) => Err(error),
        };
        match played {
            Ok(()) => Ok(session),
            Err(error) => {
                session.tear_down().await;
                Err(error)
            }
        }
    }

    /// Returns the transport that the server chose in its response to SETUP. `ports` are those of this machine for
    /// UDP.
    fn opened(
        &self,
        ports: Option<(UdpSocket, UdpSocket)>,
        response: &RtspResponse,
    ) -> Result<OpenTransport, ClientError> {
        let chosen = response.head.get("Transport").unwrap_or_default();
        let parameter = |name: &str| {
            let found = chosen.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            let (first, second) = found.map(|pair| pair.split_once('-').unwrap_or((pair, "")))?;
            let first: u16 = first.trim().parse().ok()?;
            Some((first, second.trim().parse::<u16>().unwrap_or(first.saturating_add(1))))
        };
        let is_tcp = chosen.to_ascii_uppercase().contains("/TCP");
        match ports {
            None if !is_tcp && !chosen.is_empty() => Err(ClientError::OtherTransport),
            None => {
                let (rtp, rtcp) = parameter("interleaved").unwrap_or((0, 1));
                let channel = |number: u16| u8::try_from(number).map_err(|_| ClientError::OtherTransport);
                Ok(OpenTransport::Tcp { rtp: channel(rtp)?, rtcp: channel(rtcp)? })
            }
            Some(_) if is_tcp => Err(ClientError::OtherTransport),
            Some((rtp, rtcp)) => {
                let (server, _) = self.connection.addresses()?;
                let mut values = chosen.split(';').filter_map(|part| part.trim().strip_prefix("source="));
                // A server with several addresses may send from another one.
                let source = values.find_map(|text| text.parse().ok()).unwrap_or(server);
                let server_ports = parameter("server_port")
                    .map(|(first, second)| (SocketAddr::new(source, first), SocketAddr::new(source, second)));
                let buffer = || vec![0; MAX_DATAGRAM_BYTES].into_boxed_slice();
                Ok(OpenTransport::Udp(Box::new(UdpPorts {
                    rtp,
                    rtcp,
                    senders: [server, source],
                    has_warned: false,
                    server_ports,
                    buffer: buffer(),
                    rtcp_buffer: buffer(),
                })))
            }
        }
    }
}

/// Returns the session's id and timeout from the response to SETUP: `Session: 12345;timeout=60`.
fn session_of(response: &RtspResponse) -> (String, Duration) {
    let text = response.head.get("Session").unwrap_or_default();
    let (id, parameters) = text.split_once(';').unwrap_or((text, ""));
    let seconds = parameters.split(';').find_map(|part| part.trim().strip_prefix("timeout="));
    let seconds = seconds.and_then(|text| text.trim().parse::<u32>().ok()).filter(|seconds| *seconds > 0);
    let session_timeout =
        seconds.map_or(USUAL_SESSION_TIMEOUT, |seconds| Duration::from_secs(u64::from(seconds)));
    (id.trim().to_owned(), session_timeout)
}

/// Returns the header that names a session; none for a server that gives its sessions no names.
fn session_header(id: &str) -> Option<(&'static str, &str)> {
    (!id.is_empty()).then_some(("Session", id))
}

/// Binds two UDP ports of which the first is even and the second is the next one (RFC 3550 §11).
async fn bind_pair(address: IpAddr) -> Result<(UdpSocket, UdpSocket), ClientError> {
    let mut last = None;
    for _ in 0..PORT_ATTEMPTS {
        let first = UdpSocket::bind((address, 0)).await?;
        let port = first.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match UdpSocket::bind((address, port + 1)).await {
            Ok(second) => {
                enlarge_buffer(&first);
                return Ok((first, second));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()).into())
}

/// Enlarges the kernel's buffer of the socket if possible, because a keyframe comes as hundreds of datagrams at once.
fn enlarge_buffer(socket: &UdpSocket) {
    let enlarged = rustix::net::sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER_BYTES);
    if let Err(error) = enlarged {
        tracing::debug!(%error, "cannot enlarge the buffer for datagrams");
    }
}

impl RtspSession {
    /// Asks the server to begin.
    async fn play(&mut self) -> Result<(), ClientError> {
        if let OpenTransport::Udp(ports) = &self.transport
            && let Some((rtp_to, rtcp_to)) = ports.server_ports
        {
            // A firewall that knows who began lets the camera's packets through after these. It does no harm if they are
            // lost.
            ports.rtp.send_to(FIRST_RTP, rtp_to).await.ok();
            ports.rtcp.send_to(FIRST_RTCP, rtcp_to).await.ok();
        }
        let headers: Vec<_> = session_header(&self.id).into_iter().chain([("Range", "npt=0.000-")]).collect();
        self.connection.request("PLAY", &self.control, &headers).await.map(drop)
    }

    /// Returns whether packets arrive as datagrams, which can be lost or arrive in another order.
    pub(in crate::rtsp) fn is_udp(&self) -> bool {
        matches!(self.transport, OpenTransport::Udp(_))
    }

    /// Waits for the next packet, and keeps the session alive meanwhile. Cancel safe.
    pub(in crate::rtsp) async fn next_packet(&mut self) -> Result<Packet, ClientError> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.keep_alive_at) => {
                    self.was_challenged = false;
                    self.keep_alive().await?;
                }
                received = self.connection.receive() => match received? {
                    Received::Packet(channel, data) => match self.transport {
                        OpenTransport::Tcp { rtp, .. } if channel == rtp => return Ok(Packet::Rtp(data)),
                        OpenTransport::Tcp { rtcp, .. } if channel == rtcp => return Ok(Packet::Rtcp(data)),
                        _ => tracing::trace!(channel, "a packet for another channel is ignored"),
                    },
                    // The server has not counted the last request. It is sent again once, with the new nonce.
                    Received::Challenge if !self.was_challenged => {
                        self.was_challenged = true;
                        self.keep_alive().await?;
                    }
                    Received::Challenge => {}
                },
                packet = receive_datagram(&mut self.transport) => return Ok(packet?),
            }
        }
    }

    /// Sends a request that shows the server that the client is there. Nobody waits for the response, and whatever it
    /// says, the session goes on: some cameras answer with a wrong number, or refuse the request and go on sending.
    async fn keep_alive(&mut self) -> Result<(), ClientError> {
        self.keep_alive_at = Instant::now() + self.keep_alive_interval;
        let session = session_header(&self.id);
        self.connection.send(self.keep_alive_method, &self.control, session.as_slice()).await.map(drop)
    }

    /// Sends `report`, an RTCP packet, to the server.
    pub(in crate::rtsp) async fn send_report(&mut self, report: &[u8]) -> Result<(), ClientError> {
        match &self.transport {
            OpenTransport::Tcp { rtcp, .. } => self.connection.send_packet(*rtcp, report).await,
            OpenTransport::Udp(ports) => match ports.server_ports {
                // A report that is lost does no harm.
                Some((_, to)) => ports.rtcp.send_to(report, to).await.map(drop).or(Ok(())),
                None => Ok(()),
            },
        }
    }

    /// Ends the session at the server.
    pub(in crate::rtsp) async fn tear_down(mut self) {
        self.has_ended = true;
        let session = session_header(&self.id);
        let ending = self.connection.request("TEARDOWN", &self.control, session.as_slice());
        match timeout(TEARDOWN_TIMEOUT, ending).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the camera did not end the session as asked"),
            Err(_) => tracing::debug!("the camera did not answer TEARDOWN"),
        }
    }
}

impl Drop for RtspSession {
    fn drop(&mut self) {
        if !self.has_ended {
            let session = session_header(&self.id);
            self.connection.try_send("TEARDOWN", &self.control, session.as_slice());
        }
    }
}

/// Waits for the next datagram from the server; forever if packets arrive within the RTSP connection. Cancel safe.
async fn receive_datagram(transport: &mut OpenTransport) -> std::io::Result<Packet> {
    let OpenTransport::Udp(ports) = transport else { return pending().await };
    let UdpPorts { rtp, rtcp, senders, has_warned, buffer, rtcp_buffer, .. } = &mut **ports;
    loop {
        let (len, from, is_rtp) = tokio::select! {
            received = rtp.recv_from(buffer) => received.map(|(len, from)| (len, from, true))?,
            received = rtcp.recv_from(rtcp_buffer) => received.map(|(len, from)| (len, from, false))?,
        };
        if !senders.contains(&from.ip()) {
            if !std::mem::replace(has_warned, true) {
                tracing::debug!(from = %from.ip(), "datagrams that do not come from the camera are ignored");
            }
            continue;
        }
        let data = Bytes::copy_from_slice(if is_rtp { &buffer[..len] } else { &rtcp_buffer[..len] });
        return Ok(if is_rtp { Packet::Rtp(data) } else { Packet::Rtcp(data) });
    }
}
