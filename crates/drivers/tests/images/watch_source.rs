//! Tests watched folders. Every test here waits for the system to report changes.

use std::io::Write;
use std::os::unix::fs::symlink;

use framecast_testkit::cut_short;

use super::*;

#[tokio::test]
async fn the_newest_file_is_shown_at_once_with_the_time_of_its_change() {
    let album = Album::with(&[("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]);
    set_modified(&album.path("a.jpg"), 20);
    set_modified(&album.path("c.jpg"), 30);
    let newest = set_modified(&album.path("b.jpg"), 10);
    let mut source = album.open("?watch").await.unwrap();
    assert_eq!(source.max_frame_gap(), Duration::MAX);
    let frame = source.next_frame().await.unwrap().unwrap();
    assert_eq!(frame.data, picture(2));
    assert_eq!(frame.captured_at, newest);
}

#[tokio::test]
async fn new_files_are_shown_as_they_appear_and_others_are_not() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    album.write("notes.txt", &picture(9));
    album.write(".hidden.jpg", &picture(9));
    for number in 1..=5 {
        album.write(&format!("{number}.jpg"), &picture(number));
        assert_eq!(next(&mut source).await, number);
    }
}

#[tokio::test]
async fn files_that_appear_together_are_all_shown_in_their_order() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    for number in 1..=100 {
        album.write(&format!("{number}.jpg"), &picture(number));
    }
    for number in 1..=100 {
        assert_eq!(next(&mut source).await, number);
    }
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_shown() {
    let album = Album::with(&[("new.tmp", 4)]);
    let mut source = album.open("?watch").await.unwrap();
    std::fs::rename(album.path("new.tmp"), album.path("new.jpg")).unwrap();
    assert_eq!(next(&mut source).await, 4);
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_waited_for() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    let data = picture(5);
    let mut file = File::create(album.path("slow.jpg")).unwrap();
    for part in data.chunks(data.len() / 4 + 1) {
        file.write_all(part).unwrap();
        // Reads what is there so far: neither a picture nor an error comes.
        if let Some(looked) = cut_short(Duration::from_millis(50), source.next_frame()).await {
            assert_eq!(looked.unwrap().unwrap().data, data);
            return;
        }
    }
    drop(file);
    assert_eq!(next(&mut source).await, 5);
}

#[tokio::test]
async fn a_file_that_stays_broken_is_an_error_of_its_own_and_that_once() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    album.write("broken.jpg", &picture(1)[..300]);
    assert_eq!(source.next_frame().await.unwrap_err().kind(), ErrorKind::Frame);
    album.write("other-broken.jpg", &picture(3)[..300]);
    assert_eq!(source.next_frame().await.unwrap_err().kind(), ErrorKind::Frame);
    album.write("whole.jpg", &picture(2));
    assert_eq!(next(&mut source).await, 2);
}

#[tokio::test]
async fn a_file_that_is_closed_and_written_on_is_no_broken_picture() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    let data = picture(5);
    for end in [0, 100, data.len() / 2, data.len() - 1] {
        album.write("slow.jpg", &data[..end]);
        album.write(&format!("{end}.jpg"), &picture(6));
        assert_eq!(next(&mut source).await, 6, "another file meanwhile");
    }
    let mut file = File::options().append(true).open(album.path("slow.jpg")).unwrap();
    file.write_all(&data[data.len() - 1..]).unwrap();
    assert_eq!(next(&mut source).await, 5);
}

#[tokio::test]
async fn a_pattern_that_spans_folders_shows_the_newest_and_follows_new_folders() {
    let album = Album::new();
    for (day, number, ago) in [("1", 1, 30), ("2", 2, 10), ("2/deep", 3, 20)] {
        std::fs::create_dir(album.path(day)).unwrap();
        album.write(&format!("{day}/a.jpg"), &picture(number));
        set_modified(&album.path(&format!("{day}/a.jpg")), ago);
    }
    let mut source = album.open("/**/*.jpg?watch").await.unwrap();
    assert_eq!(next(&mut source).await, 2);
    album.write("1/b.jpg", &picture(4));
    assert_eq!(next(&mut source).await, 4);
    // The file may exist before its folder is watched, and the folder before its parent is.
    std::fs::create_dir_all(album.path("3/x/y")).unwrap();
    album.write("3/x/y/a.jpg", &picture(5));
    assert_eq!(next(&mut source).await, 5);
    album.write("3/x/b.jpg", &picture(6));
    assert_eq!(next(&mut source).await, 6);
    std::fs::remove_dir_all(album.path("3")).unwrap();
    std::fs::create_dir_all(album.path("3/x")).unwrap();
    album.write("3/x/a.jpg", &picture(7));
    assert_eq!(next(&mut source).await, 7);
}

