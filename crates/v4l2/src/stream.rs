//! Capture: a queue of buffers that the device fills and lends to the caller.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::ioctl::{DQBUF, QBUF, QUERYBUF, REQBUFS, STREAMOFF, STREAMON, call, call_flat};
use crate::mapping::Mapping;
use crate::sys::{self, MAX_PLANES, MEMORY_MMAP, Plain};
use crate::{Device, Error};

/// The kernel's own limit on the number of buffers (`VIDEO_MAX_FRAME`). Drivers are allowed to allocate more buffers
/// than requested.
const MAX_BUFFERS: u32 = 32;

const FLAG_ERROR: u32 = 0x40;
const TIMESTAMP_MASK: u32 = 0xe000;
const TIMESTAMP_MONOTONIC: u32 = 0x2000;

/// A device that captures. Dropping the stream unmaps the buffers and closes the device, which stops the capture.
#[derive(Debug)]
pub struct CaptureStream {
    /// The mapped planes (memory areas) of each buffer. This field is declared before the device, so that the planes
    /// are unmapped before the device is closed.
    buffers: Vec<Vec<Mapping>>,
    device: Device,
    is_on: bool,
    /// The error that occurred when a lent buffer was returned to the device, until the next dequeue returns this
    /// error.
    failed: Option<Error>,
}

/// What the driver reports about a filled buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferInfo {
    /// The number of the frame, counted by the driver. A gap means lost frames.
    pub sequence: u32,
    /// The capture time on the monotonic clock; `None` if the driver uses another clock.
    pub captured_at: Option<Duration>,
    /// Whether the driver reports that the bytes might be damaged.
    pub is_broken: bool,
}

/// A filled buffer, lent by the device. Dropping this value returns the buffer to the device, which fills the buffer
/// again.
#[derive(Debug)]
pub struct FilledBuffer<'a> {
    stream: &'a mut CaptureStream,
    index: u32,
    info: BufferInfo,
    /// The start offset and the end offset in bytes of the content of each plane.
    filled: [(usize, usize); MAX_PLANES],
}

impl Device {
    /// Maps `count` buffers (the driver is allowed to allocate more or fewer), hands them to the device to be filled,
    /// and starts the capture.
    ///
    /// # Errors
    /// The kernel's error, and the device for further use. [`Error::is_busy`] is true if another program captures.
    pub fn start(self, count: u32) -> Result<CaptureStream, (Self, Error)> {
        let mut stream = CaptureStream { device: self, buffers: Vec::new(), is_on: false, failed: None };
        match stream.begin(count) {
            Ok(()) => Ok(stream),
            Err(error) => Err((stream.stop(), error)),
        }
    }
}

impl CaptureStream {
    fn begin(&mut self, count: u32) -> Result<(), Error> {
        let given = self.request_buffers(count.clamp(2, MAX_BUFFERS))?;
        if given == 0 || given > MAX_BUFFERS {
            return Err(Error::invalid(REQBUFS.name(), "the driver returned an unusable number of buffers"));
        }
        for index in 0..given {
            let planes = self.map(index)?;
            self.buffers.push(planes);
        }
        for index in 0..given {
            self.queue(index)?;
        }
        let mut buffer_type = self.buffer_type_int();
        call_flat(self.as_fd(), STREAMON, &mut buffer_type)?;
        self.is_on = true;
        Ok(())
    }

    /// Returns the device, for queries that are allowed during capture.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the number of buffers.
    pub fn buffer_count(&self) -> usize {
        self.buffers.len()
    }

