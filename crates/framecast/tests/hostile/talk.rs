//! The common behaviour of hostile servers: they send without end, or a byte at a time, or nothing.

use std::io::{self, ErrorKind};
use std::time::Duration;

use framecast_testkit::blocking::pause;
use framecast_testkit_server::camera_server::{CameraServer, Request, Wire, read_request};

/// The outcome for a camera at this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedState {
    /// Framecast soon reports the camera as lost, with a reason.
    Lost,
    /// Framecast might wait for a picture longer than the test lasts, or the camera might even be live.
    Any,
}

/// One kind of hostile server.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) expected: ExpectedState,
    /// Handles each connection, by its number; an error means that the client has gone.
    talk: fn(usize, &mut Wire) -> io::Result<()>,
    /// The scheme of the camera's source.
    scheme: &'static str,
    login: &'static str,
}

impl Kind {
    /// A server at which a camera is lost.
    pub(crate) fn lost(name: &'static str, talk: fn(usize, &mut Wire) -> io::Result<()>) -> Self {
        Self { name, expected: ExpectedState::Lost, talk, scheme: "http", login: "" }
    }

    /// A server for which Framecast cannot know so soon that no picture will come.
    pub(crate) fn any(name: &'static str, talk: fn(usize, &mut Wire) -> io::Result<()>) -> Self {
        Self { expected: ExpectedState::Any, ..Self::lost(name, talk) }
    }

    /// Uses TLS.
    pub(crate) fn over_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    /// Uses user and password.
    pub(crate) fn with_login(self) -> Self {
        Self { login: "admin:made-up@", ..self }
    }

    /// Starts the server; returns the source of a camera there.
    pub(crate) fn start(&self) -> String {
        let talk = self.talk;
        let server = CameraServer::serve([127, 0, 0, 1].into(), move |connection, wire| {
            // Whatever the result, the connection is over.
            talk(connection, wire).ok();
        });
        format!("{}://{}{}/0", self.scheme, self.login, server.address)
    }
}

/// The size of one piece of a flood; with the pause after it, that is 8 MiB a second. So a receiver that stores all of
/// it is detected, and a small machine still has time for other work.
const BURST_BYTES: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(8);

/// Reads the next request on this connection.
pub(crate) fn asked(connection: usize, wire: &mut Wire) -> io::Result<Request> {
    read_request(connection, wire).ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// Reads a request and sends the start of an answer.
pub(crate) fn begin(connection: usize, wire: &mut Wire, start: impl AsRef<[u8]>) -> io::Result<()> {
    asked(connection, wire)?;
    wire.send(start)
}

/// Answers every request on this connection in the same way.
pub(crate) fn always(connection: usize, wire: &mut Wire, answer: impl AsRef<[u8]>) -> io::Result<()> {
    loop {
        begin(connection, wire, &answer)?;
    }
}

/// Sends these bytes repeatedly until the client closes.
pub(crate) fn flood(wire: &mut Wire, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let bytes = bytes.as_ref();
    let burst = bytes.repeat(BURST_BYTES.div_ceil(bytes.len()));
    loop {
        wire.send(&burst)?;
        pause(PAUSE);
    }
}

/// Sends these bytes repeatedly, one byte a second.
pub(crate) fn drip(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        wire.send([*byte])?;
        pause(Duration::from_secs(1));
    }
    Ok(())
}

/// Sends nothing more, and keeps the connection open until the client closes.
pub(crate) fn hold(wire: &mut Wire) -> io::Result<()> {
    wire.wait_gone();
    Ok(())
}
