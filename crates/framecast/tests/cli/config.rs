//! What `check` and serving refuse: both exit with code 2 and the same message, which says where the error is and what
//! to write instead.

use std::fs;
use std::path::Path;

use framecast_testkit_server::program::{framecast, run};

/// The message of both commands about a file with this content, without `error: ` and the folder.
fn refusal(content: impl AsRef<[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.toml"), content).unwrap();
    let [checked, served] = [&["check", "--config", "site.toml"][..], &["--config", "site.toml"]]
        .map(|arguments| run(framecast(arguments).current_dir(folder.path())));
    assert_eq!(checked, served);
    let (code, stdout, stderr) = checked;
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    stderr.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

/// The message about one more line in a camera.
fn refusal_of_camera(line: &str) -> String {
    refusal(format!("[[camera]]\nname = \"front\"\nsource = \"emulated\"\n{line}\n"))
}

#[test]
fn an_unknown_key_is_told_where_it_is_and_what_is_nearest() {
    assert_eq!(refusal("\n  lisen = \":1\"\n"), "site.toml:2:3: unknown key `lisen`; did you mean `listen`?");
    let error = refusal_of_camera("idle_timout = \"1s\"");
    assert_eq!(error, "site.toml:4:1: unknown key `idle_timout`; did you mean `idle_timeout`?");
    let error = refusal_of_camera("zzz = 1");
    let keys = framecast::config::keys();
    let known: Vec<&str> = keys.iter().filter(|key| key.section == "camera").map(|key| key.name).collect();
    assert_eq!(error, format!("site.toml:4:1: unknown key `zzz`; known keys: {}", known.join(", ")));
}

#[test]
fn a_key_that_is_said_elsewhere_is_told_where() {
    for (line, told) in [
        (
            "fps = 5",
            "4:1: `fps` is part of the source: source = \"/dev/video0?fps=5\", or after a camera's address",
        ),
        ("size = \"1x1\"", "4:1: a size is part of the source: source = \"/dev/video0?size=1280x720\""),
        (
            "enabled = false",
            "4:1: the server serves every camera in the file, and opens it when someone watches",
        ),
        (
            "password = \"s3cret\"",
            "4:1: a camera's login is part of its source: source = \"http://USER:PASSWORD@HOST/…",
        ),
    ] {
        let error = refusal_of_camera(line);
        assert!(error.starts_with(&format!("site.toml:{told}")) && !error.contains("s3cret"), "{error}");
    }
    let error = refusal("password = \"s3cret\"\n");
    assert!(error.contains("set FRAMECAST_PASSWORD") && !error.contains("s3cret"), "{error}");
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let error = refusal("max_fps = 3\n");
    assert_eq!(error, "site.toml:1:1: `max_fps` belongs to a camera, below its [[camera]]");
    let error = refusal_of_camera("listen = \":1\"");
    assert_eq!(error, "site.toml:4:1: `listen` belongs at the top of the file, before the first [[camera]]");
}

#[test]
fn two_cameras_of_one_name_are_refused_at_the_second() {
    let camera = "[[camera]]\nname = \"a\"\nsource = \"emulated\"\n";
    let error = refusal(format!("{camera}\n{camera}"));
    assert_eq!(error, "site.toml:6:8: two cameras are called `a`; the first is on line 2");
}

#[test]
fn a_camera_needs_name_and_source_and_two_brackets() {
    assert_eq!(refusal("\n[[camera]]\nname = \"a\"\n"), "site.toml:2:1: this camera has no `source`");
    assert_eq!(refusal("[[camera]]\nsource = \"emulated\"\n"), "site.toml:1:1: this camera has no `name`");
    let error = refusal("[[camera]]\nname = \"a\"\nsorce = \"emulated\"\n");
    assert_eq!(error, "site.toml:3:1: unknown key `sorce`; did you mean `source`?");
    let error = refusal("[[camera]]\nnmae = \"a\"\nsource = \"emulated\"\n");
    assert_eq!(error, "site.toml:2:1: unknown key `nmae`; did you mean `name`?");
    let error = refusal("[[webhook]]\nulr = \"http://hook.example/\"\n");
    assert_eq!(error, "site.toml:2:1: unknown key `ulr`; did you mean `url`?");
    let error = refusal("[camera]\nname = \"a\"\n");
    assert!(error.starts_with("site.toml:1:1: ") && error.contains("[[camera]]"), "{error}");
}

#[test]
fn bad_values_are_told_with_their_place_and_an_example() {
    for (line, expected) in [
        (
            "stall_timeout = \"5x\"",
            "4:17: stall_timeout: found `5x`, expected a duration like \"10s\", \"200ms\" or \"5min\"",
        ),
        (
            "stall_timeout = 5",
            "4:17: stall_timeout: found integer `5`, expected a duration like \"10s\", \"200ms\" or \"5min\"",
        ),
        ("stall_timeout = \"0s\"", "4:17: stall_timeout must be longer than 0s, and at most 366d"),
        ("probe = \"5s\"", "4:9: probe must be from 10s to 366d, or \"never\""),
        ("idle_timeout = \"900 years\"", "4:16: idle_timeout must be from 0s to 366d, or \"never\""),
        (
            "max_picture = \"big\"",
            "4:15: max_picture: found `big`, expected a size like \"16MiB\" or \"500kB\"",
        ),
        ("controls = 3", "4:12: controls: found integer `3`, expected a table"),
        (
            "controls = { gain = 1.5 }",
            "4:21: gain: found floating point `1.5`, expected true, false, a whole number or text",
        ),
        (
            "[camera.controls]\n\"\" = 1",
            "5:1: `` is not a name for a control; /api/cameras/NAME/controls lists those of a camera",
        ),
        ("max_picture = \"1B\"", "4:15: max_picture must be from 1KiB to 1GiB"),
        ("max_fps = 0", "4:11: max_fps must be from 0.01 to 10000"),
        ("quality = 0", "4:11: quality must be from 1 to 100"),
        ("max_fps = nan", "4:11: max_fps must be from 0.01 to 10000"),
        ("quality = \"80\"", "4:11: quality: found string \"80\", expected a whole number from 1 to 100"),
        ("max_fps = \"30\"", "4:11: max_fps: found string \"30\", expected a number"),
    ] {
        assert_eq!(refusal_of_camera(line), format!("site.toml:{expected}"), "{line}");
    }
    for (line, expected) in [
        ("max_connections = 0", "1:19: max_connections must be at least 1"),
        (
            "max_connections = -3",
            "1:19: max_connections: found integer `-3`, expected a whole number of at least 1",
        ),
        ("drop_in = 1", "1:11: drop_in: found integer `1`, expected true or false"),
        ("listen = [1]", "1:10: listen: found a list, expected a string"),
        (
            "cors_origins = [\"dash\"]",
            "1:17: `dash` is not an origin; write it like https://dashboard.example, without a path and \
             without `*`, or write \"*\" for all origins",
        ),
        (
            "allowed_hosts = [\"a\", \"http://b/\"]",
            "1:23: `http://b/` is not a host name; write it like cam.example or cam.example:8080",
        ),
        (
            "listen = \"5000\"",
            "1:10: `5000` is not an address to listen on; did you mean 127.0.0.1:5000, or 0.0.0.0:5000 for the \
             network?",
        ),
        ("user = \"me\"", "1:8: user `me` needs a password: set FRAMECAST_PASSWORD in the environment"),
        ("probe = \"9s\"", "1:9: probe must be from 10s to 366d, or \"never\""),
        (
            "monitor_addresses = [\"loopback\", \"monitor.lan\"]",
            "1:34: `monitor.lan` is not an address; write it like 192.168.1.2, 10.0.0.0/8, \"loopback\" or \"unix\"",
        ),
        (
            "user = \"a:b\"",
            "1:8: `***` is not a user name: it must not be empty and must not contain a colon or control \
             characters; put the password into FRAMECAST_PASSWORD",
        ),
    ] {
        assert_eq!(refusal(line), format!("site.toml:{expected}"), "{line}");
    }
}

#[test]
fn all_values_that_are_wrong_are_told_in_the_order_of_the_file() {
    let content = "max_viewers = 0\nwriter_threads = 0\nwrite_timeout = \"0s\"\nlisten = \"5000\"\n\
        allowed_hosts = [\"a/\", \"b\", \"c/\"]\n\
        [[camera]]\nname = \"a\"\nsource = \"nope:\"\nquality = 300\nidle_timeout = \"1x\"\n\
        [[camera]]\nname = \"a\"\nsource = \"emulated\"\n\
        [[webhook]]\nurl = \"x\"\nkinds = [\"lost\", \"lots\"]\ncameras = []\n";
    let told = refusal(content);
    let begins = [
        "site.toml:1:15: max_viewers must be at least 1",
        "error: site.toml:2:18: writer_threads must be from 1 to 256",
        "error: site.toml:3:17: write_timeout must be longer than 0s, and at most 366d",
        "error: site.toml:4:10: `5000` is not an address to listen on",
        "error: site.toml:5:18: `a/` is not a host name",
        "error: site.toml:5:29: `c/` is not a host name",
        "error: site.toml:8:10: no driver for `nope:`",
        "error: site.toml:9:11: quality: found integer `300`, expected a whole number from 1 to 100",
        "error: site.toml:10:16: idle_timeout: found `1x`, expected a duration",
        "error: site.toml:12:8: two cameras are called `a`; the first is on line 7",
        "error: site.toml:15:7: this is not a URL",
        "error: site.toml:16:18: unknown kind of event `lots`",
        "error: site.toml:17:11: this list must not be empty",
    ];
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), begins.len(), "{told}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}, and not {begin}");
    }
}

