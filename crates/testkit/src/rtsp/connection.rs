//! One connection of a client: answers its requests, and sends the pictures of its session in between.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtsp_types::headers::{
    AUTHORIZATION, CONTENT_BASE, CONTENT_TYPE, CSEQ, HeaderName, LOCATION, PUBLIC, RTP_INFO,
    RtpLowerTransport, SESSION, TRANSPORT, Transport, Transports, WWW_AUTHENTICATE,
};
use rtsp_types::{Message, Method, ParseError, Request, Response, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::camera::FakeCamera;
use super::fault::Fault;
use super::link::Link;
use super::player::Player;
use super::sdp;
use crate::wait::pause;

/// A time that no test lasts.
const FOREVER: Duration = Duration::from_secs(86_400);

/// A session of this connection.
struct Session {
    camera: Arc<FakeCamera>,
    number: u64,
    id: String,
    tracks: BTreeMap<usize, Link>,
    player: Option<Player>,
    heard_at: Instant,
}

/// A connection and its session, if it has one.
pub(super) struct Connection {
    cameras: Arc<[Arc<FakeCamera>]>,
    client: IpAddr,
    /// The camera of the last request.
    camera: Arc<FakeCamera>,
    session: Option<Session>,
}

/// A request with what it is about.
struct Asked<'r> {
    request: &'r Request<Vec<u8>>,
    camera: Arc<FakeCamera>,
    /// The number of the track in the URL.
    track: Option<usize>,
    faults: Vec<Fault>,
}

/// An answer: the status, the headers and the body.
type Answer = (StatusCode, Vec<(HeaderName, String)>, String);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            let keeps = |fault: &Fault| matches!(fault, Fault::FewSessions(_));
            let is_kept = session.camera.faults().borrow().iter().any(keeps);
            session.camera.close(&session.id, is_kept.then_some(session.camera.setup.session_timeout));
        }
    }
}

impl Connection {
    /// Serves a client of these cameras until one of the two ends the connection.
    pub(super) async fn run(mut tcp: TcpStream, cameras: Arc<[Arc<FakeCamera>]>) {
        let Ok(client) = tcp.peer_addr() else { return };
        tcp.set_nodelay(true).ok();
        let camera = Arc::clone(&cameras[0]);
        let mut connection = Self { cameras, client: client.ip(), camera, session: None };
        connection.serve(&mut tcp).await.ok();
    }

