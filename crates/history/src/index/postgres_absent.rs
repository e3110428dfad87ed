//! Stands in for PostgreSQL in builds without the Cargo feature `postgres`. No address of a database can be made, so
//! nothing here ever runs but [`Address::parse`].

use std::fmt;
use std::sync::Arc;

use framecast_media::Secret;

use super::block::{Block, BlockLimit};
use super::{IdClaim, IndexState, Pruned, Retention, ShiftProgress, TimeCorrection, sql};
use crate::Error;
use crate::entry::Entry;

/// The address of a PostgreSQL database. This build has none, because it lacks the Cargo feature `postgres`.
#[derive(Debug, Clone, PartialEq)]
pub struct Address(Never);

#[derive(Debug, Clone, PartialEq)]
enum Never {}

impl Address {
    /// Refuses every address.
    ///
    /// # Errors
    /// This build lacks the Cargo feature `postgres`.
    pub fn parse(_: &str, _: Option<Secret>) -> Result<Self, Error> {
        let problem =
            "a PostgreSQL database needs the Cargo feature `postgres`, which this build of Framecast lacks";
        Err(Error::Address { problem: problem.to_owned() })
    }

    /// Sets the password.
    pub fn set_password(&mut self, _: Secret) {
        match self.0 {}
    }
}

impl fmt::Display for Address {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) enum Postgres {}

impl Postgres {
    pub(super) async fn open(address: Address, _: IdClaim) -> Result<(Self, IndexState), Error> {
        match address.0 {}
    }

    pub(super) async fn write(&self, _: Vec<Arc<Entry>>, _: i64) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn prune(&self, _: Retention) -> Result<Pruned, Error> {
        match *self {}
    }

    pub(super) async fn plan(&self, _: Vec<TimeCorrection>, _: i64) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn apply_shifts(&self) -> Result<ShiftProgress, Error> {
        match *self {}
    }

    pub(super) async fn read(&self, _: sql::Select, _: BlockLimit) -> Result<Block, Error> {
        match *self {}
    }
}