#[test]
fn of_errors_of_syntax_and_of_type_the_first_is_told() {
    assert_eq!(
        refusal("max_viewers = 0\nlisten = 5000\nmax_connections = \"many\"\nlisen = 1\n"),
        "site.toml:2:10: listen: found integer `5000`, expected a string"
    );
    let error = refusal("max_viewers = 0\nlisten = \"5000\"\n= 1\n= 2\n");
    assert!(error.starts_with("site.toml:3:1: ") && error.lines().count() == 1, "{error}");
}

/// The warnings of `check` about a file with this content, which is valid.
fn warnings(content: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.toml"), content).unwrap();
    let (code, _, stderr) = run(framecast(&["check", "--config", "site.toml"]).current_dir(folder.path()));
    assert_eq!(code, 0, "{stderr}");
    stderr.lines().map(|line| line.strip_prefix("warning: ").unwrap().to_owned()).collect()
}

#[test]
fn an_old_key_works_with_a_warning_that_names_the_new_one() {
    let camera = "[[camera]]\nname = \"front\"\nsource = \"emulated\"\nfreshness = \"500ms\"\n";
    let found = warnings(&format!("freshness = \"100ms\"\nwriters = 2\n{camera}"));
    let warning = |position: &str, old: &str, new: &str| {
        format!(
            "site.toml:{position}: `{old}` is now called `{new}`: rename it; the next release rejects \
             the old name"
        )
    };
    assert_eq!(
        found,
        [
            warning("1:13", "freshness", "latency_budget"),
            warning("2:11", "writers", "writer_threads"),
            warning("6:13", "freshness", "latency_budget"),
        ]
    );
    let found = warnings("latency_budget = \"100ms\"\nwriter_threads = 2\n");
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(refusal("freshness = \"1h\"\n"), "site.toml:1:13: latency_budget must be from 10ms to 1min");
}

