//! A fake RTSP camera: it replays a file of coded video to real clients over real sockets, and does wrong what a test asks
//! for.
//!
//! [`FakeRtsp`] is a server on this machine with one or more cameras at `/cam0`, `/cam1` and so on. Each session of a
//! camera begins with the file's first picture, and the file begins again at its end, while the timestamps go on. The
//! server runs in a thread of its own, so tests with a paused clock and tests without a runtime can use it. The
//! parser of real cameras' bytes does not belong here: this code trusts its own tests.

mod annex_b;
mod camera;
mod clip;
mod connection;
mod fault;
mod jpeg;
mod link;
mod login;
mod packet;
mod player;
mod sdp;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use annex_b::{ClipCodec, NalKind};
pub use camera::{FakeCamera, Pace, RtspCounts, SentPicture};
pub use clip::{Clip, ClipPicture};
pub use fault::Fault;
pub use login::{Login, LoginScheme};

use camera::Setup;
use connection::Connection;

/// What a server will be. [`RtspBuilder::start`] starts it.
#[derive(Clone, Debug)]
pub struct RtspBuilder {
    listen: SocketAddr,
    cameras: usize,
    setup: Setup,
}

impl RtspBuilder {
    /// Listens on this address in place of a free port of the loopback address.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// So many cameras in place of one. All send the same.
    pub fn cameras(mut self, count: usize) -> Self {
        self.cameras = count;
        self
    }

    /// The pictures a second, in place of those of the file.
    pub fn fps(mut self, fps: f64) -> Self {
        self.setup.clip.fps = fps;
        self
    }

    /// When the cameras send their pictures; in real time unless set.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.setup.pace = pace;
        self
    }

    /// Adds a track with sound: PCMU, and silent.
    pub fn with_audio(mut self) -> Self {
        self.setup.has_audio = true;
        self
    }

    /// The second file, for [`Fault::SizeChange`].
    ///
    /// # Panics
    /// If its codec is not that of the first.
    pub fn second(mut self, clip: Clip) -> Self {
        assert_eq!(clip.codec, self.setup.clip.codec, "both files need the same codec");
        self.setup.second = Some(clip);
        self
    }

    /// Lets in only this user.
    pub fn login(mut self, scheme: LoginScheme, user: &str, password: &str) -> Self {
        self.setup.login = Some(Login { scheme, user: user.to_owned(), password: password.to_owned() });
        self
    }

    /// How long a session lasts without a request; a minute unless set. Clients are told whole seconds.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.setup.session_timeout = timeout;
        self
    }

    /// Starts the server, which listens when this returns.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(self) -> io::Result<FakeRtsp> {
        let listener = std::net::TcpListener::bind(self.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let camera = |number| Arc::new(FakeCamera::new(address, number, self.setup.clone()));
        let cameras: Arc<[Arc<FakeCamera>]> = (0..self.cameras).map(camera).collect();
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&cameras);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("fake-rtsp".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, shared) => result.expect("the listener works"),
                    _ = stopped => {}
                }
            });
        })?;
        Ok(FakeRtsp { cameras, _stop: stop })
    }
}

/// A server with fake cameras. It stops, and ends all connections, when this is dropped. Its methods are those of camera 0.
pub struct FakeRtsp {
    cameras: Arc<[Arc<FakeCamera>]>,
    _stop: oneshot::Sender<()>,
}

impl FakeRtsp {
    /// A server with one camera that sends `clip`.
    pub fn builder(clip: Clip) -> RtspBuilder {
        let setup = Setup {
            clip,
            second: None,
            pace: Pace::RealTime,
            has_audio: false,
            login: None,
            session_timeout: Duration::from_secs(60),
        };
        RtspBuilder { listen: (Ipv4Addr::LOCALHOST, 0).into(), cameras: 1, setup }
    }

    /// The cameras.
    pub fn cameras(&self) -> &[Arc<FakeCamera>] {
        &self.cameras
    }
}

impl Deref for FakeRtsp {
    type Target = FakeCamera;

    fn deref(&self) -> &FakeCamera {
        &self.cameras[0]
    }
}

async fn serve(listener: std::net::TcpListener, cameras: Arc<[Arc<FakeCamera>]>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await?;
        connections.spawn(Connection::run(tcp, Arc::clone(&cameras)));
        while connections.try_join_next().is_some() {}
    }
}
