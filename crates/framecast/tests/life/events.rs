//! The events of cameras, as a test reads them.

use std::time::SystemTime;

use framecast::{Event, EventKind, EventReader, Received};
use framecast_testkit::soon;
use framecast_testkit_server::server::Server;

/// Waits for the next camera event.
pub(crate) async fn next(events: &mut EventReader) -> Event {
    loop {
        match soon("an event", events.next()).await.expect("the server runs") {
            Received::Event(event) if event.camera.is_some() => return event,
            Received::Event(_) => {}
            Received::Missed(count) => panic!("{count} events were missed"),
        }
    }
}

/// The kinds of the camera events so far.
pub(crate) async fn kinds(server: &Server, events: &mut EventReader) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    // The last event so far.
    server.tell(Event::new(EventKind::Mark, SystemTime::now()).with_camera("none"));
    loop {
        match next(events).await.kind {
            EventKind::Mark => return kinds,
            kind => kinds.push(kind),
        }
    }
}