#[test]
fn a_key_under_both_names_is_refused() {
    let error = refusal("latency_budget = \"1s\"\nfreshness = \"1s\"\n");
    let message =
        "`freshness` is the old name of `latency_budget`, and both are set here: remove `freshness`";
    assert_eq!(error, format!("site.toml:2:13: {message}"));
    assert_eq!(
        refusal_of_camera("freshness = \"1s\"\nlatency_budget = \"1s\""),
        format!("site.toml:4:13: {message}")
    );
    let error = refusal("writers = 1\nwriter_threads = 1\n");
    assert!(error.starts_with("site.toml:1:11: `writers` is the old name of `writer_threads`"), "{error}");
}

#[test]
fn a_source_is_checked_where_it_stands() {
    let of_source = |source: &str| refusal(format!("[[camera]]\nname = \"a\"\nsource = \"{source}\"\n"));
    let error = of_source("nope:x");
    assert!(
        error.starts_with("site.toml:3:10: no driver for `nope:`; known drivers: emulated:, "),
        "{error}"
    );
    let error = of_source("emulated:?size=1x1");
    assert_eq!(
        error,
        "site.toml:3:10: emulated: option `size`: must be like 1280x720, each side from 64 to 4096"
    );
    let error = of_source("film.mp4");
    assert!(error.starts_with("site.toml:3:10: `film.mp4` is not a source; play a video file"), "{error}");
    assert!(error.contains("`exec:ffmpeg -v error -re -stream_loop -1 -i VIDEO "), "{error}");
    let error = of_source("http://");
    assert!(error.starts_with("site.toml:3:10: `http"), "{error}");
}

