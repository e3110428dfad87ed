//! The equal load: the same cameras and the same viewers at each checkpoint.

use std::net::SocketAddr;
use std::time::Duration;

use framecast_testkit::{TestViewer, pause, soon};
use framecast_testkit_server::event_client::EventClient;
use framecast_testkit_server::history_server::client;
use framecast_testkit_server::process::Usage;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::cameras::STEADY;
use crate::site::{Figures, Site};
use crate::visitors::acknowledgement;

/// How many pictures each viewer sees before the figures count.
const PICTURES: usize = 20;

/// How long the viewers watch before the figures count: longer than an idle thread or connection stays.
const SETTLE: Duration = Duration::from_secs(11);

/// How often the figures are looked at, and how often the program is asked for its tasks. Each request wakes a thread
/// that would otherwise end because it has nothing to do, so requests are rare.
const LOOKS: usize = 36;
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS_PER_REQUEST: usize = 9;

/// The viewers of the equal load. Dropping this value ends them.
pub(crate) struct Load(JoinSet<()>);

impl Load {
    /// Starts the viewers, and waits until all of them have seen pictures of all cameras.
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let (seen, mut all_seen) = mpsc::channel(1);
        let mut viewers = JoinSet::new();
        for camera in STEADY {
            for more in ["", "", "?width=160"] {
                let target = format!("/cameras/{camera}/stream.mjpg{more}");
                viewers.spawn(watch_stream(address, target, seen.clone()));
            }
        }
        viewers.spawn(watch_page(address, seen.clone()));
        viewers.spawn(listen(address));
        drop(seen);
        // Each viewer drops its sender when it has seen enough.
        let all = async { while all_seen.recv().await.is_some() {} };
        soon("all viewers see pictures of all cameras", all).await;
        Self(viewers)
    }

    /// Ends the viewers.
    pub(crate) async fn end(mut self) {
        let ended = self.0.try_join_next();
        assert!(ended.is_none(), "a viewer of the equal load ended: {ended:?}");
        self.0.shutdown().await;
    }
}

async fn watch_stream(address: SocketAddr, target: String, seen: mpsc::Sender<()>) {
    let mut viewer = TestViewer::open(address, &target).await.unwrap();
    for _ in 0..PICTURES {
        viewer.next_where(|picture| !picture.is_slate()).await.expect("the stream goes on");
    }
    drop(seen);
    while viewer.next().await.is_some() {}
}

async fn watch_page(address: SocketAddr, seen: mpsc::Sender<()>) {
    let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
    let opening = client_async(format!("ws://{address}/api/live"), stream);
    let (mut page, _) = soon("the WebSocket", opening).await.unwrap();
    for (tile, camera) in STEADY.iter().enumerate() {
        let ask = format!("{{\"type\":\"subscribe\",\"tile\":{tile},\"camera\":\"{camera}\"}}");
        page.send(Message::text(ask)).await.unwrap();
    }
    let mut seen = Some(seen);
    let mut pictures = [0; STEADY.len()];
    while let Some(message) = soon("a message", page.next()).await {
        let Message::Binary(bytes) = message.unwrap() else { continue };
        pictures[usize::from(bytes[3])] += usize::from(bytes[1] & 1 == 0);
        if pictures.iter().all(|count| *count >= PICTURES) {
            seen = None;
        }
        page.send(Message::text(acknowledgement(&bytes))).await.unwrap();
    }
    drop(seen);
}

async fn listen(address: SocketAddr) {
    let mut listener = EventClient::open(client().get(format!("http://{address}/api/events/live"))).await;
    while listener.piece().await.is_some() {}
}

/// The median of each figure while the load is equal, and the descriptors and threads by name at the last look. The
/// median, because requests and blocking work change them for a moment.
pub(crate) async fn measure(site: &Site) -> (Figures, Usage) {
    site.return_memory().await;
    pause(SETTLE).await;
    let (mut figures, mut tasks, mut last) = (Vec::new(), Vec::new(), None);
    for look in 1..=LOOKS {
        pause(LOOK_EVERY).await;
        let (now, usage) = site.figures();
        figures.push(now);
        last = Some(usage);
        if look % LOOKS_PER_REQUEST == 0 {
            tasks.push(site.tasks().await);
        }
    }
    let of = |figure: fn(&Figures) -> usize| median(figures.iter().map(figure).collect());
    let figures = Figures {
        resident_kib: of(|figures| figures.resident_kib),
        anonymous_kib: of(|figures| figures.anonymous_kib),
        descriptors: of(|figures| figures.descriptors),
        threads: of(|figures| figures.threads),
        tasks: median(tasks),
        groups: of(|figures| figures.groups),
    };
    (figures, last.unwrap())
}

pub(crate) fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}
