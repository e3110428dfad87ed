//! The way of one track's packets to the client: over the connection of the session, or over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use tokio::net::UdpSocket;

use super::fault::Fault;

/// The length of an RTP header.
const HEADER_BYTES: usize = 12;

/// Seconds from 1900, where the clock of RTCP starts, to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

enum Way {
    /// In the connection, on the channel of this number, with RTCP on the next.
    Interleaved(u8),
    Udp(UdpPair),
}

/// The sockets of one track.
struct UdpPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    packets: u64,
    held: Option<Vec<u8>>,
    /// Whether the client has sent something to each of the two sockets.
    is_open: (bool, bool),
}

/// One track of a session.
pub(super) struct Link {
    way: Way,
    pub(super) ssrc: u32,
    payload_type: u8,
    pub(super) sequence: u16,
    packets: u32,
    bytes: u32,
}

impl Link {
    pub(super) fn interleaved(channel: u8, payload_type: u8) -> Self {
        Self::new(Way::Interleaved(channel), payload_type)
    }

    /// Sends to these two ports of the client. Returns also the number of the first of two ports of the camera.
    pub(super) async fn udp(client: IpAddr, ports: (u16, u16), payload_type: u8) -> io::Result<(Self, u16)> {
        let (rtp, rtcp, port) = bind_pair().await?;
        rtp.connect((client, ports.0)).await?;
        rtcp.connect((client, ports.1)).await?;
        Ok((
            Self::new(
                Way::Udp(UdpPair { rtp, rtcp, packets: 0, held: None, is_open: (false, false) }),
                payload_type,
            ),
            port,
        ))
    }

    /// The sequence number wraps soon, so that every client meets that.
    fn new(way: Way, payload_type: u8) -> Self {
        let ssrc = 0x5eed_0000 + u32::from(payload_type);
        Self { way, ssrc, payload_type, sequence: 65_500, packets: 0, bytes: 0 }
    }

    /// Sends one packet, or appends it to `wire`, which goes into the connection. Over UDP, nobody may be listening.
    pub(super) async fn send(
        &mut self,
        payload: &[u8],
        has_marker: bool,
        timestamp: u32,
        faults: &[Fault],
        wire: &mut Vec<u8>,
    ) {
        let mut packet = Vec::with_capacity(HEADER_BYTES + payload.len());
        packet.extend([0x80, u8::from(has_marker) << 7 | self.payload_type]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload.len() as u32);
        match &mut self.way {
            Way::Interleaved(channel) => interleave(*channel, &packet, wire),
            Way::Udp(pair) => pair.send(packet, faults).await,
        }
    }

    /// Sends an RTCP sender report (RFC 3550 section 6.4.1) that says that it is `timestamp` now.
    pub(super) async fn report(&mut self, timestamp: u32, wire: &mut Vec<u8>) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(((now.as_secs() + NTP_OFFSET) as u32).to_be_bytes());
        packet.extend((fraction as u32).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.packets.to_be_bytes());
        packet.extend(self.bytes.to_be_bytes());
        // A source description (section 6.5) with the canonical name `cam` must follow.
        packet.extend([0x81, 202, 0, 3]);
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend([1, 3, b'c', b'a', b'm', 0, 0, 0]);
        match &self.way {
            Way::Interleaved(channel) => interleave(channel + 1, &packet, wire),
            Way::Udp(pair) => drop(pair.rtcp.send(&packet).await),
        }
    }
}

impl UdpPair {
    async fn send(&mut self, packet: Vec<u8>, faults: &[Fault]) {
        self.packets += 1;
        self.is_open.0 |= self.rtp.try_recv(&mut [0; 64]).is_ok();
        self.is_open.1 |= self.rtcp.try_recv(&mut [0; 64]).is_ok();
        if faults.contains(&Fault::UdpFirewall) && self.is_open != (true, true) {
            return;
        }
        let is_turn = |every: u64| self.packets.is_multiple_of(every);
        if faults.iter().any(|fault| matches!(fault, Fault::UdpLoss(every) if is_turn(*every))) {
            return;
        }
        if faults.iter().any(|fault| matches!(fault, Fault::UdpReorder(every) if is_turn(*every))) {
            self.held = Some(packet);
            return;
        }
        self.rtp.send(&packet).await.ok();
        if let Some(held) = self.held.take() {
            self.rtp.send(&held).await.ok();
        }
    }
}

/// Appends a packet as RFC 2326 section 10.12 says.
fn interleave(channel: u8, packet: &[u8], wire: &mut Vec<u8>) {
    wire.extend([b'$', channel]);
    wire.extend((packet.len() as u16).to_be_bytes());
    wire.extend_from_slice(packet);
}

/// Two sockets, the first with an even port, and that port.
async fn bind_pair() -> io::Result<(UdpSocket, UdpSocket, u16)> {
    for _ in 0..100 {
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = rtp.local_addr()?.port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1)).await
        {
            return Ok((rtp, rtcp, port));
        }
    }
    Err(io::Error::other("no two neighbouring UDP ports are free"))
}