#[tokio::test]
async fn a_folder_that_is_moved_into_place_is_followed_with_what_is_in_it() {
    let (album, elsewhere) = (Album::new(), Album::new());
    let mut source = album.open("/day-*/*.jpg?watch").await.unwrap();
    std::fs::create_dir(elsewhere.path("new")).unwrap();
    elsewhere.write("new/a.jpg", &picture(1));
    std::fs::create_dir(album.path("other")).unwrap();
    album.write("other/a.jpg", &picture(9));
    std::fs::rename(elsewhere.path("new"), album.path("day-1")).unwrap();
    assert_eq!(next(&mut source).await, 1);
    album.write("day-1/b.jpg", &picture(2));
    assert_eq!(next(&mut source).await, 2);
    // A folder that was moved away is no longer watched.
    std::fs::rename(album.path("day-1"), album.path("old")).unwrap();
    std::fs::create_dir(album.path("day-2")).unwrap();
    album.write("old/c.jpg", &picture(9));
    album.write("day-2/a.jpg", &picture(3));
    assert_eq!(next(&mut source).await, 3);
}

#[tokio::test]
async fn a_folder_without_pictures_says_so_and_where_there_are_some_and_waits() {
    let album = Album::new();
    let mut source = album.open("?watch").await.unwrap();
    let top = album.0.path().display();
    assert_eq!(source.waiting_for().unwrap(), format!("no JPEG in {top} yet"));
    for (day, ago) in [("2026-01-01", 20), ("2026-01-02", 10)] {
        std::fs::create_dir(album.path(day)).unwrap();
        album.write(&format!("{day}/a.jpg"), &picture(1));
        set_modified(&album.path(&format!("{day}/a.jpg")), ago);
    }
    let told = album.open("?watch").await.unwrap().waiting_for().unwrap();
    let newest = format!("its subfolders is in {top}/2026-01-02: write `images:{top}/**/*.jpg?watch`");
    assert!(told.contains(&newest), "{told}");
    assert!(album.open("/**/*.jpg?watch").await.unwrap().waiting_for().is_none());
    album.write("first.jpg", &picture(2));
    assert_eq!(next(&mut source).await, 2);
}

#[tokio::test]
async fn one_file_that_is_written_again_and_again_is_shown_each_time_it_changes() {
    let album = Album::with(&[("latest.jpg", 1)]);
    let mut source = album.open("/latest.jpg?watch").await.unwrap();
    assert_eq!(next(&mut source).await, 1);
    album.write("other.jpg", &picture(9));
    album.write("latest.jpg", &picture(1));
    album.write("latest.jpg", &picture(2));
    assert_eq!(next(&mut source).await, 2);
}

/// The system reports no changes behind a link, just as it reports none by another machine.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_where_the_system_does_not_look_is_shown_each_time_it_changes() {
    let (album, elsewhere) = (Album::new(), Album::with(&[("real.jpg", 1)]));
    symlink(elsewhere.path("real.jpg"), album.path("latest.jpg")).unwrap();
    let mut source = album.open("/latest.jpg?watch").await.unwrap();
    for number in 1..=3 {
        elsewhere.write("real.jpg", &picture(number));
        assert_eq!(next(&mut source).await, number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_not_whole_is_looked_at_again_where_the_system_does_not_look() {
    let (album, elsewhere) = (Album::new(), Album::new());
    elsewhere.write("real.jpg", &picture(5)[..300]);
    symlink(elsewhere.path("real.jpg"), album.path("slow.jpg")).unwrap();
    let mut source = album.open("?watch").await.unwrap();
    assert_eq!(source.next_frame().await.unwrap_err().kind(), ErrorKind::Frame);
    elsewhere.write("real.jpg", &picture(5));
    assert_eq!(next(&mut source).await, 5);
}

#[tokio::test]
async fn a_pattern_chooses_which_new_files_are_shown() {
    let album = Album::new();
    let mut source = album.open("/front-*.jpg?watch").await.unwrap();
    album.write("back-1.jpg", &picture(9));
    album.write("front-1.jpg", &picture(1));
    assert_eq!(next(&mut source).await, 1);
}

#[tokio::test]
async fn a_pattern_below_the_current_folder_shows_a_file_that_is_overwritten_in_place() {
    let album = Album::with(&[("front-1.jpg", 1)]);
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let pattern = format!("{up}{}", album.path("front-*.jpg").strip_prefix("/").unwrap().display());
    let mut source = open(&format!("images:./{pattern}?watch")).await.unwrap();
    assert_eq!(next(&mut source).await, 1);
    album.write("front-1.jpg", &picture(2));
    // If the event were ignored, the file would never be shown.
    assert_eq!(soon("the file is shown", next(&mut source)).await, 2);
}

#[tokio::test]
async fn a_folder_that_vanishes_ends_the_source_with_an_error() {
    let album = Album::with(&[("a.jpg", 1)]);
    let mut source = album.open("?watch").await.unwrap();
    assert_eq!(next(&mut source).await, 1);
    album.0.close().unwrap();
    let error = source.next_frame().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot watch "), "{error}");
}

#[tokio::test]
async fn a_folder_that_was_replaced_ends_the_source_with_an_error() {
    let album = Album::new();
    std::fs::create_dir(album.path("in")).unwrap();
    let mut source = album.open("/in?watch").await.unwrap();
    std::fs::rename(album.path("in"), album.path("away")).unwrap();
    std::fs::create_dir(album.path("in")).unwrap();
    let error = source.next_frame().await.unwrap_err();
    assert!(error.to_string().contains("the folder was replaced"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let error = refusal("images:/nowhere/at/all?watch").await;
    assert!(error.starts_with("cannot find /nowhere/at/all: "), "{error}");
}
