//! Connections with TLS to a real PostgreSQL, which these tests start: Debian's package `postgresql`.
//!
//! ```sh
//! cargo test -p framecast-history --test postgres_tls
//! ```
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod behaviour;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use behaviour::broken::{killed_under_table, reader_leaves};
use behaviour::{export, fill, next_piece, open_at};
use framecast_history::{Address, Error, Location};
use framecast_hub::{Event, EventKind};
use framecast_media::Secret;
use framecast_testkit::{Authority, Postgres, ServerCertificate, Validity, soon, until};
use tempfile::TempDir;

/// The name in the server's certificate.
const NAME: &str = "db.test";

/// Everybody gets in, with TLS or without.
const ANY: &str = "host all all ADDRESS trust";

/// A server whose certificate `authority` has signed.
struct Site {
    database: Postgres,
    authority: Authority,
    folder: TempDir,
}

impl Site {
    fn new(access: &str) -> Self {
        let authority = Authority::new("the site's authority");
        let database = Postgres::start_on_network(Some(&authority.sign(NAME, Validity::Now)), access);
        Self { database, authority, folder: tempfile::tempdir().unwrap() }
    }

    /// The key `sslrootcert` with a file that has the certificate `pem`.
    fn root(&self, name: &str, pem: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, pem).unwrap();
        format!("sslrootcert={}", path.display())
    }

    /// The keys that trust the site's authority alone.
    fn full(&self) -> String {
        format!("sslmode=verify-full&{}", self.root("site.crt", &self.authority.certificate()))
    }

    fn location(&self, keys: &str) -> Location {
        location(&self.database, NAME, keys)
    }
}

fn location(database: &Postgres, host: &str, keys: &str) -> Location {
    Location::Postgres(Address::parse(&database.network_url(host, keys), None).unwrap())
}

/// Whether a history at `location` has TLS on all its connections; they exist only until this function returns.
async fn has_tls(database: &Postgres, location: Location) -> Result<bool, Error> {
    let (history, tasks) = open_at(location).await?;
    fill(&history, 1).await;
    let mut table = export(&history);
    while let Some(piece) = soon("the table goes on", next_piece(&mut table)).await {
        piece.unwrap();
    }
    let answer = database.query(
        "SELECT count(*) > 1, bool_and(ssl), bool_or(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'framecast'",
    );
    drop(table);
    tasks.close().await;
    drop(history);
    let none_left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'framecast'";
    until("the connections end", || database.query(none_left) == "0").await;
    match answer.as_str() {
        "t|t|t" => Ok(true),
        "t|f|f" => Ok(false),
        other => panic!("{other}"),
    }
}