#[test]
fn a_name_that_cannot_stand_in_a_url_is_refused() {
    for name in ["", "a b", "a/b", "..", ".hidden", "a?b", "ü\\u0000", &"x".repeat(65)] {
        let error = refusal(format!("[[camera]]\nname = \"{name}\"\nsource = \"emulated\"\n"));
        assert!(error.starts_with("site.toml:2:8: `"), "{error}");
        assert!(error.ends_with("up to 64 letters, digits, `-`, `_` and `.`, as in `front-door`"), "{error}");
    }
}

#[test]
fn broken_toml_is_told_once_with_its_place() {
    let error = refusal("listen = \":1\"\n[[camera]\n");
    assert_eq!(error, "site.toml:2:10: unclosed array table, expected `]`");
    assert_eq!(
        refusal("listen = \":1\"\nlisten = \":2\"\n"),
        "site.toml:2:1: `listen` is set twice; the first time on line 1"
    );
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let error = refusal(b"# fine\nlisten = \"\xFF\"\n");
    assert_eq!(error, "site.toml:2: this is not UTF-8 text (byte 17)");
}

#[test]
fn a_file_that_is_much_too_large_is_refused() {
    let error = refusal(vec![b'#'; (16 << 20) + 1]);
    assert_eq!(error, "site.toml is larger than 16 MiB: is it a configuration file?");
}

#[test]
fn a_file_that_is_missing_or_a_folder_is_named() {
    let (code, _, errors) = run(&mut framecast(&["check", "--config", "nowhere.toml"]));
    assert_eq!(
        (code, errors.trim()),
        (2, "error: cannot read nowhere.toml: No such file or directory (os error 2)")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, _, errors) = run(&mut framecast(&["check", "--config", path]));
    assert_eq!(
        (code, errors.trim()),
        (2, &*format!("error: cannot read {path}: Is a directory (os error 21)"))
    );
}

#[test]
fn bad_arguments_are_refused_by_their_name() {
    for (arguments, expected) in [
        (&["--listen", "foo", "emulated"][..], "--listen: `foo` is not an address to listen on"),
        (
            &["--listen", "5012"],
            "--listen: `5012` is not an address to listen on; did you mean 127.0.0.1:5012, or 0.0.0.0:5012",
        ),
        (
            &["--listen", "0.0.0.0"],
            "--listen: `0.0.0.0` is not an address to listen on; it needs a port: 0.0.0.0:5000",
        ),
        (&["localhost:8080"], "camera `camera`: no driver for `localhost:`; known drivers: emulated:"),
        (
            &["192.168.1.20:8080/x"],
            "camera `camera`: `192.168.1.20:8080` is not a source; did you mean `http://ADDRESS`?",
        ),
        (&["exec:"], "camera `camera`: `exec:` names no program; write for example `exec:ffmpeg"),
        (&["./wall.toml"], "`./wall.toml` is not a source; did you mean --config wall.toml?"),
        (&["wall.toml"], "`wall.toml` is not a source; did you mean --config wall.toml?"),
        (
            &["front=/srv/wall.toml"],
            "`/srv/wall.toml` is not a source; did you mean --config /srv/wall.toml?",
        ),
        (
            &["http:/cam/x"],
            "camera `camera`: `http:` needs two slashes before the host; write `http://ADDRESS`",
        ),
        (&["serv"], "`serv` is neither a command nor a source; did you mean `serve`?"),
        (&["chekc", "emulated"], "`chekc` is neither a command nor a source; did you mean `check`?"),
        (&["a=emulated", "a=emulated"], "two cameras are called `a`"),
        (&["a:b=emulated"], "camera `camera`: no driver for `a:`; known drivers: emulated:"),
        (&["front=nope:x"], "camera `front`: no driver for `nope:`; known drivers: emulated:"),
        (&["--user", "me", "emulated"], "--user: user `me` needs a password: set FRAMECAST_PASSWORD"),
        (&["--user", "", "emulated"], "--user: `` is not a user name"),
    ] {
        for command in ["check", "serve"] {
            let (code, _, errors) = run(framecast(&[command]).args(arguments));
            assert_eq!(code, 2, "{errors}");
            assert!(errors.starts_with(&format!("error: {expected}")), "{errors}");
        }
    }
}

