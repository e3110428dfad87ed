//! Any sequence of messages, tile events and time through the scheduler of `/api/live`, checked against a simple model
//! of what was sent: windows, budget and the time limit of video hold, and what was not sent is never acknowledged.
//! Four bytes of the input are one step.
#![no_main]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use framecast_outputs::live::scheduler::{MAX_TILES, NotSent, TilePace, Scheduler, WINDOW};
use libfuzzer_sys::fuzz_target;
use tokio::time::Instant;

/// What was sent to a tile: the number of pictures and parts of video, and those on their way.
#[derive(Default)]
struct Account {
    sent: u32,
    on_way: Vec<Sent>,
    /// Whether the tile was last announced to have video.
    is_video: bool,
    /// When the client last acknowledged something that it had not acknowledged before.
    acknowledged_at: Option<Instant>,
}

struct Sent {
    sequence: u32,
    /// The bytes that count for the budget: those of pictures.
    budget_bytes: u64,
    is_video: bool,
    at: Instant,
}

struct Run {
    scheduler: Scheduler,
    accounts: BTreeMap<u16, Account>,
    tiles: BTreeMap<u16, u8>,
    now: Instant,
}

impl Run {
    fn step(&mut self, [step, low, high, more]: [u8; 4]) {
        let tile = u16::from(low) | u16::from(high & 3) << 8;
        match step % 8 {
            0 => self.subscribe(tile, more),
            1 => {
                assert_eq!(self.scheduler.unsubscribe(tile), self.tiles.remove(&tile).is_some());
                self.accounts.entry(tile).or_default().on_way.clear();
            }
            2 if more % 2 == 0 => {
                self.scheduler.announce(tile);
                self.accounts.entry(tile).or_default().is_video = false;
            }
            2 => {
                self.scheduler.announce_video(tile);
                self.accounts.entry(tile).or_default().is_video = true;
            }
            3 => self.scheduler.withdraw(tile),
            4 => self.now += Duration::from_millis(u64::from(more) * u64::from(more)),
            5 => self.acknowledge(tile, u32::from(more)),
            6 => {
                let last = self.accounts.get(&tile).map(|account| account.sent).unwrap_or_default();
                self.acknowledge(tile, last.wrapping_sub(u32::from(more & 3)));
            }
            _ => self.send(u64::from(low) << (more % 20)),
        }
    }

    fn subscribe(&mut self, tile: u16, more: u8) {
        let priority = more % 101;
        let interval = Duration::from_millis(u64::from(more >> 4) * 10);
        let pace = TilePace { interval, priority, latency_budget: Duration::from_millis(10 + u64::from(more)) };
        let has_place = self.tiles.len() < MAX_TILES || self.tiles.contains_key(&tile);
        assert_eq!(self.scheduler.subscribe(tile, pace).is_ok(), has_place);
        if has_place {
            self.tiles.insert(tile, priority);
        }
    }

    fn send(&mut self, bytes: u64) {
        let Some(tile) = self.scheduler.next_tile(self.now) else { return };
        assert!(self.tiles[&tile] > 0, "the scheduler sends to a paused tile");
        let account = self.accounts.entry(tile).or_default();
        let (at, is_video) = (self.now, account.is_video);
        let sequence = if is_video {
            let oldest = account.on_way.first().map_or(at, |sent| sent.at);
            let probe_at = account.acknowledged_at.map(|since| since + Duration::from_millis(300));
            let may_send = at < oldest + Duration::from_secs(2) || probe_at.is_some_and(|probe_at| probe_at <= at);
            assert!(may_send, "the client acknowledges too late for more");
            self.scheduler.send_video(tile, bytes, SystemTime::UNIX_EPOCH, at)
        } else {
            assert!(account.on_way.len() < WINDOW);
            let (budget, before) = (self.scheduler.budget_bytes(), self.scheduler.in_flight_bytes());
            let is_alone = self.accounts.values().flat_map(|account| &account.on_way).all(|sent| sent.is_video);
            let sent = self.scheduler.send(tile, bytes, SystemTime::UNIX_EPOCH, at);
            assert_eq!(sent.is_some(), is_alone || before + bytes <= budget);
            let Some(sequence) = sent else { return };
            sequence
        };
        let account = self.accounts.entry(tile).or_default();
        account.sent += 1;
        assert_eq!(sequence, account.sent);
        let budget_bytes = if is_video { 0 } else { bytes };
        account.on_way.push(Sent { sequence, budget_bytes, is_video, at });
        self.scheduler.on_flushed(self.now);
    }

    fn acknowledge(&mut self, tile: u16, sequence: u32) {
        let account = self.accounts.entry(tile).or_default();
        let acknowledged = self.scheduler.acknowledge(tile, sequence, self.now);
        if sequence == 0 || sequence > account.sent {
            assert_eq!(acknowledged, Err(NotSent));
            return;
        }
        let before = account.on_way.len();
        account.acknowledged_at = account.on_way.first().filter(|sent| sent.sequence <= sequence).map(|_| self.now)
            .or(account.acknowledged_at);
        account.on_way.retain(|sent| sent.sequence > sequence);
        assert_eq!(acknowledged.expect("the picture was sent").pictures, before - account.on_way.len());
    }

    fn check(&self) {
        let on_way = self.accounts.values().flat_map(|account| &account.on_way);
        let (count, bytes) = on_way.fold((0, 0), |(count, sum), sent| (count + 1, sum + sent.budget_bytes));
        assert_eq!(self.scheduler.in_flight_bytes(), bytes);
        assert_eq!(self.scheduler.ack_deadline().is_some(), count > 0);
        assert_eq!(self.scheduler.tiles(), self.tiles.len());
        assert!(self.scheduler.next_due(self.now).is_none_or(|due| due > self.now));
    }
}

fuzz_target!(|data: &[u8]| {
    let (scheduler, now) = (Scheduler::new(), Instant::now());
    let mut run = Run { scheduler, accounts: BTreeMap::new(), tiles: BTreeMap::new(), now };
    for step in data.chunks_exact(4) {
        run.step([step[0], step[1], step[2], step[3]]);
        run.check();
    }
});