/// The error of a history that cannot be opened at `location`.
async fn refusal(location: Location) -> Error {
    open_at(location).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn each_mode_encrypts_and_checks_what_it_says() {
    let site = Site::new(ANY);
    let ours = site.root("ours.crt", &site.authority.certificate());
    for (host, keys, is_encrypted) in [
        (NAME, "sslmode=disable".to_owned(), false),
        (NAME, String::new(), true),
        (NAME, "sslmode=prefer".to_owned(), true),
        // The host's name cannot be in any certificate, so the handshake fails.
        ("no%20name", "sslmode=prefer".to_owned(), false),
        ("other.test", "sslmode=require".to_owned(), true),
        ("other.test", format!("sslmode=require&{ours}"), true),
        ("other.test", format!("sslmode=verify-ca&{ours}"), true),
        (NAME, format!("sslmode=verify-full&{ours}"), true),
    ] {
        let found = has_tls(&site.database, location(&site.database, host, &keys)).await;
        assert_eq!(found.unwrap(), is_encrypted, "{host} {keys}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_with_the_address_and_what_to_do() {
    let site = Site::new(ANY);
    let ours = site.root("ours.crt", &site.authority.certificate());
    let other = site.root("other.crt", &Authority::new("another authority").certificate());
    let no_certificate = site.root("key.crt", &site.authority.sign(NAME, Validity::Now).key);
    let unknown = "cannot connect with TLS: the server's certificate is not trusted: its authority is unknown; name \
                   the file with the authority's certificate in the address: sslrootcert=FILE";
    for (host, keys, told) in [
        (NAME, format!("sslmode=require&{other}"), unknown),
        (NAME, format!("sslmode=verify-ca&{other}"), unknown),
        (NAME, format!("sslmode=verify-full&{other}"), unknown),
        (
            "other.test",
            format!("sslmode=verify-full&{ours}"),
            "cannot connect with TLS: the server's certificate is not trusted: certificate not valid for name \
             \"other.test\"; certificate is only valid for DnsName(\"db.test\"); write a host name of the certificate \
             into the address, or sslmode=verify-ca, which does not check the name",
        ),
        (
            NAME,
            "sslmode=verify-ca&sslrootcert=/nonexistent/ca.crt".to_owned(),
            "cannot read certificates from /nonexistent/ca.crt: No such file or directory (os error 2); the address \
             names another file with sslrootcert=FILE",
        ),
        (NAME, format!("sslmode=verify-ca&{no_certificate}"), "key.crt has no certificate that can be used;"),
    ] {
        let error = refusal(location(&site.database, host, &keys)).await;
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("history: postgres://{host}:")) && text.contains(told),
            "{keys}: {text}"
        );
        assert!(!error.is_transient() && !text.contains("framecast@"), "{text}");
    }
    // Whatever authorities the system knows, the site's is not one of them.
    for mode in ["verify-ca", "verify-full"] {
        let error = refusal(site.location(&format!("sslmode={mode}"))).await;
        assert!(!error.is_transient() && error.to_string().contains("sslrootcert=FILE"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_at_the_wrong_time_is_tried_again() {
    let mut site = Site::new(ANY);
    let keys = site.full();
    for (validity, told) in [
        (Validity::Past, "is not trusted: it has expired; renew it, or check this machine's clock"),
        (Validity::Future, "is not trusted: it is not valid yet; check this machine's clock"),
    ] {
        site.database.set_certificate(&site.authority.sign(NAME, validity));
        site.database.stop();
        site.database.restart();
        let error = refusal(site.location(&keys)).await;
        assert!(error.to_string().contains(told) && error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_if_it_is_in_the_file() {
    let mut site = Site::new(ANY);
    for (validity, is_trusted) in [(Validity::Now, true), (Validity::Past, false)] {
        let own = ServerCertificate::self_signed(NAME, validity);
        site.database.set_certificate(&own);
        site.database.stop();
        site.database.restart();
        let keys = format!("sslmode=verify-full&{}", site.root("own.crt", &own.certificate));
        let found = has_tls(&site.database, site.location(&keys)).await;
        assert_eq!(found.is_ok(), is_trusted, "{found:?}");
        assert!(
            found.is_ok_and(|is_encrypted| is_encrypted)
                || refusal(site.location(&keys)).await.is_transient()
        );
    }
    // Another certificate of the same name is not in the file.
    let other = ServerCertificate::self_signed(NAME, Validity::Now);
    let keys = format!("sslmode=verify-ca&{}", site.root("own.crt", &other.certificate));
    assert!(refusal(site.location(&keys)).await.to_string().contains("is not trusted"));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let database = Postgres::start_on_network(None, ANY);
    for mode in ["disable", "prefer"] {
        let found = has_tls(&database, location(&database, NAME, &format!("sslmode={mode}"))).await;
        assert!(!found.unwrap(), "{mode}");
    }
    let error = refusal(location(&database, NAME, "sslmode=require")).await;
    let told = "cannot connect with TLS: server does not support TLS; turn TLS on in the server (ssl = on), or write \
                sslmode=prefer into the address";
    assert!(error.to_string().ends_with(told) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_with_tls_is_tried_without() {
    let site = Site::new("hostnossl all all ADDRESS trust");
    assert!(!has_tls(&site.database, site.location("sslmode=prefer")).await.unwrap());
    let error = refusal(site.location("sslmode=require")).await;
    assert!(error.to_string().contains("no pg_hba.conf entry"), "{error}");
}

#[tokio::test]
async fn a_login_is_bound_to_the_certificate() {
    let site = Site::new("hostssl all all ADDRESS scram-sha-256");
    site.database.query("ALTER USER framecast PASSWORD 'swordfish'");
    let url = site.database.network_url(NAME, "sslmode=require&channel_binding=require");
    let login = |password| Location::Postgres(Address::parse(&url, Some(Secret::new(password))).unwrap());
    assert!(has_tls(&site.database, login("swordfish")).await.unwrap());
    let error = refusal(login("other")).await;
    assert!(error.to_string().contains("password authentication failed"), "{error}");
}

#[tokio::test]
async fn a_table_comes_whole_through_tls() {
    let site = Site::new(ANY);
    let (history, _tasks) = open_at(site.location(&site.full())).await.unwrap();
    fill(&history, 20_000).await;
    let (mut table, mut text) = (export(&history), Vec::new());
    while let Some(piece) = soon("the table goes on", next_piece(&mut table)).await {
        text.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 20_001);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_its_query_over_tls() {
    let site = Site::new(ANY);
    reader_leaves(&site.database, site.location(&site.full())).await;
}

#[tokio::test]
async fn a_database_that_is_killed_ends_a_table_over_tls_with_an_error() {
    let site = Site::new(ANY);
    let location = site.location(&site.full());
    killed_under_table(site.database, location).await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_another_certificate_of_its_authority_is_trusted() {
    let mut site = Site::new(ANY);
    let (history, _tasks) = open_at(site.location(&site.full())).await.unwrap();
    fill(&history, 10).await;
    site.database.stop();
    site.database.set_certificate(&site.authority.sign(NAME, Validity::Now));
    history.record(Event::new(EventKind::Mark, SystemTime::now()).with_count(1)).unwrap();
    until("the database is known to be away", || history.stats().is_unavailable).await;
    site.database.restart();
    soon("the event is written", history.flushed()).await;
    assert_eq!(site.database.query("SELECT count(*) FROM framecast.events"), "11");
}

#[tokio::test]
async fn a_new_file_of_authorities_counts_from_the_next_connection() {
    let mut site = Site::new(ANY);
    let (history, _tasks) = open_at(site.location(&site.full())).await.unwrap();
    fill(&history, 10).await;
    site.database.stop();
    let next = Authority::new("the next authority");
    site.database.set_certificate(&next.sign(NAME, Validity::Now));
    site.database.restart();
    history.record(Event::new(EventKind::Mark, SystemTime::now()).with_count(1)).unwrap();
    until("the certificate is not trusted", || history.stats().is_unavailable).await;
    fs::write(Path::new(site.folder.path()).join("site.crt"), next.certificate()).unwrap();
    soon("the event is written", history.flushed()).await;
    assert_eq!(site.database.query("SELECT count(*) FROM framecast.events"), "11");
}