    /// Returns the oldest filled buffer, or `None` if no buffer is filled yet. This does not block. The file descriptor
    /// is ready for reading when a buffer is filled.
    ///
    /// # Errors
    /// An error for which [`Error::is_gone`] is true, after unplugging. After most other errors, such as `EIO`, the
    /// stream has to be stopped.
    pub fn dequeue(&mut self) -> Result<Option<FilledBuffer<'_>>, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut planes = [sys::V4l2Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(0, &mut planes);
        // SAFETY: `planes` outlives the call and has the length that the buffer declares.
        match unsafe { call(self.as_fd(), DQBUF, &mut buffer) } {
            Ok(()) => {}
            Err(error) if error.is_would_block() => return Ok(None),
            Err(error) => return Err(error),
        }
        let mapped = usize::try_from(buffer.index).ok().and_then(|index| self.buffers.get(index));
        let Some(mapped) = mapped else {
            return Err(Error::invalid(DQBUF.name(), "the driver returned a buffer that it never allocated"));
        };
        let mut filled = [(0, 0); MAX_PLANES];
        for (number, (mapping, range)) in mapped.iter().zip(&mut filled).enumerate() {
            let (start, end) = match self.device.is_multi_planar() {
                // `bytes_used` counts from the start of the plane and includes the bytes before the data.
                true => (planes[number].data_offset, planes[number].bytes_used),
                false => (0, buffer.bytes_used),
            };
            let end = usize::try_from(end).unwrap_or(usize::MAX).min(mapping.len());
            *range = (usize::try_from(start).unwrap_or(usize::MAX).min(end), end);
        }
        let info = read_info(&buffer);
        Ok(Some(FilledBuffer { stream: self, index: buffer.index, info, filled }))
    }

    /// Stops the capture, takes all buffers back from the device and frees them. Returns the device, for which a format
    /// can then be set again.
    pub fn stop(mut self) -> Device {
        if self.is_on {
            let mut buffer_type = self.buffer_type_int();
            // A device that is gone has stopped already.
            call_flat(self.as_fd(), STREAMOFF, &mut buffer_type).ok();
        }
        // The kernel keeps the buffers, and with them the format, until they are unmapped and freed.
        self.buffers.clear();
        self.request_buffers(0).ok();
        self.device
    }

    fn buffer_type_int(&self) -> i32 {
        i32::try_from(self.device.buffer_type()).expect("buffer types are small numbers")
    }

    fn request_buffers(&self, count: u32) -> Result<u32, Error> {
        let mut request = sys::RequestBuffers::zeroed();
        request.count = count;
        request.buf_type = self.device.buffer_type();
        request.memory = MEMORY_MMAP;
        call_flat(self.as_fd(), REQBUFS, &mut request)?;
        Ok(request.count)
    }

    /// Returns the kernel structure for a call about the buffer with the number `index`. `planes` must outlive the
    /// structure.
    fn buffer(&self, index: u32, planes: &mut [sys::V4l2Plane; MAX_PLANES]) -> sys::V4l2Buffer {
        let mut buffer = sys::V4l2Buffer::zeroed();
        buffer.index = index;
        buffer.buf_type = self.device.buffer_type();
        buffer.memory = MEMORY_MMAP;
        if self.device.is_multi_planar() {
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = u32::try_from(MAX_PLANES).expect("eight");
        }
        buffer
    }

    fn map(&self, index: u32) -> Result<Vec<Mapping>, Error> {
        let mut planes = [sys::V4l2Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(index, &mut planes);
        // SAFETY: `planes` outlives the call and has the length that the buffer declares.
        unsafe { call(self.as_fd(), QUERYBUF, &mut buffer)? };
        if !self.device.is_multi_planar() {
            // SAFETY: for memory-mapped single-planar buffers the kernel fills this member; any bits are a number.
            let offset = unsafe { buffer.m.offset };
            return Ok(vec![Mapping::new(self.as_fd(), offset, buffer.length)?]);
        }
        let count = usize::try_from(buffer.length).unwrap_or(MAX_PLANES).min(MAX_PLANES);
        let map = |plane: &sys::V4l2Plane| {
            // SAFETY: for memory-mapped planes the kernel fills this member; any bits are a number.
            let offset = unsafe { plane.memory.offset };
            Mapping::new(self.as_fd(), offset, plane.length)
        };
        planes[..count].iter().map(map).collect()
    }

    /// Hands the buffer with the number `index` to the device to be filled.
    fn queue(&self, index: u32) -> Result<(), Error> {
        let mut planes = [sys::V4l2Plane::zeroed(); MAX_PLANES];
        let mut buffer = self.buffer(index, &mut planes);
        if self.device.is_multi_planar() {
            let count = self.buffers.get(index as usize).map_or(0, Vec::len);
            buffer.length = u32::try_from(count).expect("at most eight");
        }
        // SAFETY: `planes` outlives the call and is at least as long as the buffer declares.
        unsafe { call(self.as_fd(), QBUF, &mut buffer) }
    }
}

impl AsFd for CaptureStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl AsRawFd for CaptureStream {
    fn as_raw_fd(&self) -> RawFd {
        self.device.as_raw_fd()
    }
}

impl FilledBuffer<'_> {
    /// Returns what the driver reports about this buffer.
    pub fn info(&self) -> BufferInfo {
        self.info
    }

    /// Returns the number of planes.
    pub fn plane_count(&self) -> usize {
        self.stream.buffers[self.index as usize].len()
    }

    /// Returns the bytes that the device wrote into plane `number`; empty if there is no such plane.
    pub fn plane(&self, number: usize) -> &[u8] {
        let Some(mapping) = self.stream.buffers[self.index as usize].get(number) else { return &[] };
        let (start, end) = self.filled[number];
        // SAFETY: this buffer was dequeued, and is queued again only by drop, which ends all borrows of this value.
        &(unsafe { mapping.bytes() })[start..end]
    }
}

impl Drop for FilledBuffer<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stream.queue(self.index) {
            self.stream.failed = Some(error);
        }
    }
}

fn read_info(buffer: &sys::V4l2Buffer) -> BufferInfo {
    let is_monotonic = buffer.flags & TIMESTAMP_MASK == TIMESTAMP_MONOTONIC;
    let sys::TimeVal { seconds, microseconds } = buffer.timestamp;
    let captured_at = u64::try_from(seconds)
        .ok()
        .zip(u32::try_from(microseconds).ok().filter(|&us| us < 1_000_000))
        .filter(|_| is_monotonic)
        .map(|(seconds, us)| Duration::new(seconds, us * 1000));
    BufferInfo { sequence: buffer.sequence, captured_at, is_broken: buffer.flags & FLAG_ERROR != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_monotonic_time_that_is_one_is_believed() {
        let mut buffer = sys::V4l2Buffer::zeroed();
        buffer.timestamp = sys::TimeVal { seconds: 5, microseconds: 250_000 };
        assert_eq!(read_info(&buffer).captured_at, None);
        buffer.flags = TIMESTAMP_MONOTONIC | FLAG_ERROR;
        let info = read_info(&buffer);
        assert_eq!(info.captured_at, Some(Duration::from_millis(5250)));
        assert!(info.is_broken);
        for (seconds, microseconds) in [(-1, 0), (0, -1), (0, 1_000_000)] {
            buffer.timestamp = sys::TimeVal { seconds, microseconds };
            assert_eq!(read_info(&buffer).captured_at, None);
        }
    }
}
