//! One connection to the database: with TLS, without it, or first with and then without it.

use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error};
use tracing::debug;

use super::tls::Connector;
use crate::postgres_error::is_refusal_of_tls;

/// Connects to a server that `config` names. If TLS is only preferred and fails, connects without it.
pub(super) async fn connect(config: &Config, connector: Connector) -> Result<Client, Error> {
    match connect_once(config, connector.clone()).await {
        Err(error) if config.get_ssl_mode() == SslMode::Prefer && is_refusal_of_tls(&error) => {
            debug!(%error, "connecting to the database without TLS");
            connect_once(config.clone().ssl_mode(SslMode::Disable), connector).await
        }
        connected => connected,
    }
}

async fn connect_once(config: &Config, connector: Connector) -> Result<Client, Error> {
    let (client, connection) = config.connect(connector).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection to the database ended");
        }
    });
    Ok(client)
}