#[test]
fn all_that_is_wrong_on_the_command_line_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.toml"), "max_viewers = 0\nwriter_threads = 0\n").unwrap();
    let arguments = [
        "--config=site.toml",
        "a=nope:",
        "wall.toml",
        "b=test:?fps=x",
        "a=emulated",
        "--listen=foo",
        "--allowed-host=http://x/",
        "--allowed-host=y",
        "--user=a:b",
        "--log=debgu",
    ];
    let expected = [
        "site.toml:1:15: max_viewers must be at least 1",
        "site.toml:2:18: writer_threads must be from 1 to 256",
        "camera `a`: no driver for `nope:`",
        "`wall.toml` is not a source",
        "camera `b`: test: option `fps`: must be a number",
        "two cameras are called `a`",
        "--listen: `foo` is not an address",
        "--allowed-host: `http://x/` is not a host name",
        "--user: `***` is not a user name",
    ];
    let (code, stdout, errors) =
        run(framecast(&["check"]).args(arguments).current_dir(folder.path() as &Path));
    assert_eq!((code, stdout.as_str()), (2, ""));
    let errors: Vec<&str> = errors.lines().collect();
    for (told, expected) in errors.iter().zip(expected.iter().chain(&["--log debgu: must be "])) {
        assert!(told.starts_with(&format!("error: {expected}")), "{errors:#?}");
    }
    assert_eq!(errors.len(), expected.len() + 1, "{errors:#?}");
}

#[test]
fn an_option_of_a_source_that_is_wrong_or_there_twice_is_told_by_its_name() {
    for (source, expected) in [
        ("test:?FPS=3", "test: unknown option `FPS`; known options: "),
        ("test:?siz", "test: unknown option `siz`; known options: "),
        ("test:?sz", "test: unknown option `sz`; known options: "),
        ("test:?size2=64x64", "test: unknown option `size2`; known options: "),
        ("http://cam/#tmo=3s", "http: unknown option `tmo`; known options: "),
        ("http://cam/#s3cret", "http: unknown option `***`; known options: "),
        ("http://cam/#tmout", "http: unknown option `tmout`; known options: "),
        ("http://cam/#hush", "http: unknown option `***`; known options: "),
        ("test:?a1b2c3d4=1", "test: unknown option `***`; known options: "),
        ("test:?fps=3&fps=5", "test: option `fps`: is there twice; remove one"),
        ("http://cam/#timeout=3s&silence=5s&timeout=", "http: option `timeout`: is there twice; remove one"),
    ] {
        let (code, _, errors) = run(&mut framecast(&["check", source]));
        assert_eq!(code, 2, "{errors}");
        assert!(errors.starts_with(&format!("error: camera `camera`: {expected}")), "{errors}");
    }
}

#[test]
fn controls_of_a_camera_that_can_have_none_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let content = "[[camera]]\nname = \"a\"\nsource = \"emulated\"\ncontrols = { zoom = 3 }\n\
                   [[camera]]\nname = \"b\"\nsource = \"emulated\"\n";
    fs::write(folder.path().join("framecast.toml"), content).unwrap();
    let (code, _, errors) = run(framecast(&["check"]).current_dir(folder.path()));
    let expected = "warning: camera `a`: `emulated:` cameras have no controls, so the server cannot set `zoom`; \
                    remove the camera's controls from the file\n";
    assert_eq!((code, errors.as_str()), (0, expected));
}

