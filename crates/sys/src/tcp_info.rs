//! Reads `TCP_INFO`: what the kernel has measured on a TCP connection.

use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What the kernel of this machine has measured on a TCP connection while sending. A field is `None` if the kernel is
/// too old to report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// The smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// The minimum of the recent round-trip times, which contains hardly any delay from queues.
    pub min_rtt: Option<Duration>,
    /// The maximum number of data bytes in a sent segment.
    pub mss: Option<u32>,
    /// The congestion window: the maximum number of segments in flight.
    pub cwnd: Option<u32>,
    /// The number of segments that were sent and not acknowledged yet.
    pub unacked: Option<u32>,
    /// Number of bytes that the peer has acknowledged since the connection began.
    pub bytes_acked: Option<u64>,
    /// Number of bytes that were written to the socket but not sent yet.
    pub notsent_bytes: Option<u32>,
    /// The rate at which the peer has recently received data, in bytes per second, as last measured.
    pub delivery_rate: Option<u64>,
    /// The receive window that the peer last advertised, in bytes (Linux 5.4 and later).
    pub snd_wnd: Option<u32>,
}

impl TcpInfo {
    /// Returns what the kernel has measured on the connection of `socket`. Returns `None` if `socket` is not a TCP
    /// socket, or if the system is not Linux.
    pub fn query(socket: BorrowedFd<'_>) -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            // This is more than any kernel returns so far. Fields that a later kernel appends are cut off.
            let mut bytes = [0; 512];
            let len = crate::linux::tcp_info(socket, &mut bytes)?;
            Some(Self::parse(&bytes[..len]))
        }
        #[cfg(not(target_os = "linux"))]
        return crate::unsupported(socket);
    }

    /// Parses the bytes of the kernel's `struct tcp_info` (`include/uapi/linux/tcp.h`). Newer kernels only append
    /// fields to it, so fields that are missing at the end become `None`.
    #[cfg(any(target_os = "linux", test))]
    fn parse(bytes: &[u8]) -> Self {
        let small = |at: usize| {
            let field = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes(field.try_into().ok()?))
        };
        let large = |at: usize| {
            let field = bytes.get(at..at + 8)?;
            Some(u64::from_ne_bytes(field.try_into().ok()?))
        };
        let micros = |micros: u32| Duration::from_micros(micros.into());
        Self {
            mss: small(16),
            unacked: small(24),
            rtt: small(68).map(micros),
            min_rtt: small(148).map(micros),
            cwnd: small(80),
            bytes_acked: large(120),
            notsent_bytes: small(144),
            delivery_rate: large(160),
            snd_wnd: small(228),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_old_kernel_does_not_tell_is_absent() {
        let mut bytes = [0; 232];
        bytes[68..72].copy_from_slice(&20_000_u32.to_ne_bytes());
        bytes[228..].copy_from_slice(&65_536_u32.to_ne_bytes());
        let new = TcpInfo::parse(&bytes);
        assert_eq!((new.rtt, new.snd_wnd), (Some(Duration::from_millis(20)), Some(65_536)));
        let old = TcpInfo::parse(&bytes[..104]);
        assert_eq!(old.rtt, new.rtt);
        assert_eq!(
            (old.bytes_acked, old.notsent_bytes, old.delivery_rate, old.snd_wnd),
            (None, None, None, None)
        );
        assert_eq!(TcpInfo::parse(&[]), TcpInfo::default());
    }
}
