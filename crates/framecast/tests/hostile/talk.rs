//! What hostile servers have in common: they send without end, or a byte at a time, or nothing.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::Duration;

use crate::server::{Request, Server, Wire, read_request};

/// What becomes of a camera at this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is lost soon, and it is told why.
    Lost,
    /// It may be waited for longer than the test lasts, or even be live.
    Any,
}

/// One kind of hostile server.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
    /// What it does on each connection, whose number comes along; an error says that the client has gone.
    talk: fn(usize, &mut Wire) -> io::Result<()>,
    /// What a source of it begins with.
    scheme: &'static str,
    login: &'static str,
}

impl Kind {
    /// A server at which a camera is lost.
    pub(crate) fn lost(name: &'static str, talk: fn(usize, &mut Wire) -> io::Result<()>) -> Self {
        Self { name, fate: Fate::Lost, talk, scheme: "http", login: "" }
    }

    /// A server of which nobody can say so soon that no picture will come.
    pub(crate) fn any(name: &'static str, talk: fn(usize, &mut Wire) -> io::Result<()>) -> Self {
        Self { fate: Fate::Any, ..Self::lost(name, talk) }
    }

    /// Asked over TLS.
    pub(crate) fn over_tls(self) -> Self {
        Self { scheme: "https", ..self }
    }

    /// Asked with user and password.
    pub(crate) fn with_login(self) -> Self {
        Self { login: "admin:made-up@", ..self }
    }

    /// Starts it: the source of a camera there.
    pub(crate) fn start(&self) -> String {
        let talk = self.talk;
        let server = Server::serve([127, 0, 0, 1].into(), move |connection, wire| {
            // Whatever it was, the connection is over.
            talk(connection, wire).ok();
        });
        format!("{}://{}{}/0", self.scheme, self.login, server.address)
    }
}

/// What is sent of a flood at a time, and the pause behind it: 8 MiB a second, so that whoever keeps it all is found
/// out, and a small machine still does something else.
const BURST_BYTES: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(8);

/// The next request on this connection.
pub(crate) fn asked(connection: usize, wire: &mut Wire) -> io::Result<Request> {
    read_request(connection, wire).ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// Reads a request and sends the start of an answer to it.
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

/// Sends these bytes again and again until the client goes.
pub(crate) fn flood(wire: &mut Wire, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let bytes = bytes.as_ref();
    let burst = bytes.repeat(BURST_BYTES.div_ceil(bytes.len()));
    loop {
        wire.send(&burst)?;
        thread::sleep(PAUSE);
    }
}

/// Sends these bytes again and again, one a second.
pub(crate) fn drip(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        wire.send([*byte])?;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Sends nothing more, and keeps the connection until the client goes.
pub(crate) fn hold(wire: &mut Wire) -> io::Result<()> {
    wire.wait_gone();
    Ok(())
}