#[test]
fn a_bad_filter_of_the_log_is_refused() {
    let expected = "must be error, warn, info, debug or trace, or PART=LEVEL,…";
    let of_part = "unknown part `framecst`; did you mean `framecast`?";
    for (filter, expected) in [
        ("a=b=c", expected),
        ("debgu", expected),
        ("info,framecast", expected),
        ("warn,framecst=debug", of_part),
        ("framecst::http=debug", of_part),
        ("framecast[camera]=debug", expected),
        ("framecast[{id}]=debug", expected),
    ] {
        for command in ["check", "serve"] {
            let (code, _, errors) = run(&mut framecast(&[command, "--log", filter]));
            assert_eq!((code, errors.trim()), (2, &*format!("error: --log {filter}: {expected}")));
        }
    }
}

#[test]
fn a_filter_of_levels_and_parts_is_taken() {
    for filter in
        ["", "DEBUG", "off", "warn,framecast_drivers=debug", "framecast::supervisor=trace,hyper=info"]
    {
        let (code, _, errors) = run(&mut framecast(&["check", "--log", filter, "emulated"]));
        assert_eq!((code, errors.as_str()), (0, ""), "{filter}");
    }
}

#[test]
fn text_without_quotes_is_told_how_to_quote_it() {
    for (line, expected) in [
        ("name = front", "2:8: text needs quotes: name = \"front\""),
        ("name = tiny # the small one", "2:8: text needs quotes: name = \"tiny\""),
        ("source = images:./x", "2:10: text needs quotes: source = \"…\""),
        ("source = ./x", "2:10: text needs quotes: source = \"…\""),
        ("source = http://me:s3cret@cam/", "2:10: text needs quotes: source = \"…\""),
        ("idle_timeout = never", "2:16: text needs quotes: idle_timeout = \"never\""),
        ("idle_timeout = 10s", "2:16: text needs quotes: idle_timeout = \"10s\""),
    ] {
        assert_eq!(refusal(format!("[[camera]]\n{line}\n")), format!("site.toml:{expected}"));
    }
    assert_eq!(refusal("listen = 127.0.0.1:80"), "site.toml:1:15: text needs quotes: listen = \"…\"");
}

#[test]
fn check_takes_every_argument_of_serving() {
    let listen = ["check", "--listen", "127.0.0.1:5000", "--user", "me", "--log", "debug"];
    let mut command = framecast(&listen);
    command.args(["--log-format", "json", "front=emulated"]).env("FRAMECAST_PASSWORD", "long enough");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "nothing wrong in the command line\n  front  emulated:\n");
}

#[test]
fn a_limit_that_counts_nobody_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let check = |listen: &str, more: &str| {
        let content = format!("max_viewers_per_address = 2\n{more}");
        fs::write(folder.path().join("site.toml"), content).unwrap();
        run(framecast(&["check", "--config", "site.toml", "--listen", listen]).current_dir(folder.path()))
    };
    for trusted in ["trusted_proxies = []\n", "trusted_proxies = [\"loopback\"]\n"] {
        let (code, _, stderr) = check("unix:http.sock", trusted);
        assert_eq!(code, 0);
        assert!(stderr.starts_with("warning: max_viewers_per_address has no effect: "), "{stderr}");
        assert!(stderr.contains("trusted_proxies"), "{stderr}");
        assert_eq!(check("127.0.0.1:0", trusted).2, "");
    }
    assert_eq!(check("unix:http.sock", "").2, "", "a proxy may tell whose requests it passes on");
}

#[test]
fn a_state_dir_that_cannot_be_made_is_refused_before_anything_starts() {
    let error = refusal("state_dir = \"site.toml/state\"\n");
    assert_eq!(error, "site.toml:1:13: state_dir: site.toml is not a folder");
}