    async fn serve(&mut self, tcp: &mut TcpStream) -> io::Result<()> {
        let mut received = Vec::new();
        loop {
            while let Some(request) = next_request(&mut received)? {
                let answer = self.answer(&request).await;
                tcp.write_all(&answer).await?;
                if answer.starts_with(b"HTTP") {
                    return Ok(());
                }
            }
            let camera = Arc::clone(self.session.as_ref().map_or(&self.camera, |session| &session.camera));
            let mut changes = camera.faults();
            let faults = changes.borrow_and_update().clone();
            if self.has_ended(tcp, &faults)? {
                return Ok(());
            }
            tokio::select! {
                len = tcp.read_buf(&mut received) => {
                    if len? == 0 {
                        return Ok(());
                    }
                }
                () = due(&self.session) => {
                    if let Some(player) = self.session.as_mut().and_then(|session| session.player.as_mut()) {
                        // They may have changed since the wait began.
                        let faults = camera.faults().borrow().clone();
                        tcp.write_all(&player.send(&faults).await).await?;
                    }
                }
                () = pause(self.next_end(&faults)) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Whether the camera ends the connection now: because of a fault, or of a session whose client is not heard.
    fn has_ended(&mut self, tcp: &TcpStream, faults: &[Fault]) -> io::Result<bool> {
        let Some(session) = &self.session else { return Ok(false) };
        if !session.camera.has_session(&session.id) {
            self.session = None;
            return Ok(false);
        }
        if session.heard_at.elapsed() >= session.camera.setup.session_timeout {
            session.camera.count(|counts| counts.timeouts += 1);
            return Ok(true);
        }
        let Some(player) = &session.player else { return Ok(false) };
        if faults.iter().any(|fault| matches!(fault, Fault::Reset(after) if player.age() >= *after)) {
            tcp.set_zero_linger()?;
            return Ok(true);
        }
        Ok(faults.iter().any(|fault| matches!(fault, Fault::Fin(after) if player.age() >= *after)))
    }

    /// The time until [`Connection::has_ended`] may return something else.
    fn next_end(&self, faults: &[Fault]) -> Duration {
        let Some(session) = &self.session else { return FOREVER };
        let timeout = session.camera.setup.session_timeout.saturating_sub(session.heard_at.elapsed());
        let Some(player) = &session.player else { return timeout };
        let ends = faults.iter().filter_map(|fault| match fault {
            Fault::Fin(after) | Fault::Reset(after) => Some(after.saturating_sub(player.age())),
            _ => None,
        });
        ends.fold(timeout, Duration::min)
    }

    /// The answer to `request`, as bytes.
    async fn answer(&mut self, request: &Request<Vec<u8>>) -> Vec<u8> {
        let (camera, track) = match self.addressed(request) {
            Some(addressed) => addressed,
            None if request.method() == Method::Options => (Arc::clone(&self.camera), None),
            None => return written(request, 0, (StatusCode::NotFound, Vec::new(), String::new())),
        };
        self.camera = Arc::clone(&camera);
        camera.count(|counts| counts.requests += 1);
        let faults = camera.faults().borrow().clone();
        for fault in &faults {
            match fault {
                Fault::SlowAnswers(time) => pause(*time).await,
                Fault::HttpAnswer => {
                    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
                }
                _ => {}
            }
        }
        let is_keep_alive = self.hear(request);
        let wrong_by = if is_keep_alive && faults.contains(&Fault::WrongCseq) { 7 } else { 0 };
        let asked = Asked { request, camera, track, faults };
        let answer = match refusal(&asked, is_keep_alive) {
            Some(refusal) => refusal,
            None => self.comply(&asked).await,
        };
        written(request, wrong_by, answer)
    }

    /// Does what is asked for.
    async fn comply(&mut self, asked: &Asked<'_>) -> Answer {
        let Asked { request, camera, faults, .. } = asked;
        let setup = &camera.setup;
        match request.method() {
            Method::Options => {
                let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN";
                ok(vec![(PUBLIC, methods.to_owned())])
            }
            Method::Describe if faults.contains(&Fault::Moved) => {
                let place = self.cameras.iter().position(|other| Arc::ptr_eq(other, camera)).unwrap_or(0);
                let next = &self.cameras[(place + 1) % self.cameras.len()];
                (StatusCode::Found, vec![(LOCATION, next.url())], String::new())
            }
            Method::Describe => {
                let base = (CONTENT_BASE, format!("{}/", camera.url()));
                let kind = (CONTENT_TYPE, "application/sdp".to_owned());
                let sdp = sdp::describe(&setup.clip, setup.has_audio, faults);
                (StatusCode::Ok, vec![base, kind], sdp)
            }
            Method::Setup => self.set_up(asked).await,
            Method::Play => self.play(faults),
            Method::GetParameter | Method::SetParameter => ok(Vec::new()),
            Method::Teardown => {
                let is_closed = session_id(request).is_some_and(|id| camera.close(id, None));
                if !is_closed {
                    return status(StatusCode::SessionNotFound);
                }
                camera.count(|counts| counts.teardowns += 1);
                self.session = None;
                ok(Vec::new())
            }
            _ => status(StatusCode::NotImplemented),
        }
    }

    /// Opens a session, if there is none, and adds a track to it.
    async fn set_up(&mut self, asked: &Asked<'_>) -> Answer {
        let Asked { camera, faults, .. } = asked;
        let track = asked.track.unwrap_or(sdp::VIDEO);
        if track == sdp::BACK_CHANNEL {
            camera.count(|counts| counts.back_channel_setups += 1);
        }
        let payload_type = if track == sdp::VIDEO { sdp::payload_type(camera.setup.clip.codec) } else { 0 };
        let Some((link, mut transport)) = self.link(asked, payload_type).await else {
            return status(StatusCode::UnsupportedTransport);
        };
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let open = camera.counts().open;
                if faults.iter().any(|fault| matches!(fault, Fault::FewSessions(most) if open >= *most)) {
                    return status(StatusCode::NotEnoughBandwidth);
                }
                let (number, id) = camera.open();
                let (camera, tracks, heard_at) = (Arc::clone(camera), BTreeMap::new(), Instant::now());
                none.insert(Session { camera, number, id, tracks, player: None, heard_at })
            }
        };
        transport.push_str(&format!(";ssrc={:08X}", link.ssrc));
        session.tracks.insert(track, link);
        let id = format!("{};timeout={}", session.id, camera.setup.session_timeout.as_secs());
        ok(vec![(TRANSPORT, transport), (SESSION, id)])
    }

    /// The way to the client by the first transport of the request that the camera has, and the header that says so.
    async fn link(&self, asked: &Asked<'_>, payload_type: u8) -> Option<(Link, String)> {
        let Asked { request, faults, .. } = asked;
        let transports = request.typed_header::<Transports>().ok()??;
        for transport in transports.iter() {
            let Transport::Rtp(rtp) = transport else { continue };
            let params = &rtp.params;
            if rtp.lower_transport == Some(RtpLowerTransport::Tcp) {
                if faults.contains(&Fault::NoTcp) {
                    continue;
                }
                let used = self.session.as_ref().map_or(0, |session| session.tracks.len());
                let channel = params.interleaved.map_or(2 * used as u8, |(channel, _)| channel);
                let header = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
                return Some((Link::interleaved(channel, payload_type), header));
            }
            let Some((rtp, rtcp)) = params.client_port.filter(|_| !faults.contains(&Fault::NoUdp)) else {
                continue;
            };
            let ports = (rtp, rtcp.unwrap_or(rtp + 1));
            let (link, port) = Link::udp(self.client, ports, payload_type).await.ok()?;
            let (client, server) = (format!("{}-{}", ports.0, ports.1), format!("{port}-{}", port + 1));
            return Some((link, format!("RTP/AVP;unicast;client_port={client};server_port={server}")));
        }
        None
    }

    fn play(&mut self, faults: &[Fault]) -> Answer {
        let Some(session) = &mut self.session else { return status(StatusCode::SessionNotFound) };
        let mut headers = vec![(SESSION, session.id.clone())];
        if session.player.is_none() {
            let (video, audio) = (session.tracks.remove(&sdp::VIDEO), session.tracks.remove(&sdp::AUDIO));
            let camera = Arc::clone(&session.camera);
            let player = session.player.insert(Player::new(camera, session.number, video, audio, faults));
            if !faults.contains(&Fault::NoRtpInfo) {
                headers.push((RTP_INFO, player.rtp_info(&session.camera.url())));
            }
        }
        ok(headers)
    }

    /// Notes that the client of the session is there. Returns whether `request` serves only to say that.
    fn hear(&mut self, request: &Request<Vec<u8>>) -> bool {
        let Some(session) = &mut self.session else { return false };
        if session_id(request) != Some(&session.id) {
            return false;
        }
        session.heard_at = Instant::now();
        let keeps = [Method::Options, Method::GetParameter, Method::SetParameter];
        let is_keep_alive = session.player.is_some() && keeps.iter().any(|method| request.method() == method);
        session.camera.count(|counts| counts.keep_alives += u64::from(is_keep_alive));
        is_keep_alive
    }

    /// The camera and the track that the URL of `request` names.
    fn addressed(&self, request: &Request<Vec<u8>>) -> Option<(Arc<FakeCamera>, Option<usize>)> {
        let mut segments = request.request_uri()?.path_segments()?;
        let number: usize = segments.next()?.strip_prefix("cam")?.parse().ok()?;
        let track = segments.next().and_then(|track| track.strip_prefix("track")?.parse().ok());
        Some((Arc::clone(self.cameras.get(number)?), track))
    }
}

/// Waits until the session's next picture is due; for ever if it does not play.
async fn due(session: &Option<Session>) {
    match session.as_ref().and_then(|session| session.player.as_ref()) {
        Some(player) => player.due().await,
        None => std::future::pending().await,
    }
}

/// Takes the next request from the front of `received`. What the client sends as packets is ignored.
fn next_request(received: &mut Vec<u8>) -> io::Result<Option<Request<Vec<u8>>>> {
    while !received.is_empty() {
        match Message::<Vec<u8>>::parse(received) {
            Ok((message, len)) => {
                received.drain(..len);
                if let Message::Request(request) = message {
                    return Ok(Some(request));
                }
            }
            Err(ParseError::Incomplete(_)) => return Ok(None),
            Err(ParseError::Error) => return Err(io::Error::other("no message of RTSP")),
        }
    }
    Ok(None)
}

fn session_id(request: &Request<Vec<u8>>) -> Option<&str> {
    request.header(&SESSION)?.as_str().split(';').next().map(str::trim)
}

/// The answer that refuses what is asked for, if the camera does.
fn refusal(asked: &Asked<'_>, is_keep_alive: bool) -> Option<Answer> {
    let Asked { request, camera, faults, .. } = asked;
    let needs_login = request.method() != Method::Options || faults.contains(&Fault::LoginForOptions);
    if let Some(login) = camera.setup.login.as_ref().filter(|_| needs_login) {
        let given = request.header(&AUTHORIZATION);
        let method = <&str>::from(request.method());
        if !given.is_some_and(|given| login.lets_in(method, given.as_str())) {
            let challenge = vec![(WWW_AUTHENTICATE, login.challenge())];
            return Some((StatusCode::Unauthorized, challenge, String::new()));
        }
    }
    let code = faults.iter().find_map(|fault| match fault {
        Fault::KeepAliveRefused(code) if is_keep_alive => Some(*code),
        Fault::PlayRefused(code) if request.method() == Method::Play => Some(*code),
        _ => None,
    });
    let login = camera.setup.login.as_ref().filter(|_| code == Some(401));
    let challenge = login.map(|login| (WWW_AUTHENTICATE, login.challenge()));
    code.map(|code| (code.into(), challenge.into_iter().collect(), String::new()))
}

fn ok(headers: Vec<(HeaderName, String)>) -> Answer {
    (StatusCode::Ok, headers, String::new())
}

fn status(status: StatusCode) -> Answer {
    (status, Vec::new(), String::new())
}

/// `answer` to `request` as bytes, with its number plus `wrong_by`.
fn written(request: &Request<Vec<u8>>, wrong_by: u32, (status, headers, body): Answer) -> Vec<u8> {
    let number = request.header(&CSEQ).and_then(|number| number.as_str().parse().ok()).unwrap_or(0_u32);
    let mut builder = Response::builder(Version::V1_0, status).header(CSEQ, (number + wrong_by).to_string());
    if let Some(session) = session_id(request).filter(|_| !headers.iter().any(|(name, _)| *name == SESSION)) {
        builder = builder.header(SESSION, session);
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let mut bytes = Vec::new();
    let response = builder.build(body.into_bytes());
    response.write(&mut bytes).expect("memory can be written");
    bytes
}
