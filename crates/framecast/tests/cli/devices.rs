//! `framecast devices`. The devices depend on the machine, so the test accepts an empty list and a full one.

use framecast_testkit_server::program::{framecast, run};
use serde_json::Value;

#[test]
fn the_list_is_for_people_or_json() {
    let (code, json, errors) = run(&mut framecast(&["devices", "--json"]));
    assert_eq!((code, errors.as_str()), (0, ""));
    let list: Value = serde_json::from_str(&json).unwrap();
    let devices = list["devices"].as_array().unwrap();
    let (code, text, errors) = run(&mut framecast(&["devices"]));
    assert_eq!((code, errors.as_str()), (0, ""));
    if devices.is_empty() {
        assert!(text.starts_with("No camera is plugged in") && text.contains("group"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    for device in devices {
        assert!(text.contains(&format!("{}\n", device["name"].as_str().unwrap())), "{text}");
    }
}

#[test]
fn the_list_takes_no_sources() {
    let (code, _, errors) = run(&mut framecast(&["devices", "emulated"]));
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn a_slip_in_its_name_is_told() {
    let (code, _, errors) = run(&mut framecast(&["device"]));
    assert_eq!(code, 2);
    assert!(errors.contains("did you mean `devices`?"), "{errors}");
}