#[test]
fn what_is_wrong_in_the_environment_names_the_variable() {
    let (code, _, errors) = run(framecast(&["check"]).env("CAMERA", "nope"));
    assert_eq!(code, 2);
    assert!(
        errors.starts_with("error: the environment variable CAMERA: camera `camera`: no driver for `nope:`"),
        "{errors}"
    );
    assert!(
        errors.ends_with("; CAMERA can also be pi, pi2, v4l2 and opencv, as in the Flask app\n"),
        "{errors}"
    );
    let (code, _, errors) = run(framecast(&["check"]).env("CAMERA", "front=test"));
    let expected = "error: the environment variable CAMERA must be a source without a name: remove the name and \
                    the `=` after it";
    assert_eq!((code, errors.trim()), (2, expected));
    let (code, _, errors) = run(framecast(&["check"]).env("FRAMECAST_PASSWORD", "x"));
    assert_eq!(code, 2);
    assert!(errors.contains("FRAMECAST_PASSWORD is set, but there is no user: add --user NAME"), "{errors}");
}

#[test]
fn a_token_that_does_not_work_is_refused_by_check_and_at_the_start() {
    for command in ["check", "serve"] {
        for (token, expected) in [
            (
                "0123456789abcde",
                "error: FRAMECAST_MONITOR_TOKEN is too short: it needs at least 16 characters; ",
            ),
            ("0123456789abcdef\n", "error: FRAMECAST_MONITOR_TOKEN has a blank, a line break or "),
        ] {
            let (code, _, errors) = run(framecast(&[command]).env("FRAMECAST_MONITOR_TOKEN", token));
            assert!(errors.starts_with(expected) && !errors.contains("0123"), "{command}: {errors}");
            assert_eq!(code, 2);
        }
    }
}

/// The cameras that `check` lists in a folder whose `framecast.toml` names the camera `filed`.
fn checked(arguments: &[&str], camera: Option<&str>) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let content = "[[camera]]\nname = \"filed\"\nsource = \"emulated:?fps=2\"\n";
    fs::write(folder.path().join("framecast.toml"), content).unwrap();
    let mut command = framecast(&["check"]);
    command.args(arguments).current_dir(folder.path() as &Path);
    if let Some(camera) = camera {
        command.env("CAMERA", camera);
    }
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let mut lines = stdout.lines().map(|line| line.trim().to_owned());
    (lines.next().unwrap(), lines.collect())
}

#[test]
fn the_file_in_this_folder_is_read_only_when_no_source_is_given() {
    let from_file = vec!["filed  emulated:".to_owned()];
    assert_eq!(checked(&[], None), ("nothing wrong in framecast.toml".to_owned(), from_file.clone()));
    assert_eq!(checked(&[], Some("")), ("nothing wrong in framecast.toml".to_owned(), from_file));
    let (origin, cameras) = checked(&["front=emulated"], None);
    assert_eq!(
        (&*origin, &*cameras),
        ("nothing wrong in the command line", &["front  emulated:".to_owned()][..])
    );
    let (origin, cameras) = checked(&[], Some("emulated"));
    assert_eq!(origin, "nothing wrong in the environment variable CAMERA");
    assert_eq!(cameras, ["camera  emulated:"]);
}

#[test]
fn sources_are_added_to_those_of_a_file_that_is_named() {
    let (origin, cameras) = checked(&["--config", "framecast.toml", "emulated"], Some("nope"));
    assert_eq!(origin, "nothing wrong in framecast.toml, the command line");
    assert_eq!(cameras, ["filed  emulated:", "camera  emulated:"]);
}

#[test]
fn without_anything_there_is_the_emulated_camera() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = run(framecast(&["check"]).current_dir(folder.path()));
    let expected = "nothing wrong in the emulated camera, because this folder has no framecast.toml\n  \
                    camera  emulated:\n";
    assert_eq!((code, stdout.as_str()), (0, expected));
    fs::write(folder.path().join("empty.toml"), "drop_in = false\n").unwrap();
    let mut check = framecast(&["check", "--config", "empty.toml"]);
    let (code, stdout, _) = run(check.current_dir(folder.path()));
    let expected = "nothing wrong in empty.toml, the emulated camera, because the file names no camera\n  \
                    camera  emulated:\n";
    assert_eq!((code, stdout.as_str()), (0, expected));
}
