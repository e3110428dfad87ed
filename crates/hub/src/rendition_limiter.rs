//! Limits how many renditions of a camera (versions with a different size, quality or rate) each client address
//! watches, so that one address cannot use up the camera's limited number of renditions.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use framecast_media::lock;

use crate::Rendition;

/// The number of viewers that each client address has on each rendition of one camera. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct RenditionLimiter(Arc<Mutex<BTreeMap<(IpAddr, Rendition), usize>>>);

/// A permit for one viewer at a client address to watch a rendition. Until the permit is dropped, the rendition is one
/// of those that the address watches, whose number is limited.
#[derive(Debug)]
pub(crate) struct RenditionPermit {
    limiter: RenditionLimiter,
    key: (IpAddr, Rendition),
}

/// The error when a camera already has the maximum number of renditions (versions with a different size, quality or
/// rate), or a client address already watches as many of them as one address can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TooManyRenditions {
    /// The renditions that exist already: those that `address` watches or, if `address` is `None`, all of the camera.
    /// The client can still watch any of these.
    pub watched: Vec<Rendition>,
    /// The client address whose limit is reached; `None` if the camera's limit is reached.
    pub address: Option<IpAddr>,
}

impl fmt::Display for TooManyRenditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.watched.iter().map(|rendition| format!("?{rendition}")).collect();
        let (count, list) = (list.len(), list.join(", "));
        match self.address {
            None => write!(
                f,
                "rendition limit reached ({count} for this camera); request one that is already watched: \
                 {list}"
            ),
            Some(_) => write!(
                f,
                "rendition limit reached ({count} of this camera for this address); request one that it \
                 already watches: {list}"
            ),
        }
    }
}

impl RenditionLimiter {
    /// Returns a permit for one more viewer at `address` to watch `rendition`. An address can watch at most `max`
    /// different renditions at the same time.
    ///
    /// # Errors
    /// The renditions that the address watches, if there are `max` of them and `rendition` is not one of them.
    pub(crate) fn acquire(
        &self,
        address: IpAddr,
        rendition: Rendition,
        max: usize,
    ) -> Result<RenditionPermit, Vec<Rendition>> {
        let mut counts = lock(&self.0);
        let of_address = (address, Rendition::default())..;
        let watched = counts.range(of_address).take_while(|((known, _), _)| *known == address);
        let watched: Vec<Rendition> = watched.map(|((_, rendition), _)| *rendition).collect();
        if watched.len() >= max && !watched.contains(&rendition) {
            return Err(watched);
        }
        let key = (address, rendition);
        *counts.entry(key).or_default() += 1;
        Ok(RenditionPermit { limiter: self.clone(), key })
    }

    /// Returns the number of different pairs of a client address and a rendition that this address watches.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Drop for RenditionPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.limiter.0);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
