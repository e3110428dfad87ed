//! A Framecast that is killed while it writes: each event that it acknowledged is stored, once.
//!
//! `FRAMECAST_KILLS` sets the number of kills; the default is five.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use framecast_testkit::{pause, soon};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::history_server::{ask, client, labelled};
use crate::program::{Running, framecast};

/// How many programs set marks at the same time.
const MARKERS: usize = 6;

/// The ids of marks by label.
type Marks = BTreeMap<String, i64>;

/// Sets marks until the server is gone; returns the acknowledged ones, in order.
async fn mark(url: String, name: String, first: Arc<Notify>) -> Vec<(String, i64)> {
    let client = client();
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let label = format!("{name}/{n}");
        let Ok(answer) = ask(client.post(&url).body(labelled(&label))).await else { break };
        match answer.status {
            201 => {
                acknowledged.push((label, answer.json()["id"].as_i64().unwrap()));
                first.notify_one();
            }
            // The database was slow, and the server promised nothing.
            202 => {}
            status => panic!("{label}: {status} {}", answer.text()),
        }
    }
    assert!(acknowledged.is_sorted_by(|(_, a), (_, b)| a < b), "{acknowledged:?}");
    acknowledged
}

/// Kills the program of `config` repeatedly while marks are set.
pub async fn kill_while_writing(config: &Path) {
    let kills: usize = std::env::var("FRAMECAST_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let start = || Running::start(&mut framecast(&["--config", config.to_str().unwrap()]));
    let mut acknowledged = Marks::new();
    for run in 0..kills {
        let mut program = start();
        let url = format!("http://{}/api/events", program.address());
        let (mut markers, first) = (JoinSet::new(), Arc::new(Notify::new()));
        for marker in 0..MARKERS {
            markers.spawn(mark(url.clone(), format!("{run}/{marker}"), Arc::clone(&first)));
        }
        soon("a mark is acknowledged", first.notified()).await;
        // At any moment of its work.
        pause(Duration::from_millis(fastrand::u64(0..400))).await;
        program.signal(Signal::KILL);
        program.wait();
        let highest = acknowledged.values().max().copied().unwrap_or(0);
        for (label, id) in soon("the programs end", markers.join_all()).await.into_iter().flatten() {
            assert!(id > highest, "{label} has the id {id}, and the run before had {highest}");
            acknowledged.insert(label, id);
        }
    }
    assert!(acknowledged.len() >= kills, "{} marks in {kills} runs", acknowledged.len());
    let mut program = start();
    let url = format!("http://{}/api/events.ndjson?kind=mark&order=oldest", program.address());
    let table = ask(client().get(url)).await.unwrap();
    assert_eq!(table.status, 200);
    let text = table.text();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<i64> = events.iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "an id was given twice");
    let mut kept = Marks::new();
    for event in &events {
        let (label, id) = (event["text"].as_str().unwrap(), event["id"].as_i64().unwrap());
        assert_eq!(kept.insert(label.to_owned(), id), None, "{label} is there twice");
    }
    for (label, id) in &acknowledged {
        assert_eq!(kept.get(label), Some(id), "{label} was acknowledged");
    }
    assert!(program.terminate().0.success());
}

/// Writes a configuration for a program that stores events in `history`.
pub fn config(folder: &Path, history: &str) -> PathBuf {
    let path = folder.join("site.toml");
    let camera = "[[camera]]\nname = 'front'\nsource = 'emulated'\n";
    std::fs::write(&path, format!("listen = '127.0.0.1:0'\nhistory = '{history}'\n{camera}")).unwrap();
    path
}
