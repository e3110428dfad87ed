//! Returns freed memory to the operating system, soon after a camera has become idle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

/// The delay before freed memory is returned to the operating system, so that one return covers all memory that is
/// freed at about the same time.
const RETURN_DELAY: Duration = Duration::from_secs(1);

/// Schedules the return of all threads' freed heap memory to the operating system, after [`RETURN_DELAY`]. Calls during
/// this delay share one return, because a return blocks each thread that allocates memory meanwhile.
pub(crate) fn schedule_return(runtime: &Handle) {
    static IS_DUE: AtomicBool = AtomicBool::new(false);
    /// A guard whose drop clears the flag `IS_DUE`, which says that a return of memory is scheduled. The guard is
    /// dropped when the return begins, or earlier if the runtime ends.
    struct ResetOnDrop;
    impl Drop for ResetOnDrop {
        fn drop(&mut self) {
            IS_DUE.store(false, Ordering::Release);
        }
    }
    if IS_DUE.swap(true, Ordering::AcqRel) {
        return;
    }
    let due = ResetOnDrop;
    runtime.spawn(async move {
        sleep(RETURN_DELAY).await;
        // Memory that is freed from now on needs another call of this function.
        drop(due);
        tokio::task::spawn_blocking(framecast_sys::trim_heap);
    });
}
