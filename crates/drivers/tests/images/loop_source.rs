//! Tests loops. The clock is paused and advances when every task waits, so that no file is skipped by chance.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_folder_is_shown_in_the_order_in_which_people_count() {
    let album = Album::with(&[("p10.jpg", 3), ("p2.JPEG", 2), ("p1.jpg", 1)]);
    album.write("notes.txt", b"not a picture");
    album.write(".p0.jpg", b"half written");
    std::fs::create_dir(album.path("folder.jpg")).unwrap();
    let mut source = album.open("").await.unwrap();
    for expected in [1, 2, 3, 1, 2, 3, 1] {
        assert_eq!(next(&mut source).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_picture_comes_at_once_and_the_others_at_their_rate() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2)]);
    let mut source = album.open("?fps=4").await.unwrap();
    assert_eq!(source.max_frame_gap(), Duration::from_millis(250));
    let start = tokio::time::Instant::now();
    for pictures in 0..9 {
        next(&mut source).await;
        // Timers have a resolution of a millisecond.
        let expected = Duration::from_millis(250 * pictures);
        let late = start.elapsed().checked_sub(expected).unwrap();
        assert!(late <= Duration::from_millis(2), "{late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_away_finds_the_picture_of_now() {
    let names = ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg"];
    let album = Album::with(&names.map(|name| (name, name.as_bytes()[0] - b'0')));
    let mut source = album.open("?fps=10").await.unwrap();
    assert_eq!(next(&mut source).await, 0);
    tokio::time::advance(Duration::from_millis(550)).await;
    assert_eq!(next(&mut source).await, 5);
    assert_eq!(next(&mut source).await, 6);
}

#[tokio::test(start_paused = true)]
async fn files_can_be_ordered_by_time() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]);
    for (name, seconds_ago) in [("a.jpg", 10), ("b.jpg", 30), ("c.jpg", 20)] {
        set_modified(&album.path(name), seconds_ago);
    }
    let mut source = album.open("?order=time").await.unwrap();
    for expected in [2, 3, 1, 2] {
        assert_eq!(next(&mut source).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_chooses_files_and_a_file_is_a_loop_of_one() {
    let album = Album::with(&[("a1.jpg", 1), ("a2.jpg", 2), ("b1.jpg", 3)]);
    let mut source = album.open("/a*.jpg").await.unwrap();
    for expected in [1, 2, 1] {
        assert_eq!(next(&mut source).await, expected);
    }
    let mut source = album.open("/b1.jpg").await.unwrap();
    assert_eq!(next(&mut source).await, 3);
    assert_eq!(next(&mut source).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_small_loop_is_read_once() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2)]);
    let mut source = album.open("?fps=50").await.unwrap();
    assert_eq!((next(&mut source).await, next(&mut source).await), (1, 2));
    album.remove("a.jpg");
    album.remove("b.jpg");
    assert_eq!((next(&mut source).await, next(&mut source).await), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_large_loop_is_read_from_the_disk_and_what_vanished_is_left_out() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3), ("d.jpg", 4), ("e.jpg", 5)]);
    for name in ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"] {
        // Zeros after a picture are cut off, and take no space on the disk.
        File::options().write(true).open(album.path(name)).unwrap().set_len(15 << 20).unwrap();
    }
    let mut source = album.open("?fps=50").await.unwrap();
    for expected in 1..=5 {
        assert_eq!(next(&mut source).await, expected);
    }
    album.remove("b.jpg");
    for expected in [1, 3, 4, 5, 1] {
        assert_eq!(next(&mut source).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_are_added_changed_and_removed_are_seen_in_a_later_round() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2)]);
    let mut source = album.open("?fps=0.5").await.unwrap();
    assert_eq!((next(&mut source).await, next(&mut source).await), (1, 2));
    album.remove("a.jpg");
    album.write("b.jpg", &picture(7));
    album.write("c.jpg", &picture(3));
    for expected in [7, 3, 7] {
        assert_eq!(next(&mut source).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_is_an_error_of_its_own_each_time_it_is_due() {
    let album = Album::with(&[("a.jpg", 1), ("c.jpg", 3)]);
    album.write("b.jpg", &picture(2)[..300]);
    let mut source = album.open("?fps=20").await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut source).await, 1);
        assert_eq!(source.next_frame().await.unwrap_err().kind(), ErrorKind::Frame);
        assert_eq!(next(&mut source).await, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_picture_over_the_bound_is_an_error_of_its_own() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2)]);
    let url = SourceUrl::parse(&format!("images:{}", album.0.path().display())).unwrap();
    let context = OpenContext::default().with_max_picture_bytes(picture(1).len());
    album.write("b.jpg", &[&picture(1)[..], b"0"].concat());
    let mut source = Drivers::builtin().open(&context, &url).await.unwrap();
    assert_eq!(next(&mut source).await, 1);
    let error = source.next_frame().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Frame && error.to_string().contains("larger than"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_vanishes_ends_the_source_with_an_error() {
    let album = Album::with(&[("a.jpg", 1)]);
    let mut source = album.open("").await.unwrap();
    assert_eq!(next(&mut source).await, 1);
    let path = album.0.path().to_owned();
    album.0.close().unwrap();
    let error = loop {
        match source.next_frame().await {
            Ok(frame) => assert!(frame.is_some()),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with(&format!("cannot list {}: ", path.display())), "{error}");
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_by_name_and_with_a_remedy() {
    let album = Album::new();
    let folder = album.0.path().display();
    let empty = refusal(&format!("images:{folder}")).await;
    assert_eq!(empty, format!("{folder}: this folder contains no .jpg or .jpeg file"));
    let nothing = refusal(&format!("images:{folder}/*.jpg")).await;
    assert_eq!(nothing, format!("{folder}/*.jpg: no file matches this pattern"));
    let missing = refusal(&format!("images:{folder}/missing")).await;
    assert!(missing.starts_with(&format!("cannot find {folder}/missing: ")), "{missing}");
    let token = refusal("images:/nowhere/MadeUpToken5/x").await;
    assert!(token.starts_with("cannot find /nowhere/***/x: "), "{token}");
    let film = refusal("images:/srv/film.mp4").await;
    assert!(film.contains("exec:ffmpeg") && film.contains("-i VIDEO "), "{film}");
    assert!(refusal("images:").await.contains("names no path"));
    assert!(refusal("images:.?order=size").await.contains("`name` or `time`"));
    assert!(refusal("images:.?watch&fps=2").await.contains("leave `fps` and `order` out"));
    assert!(refusal("images:/nowhere/*/a.jpg?watch").await.starts_with("cannot watch /nowhere: "));
}
