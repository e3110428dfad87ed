//! Any query of the history: it is parsed, or rejected with a short sentence, and a cursor made for it is accepted.
#![no_main]

use framecast::EventRequest;
use framecast_history::Key;
use libfuzzer_sys::fuzz_target;

const KNOWN: [&str; 11] =
    ["camera", "kind", "from", "to", "since", "order", "limit", "cursor", "after", "zone", "format"];

fuzz_target!(|query: &str| {
    let cameras = ["front", "yard", "n\u{e4}h"].map(str::to_owned);
    let parse = |query: &str| EventRequest::parse(query, &KNOWN, 1_795_442_400_000, &cameras);
    match parse(query) {
        Ok(request) => {
            let key = Key { at_ms: 1_795_442_400_000, id: i64::try_from(query.len()).unwrap_or_default() };
            // A later cursor overrides an earlier one.
            let again = format!("{query}&cursor={}", request.cursor(key));
            let again = parse(&again).expect("a query accepts its own cursor");
            assert_eq!(again.after, Some(key));
            assert_eq!(again.query, request.query);
        }
        Err(problem) => assert!(problem.to_string().len() < 2000, "{problem}"),
    }
});
