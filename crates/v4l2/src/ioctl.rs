//! The ioctl calls: the number of each call, with the structure that the call takes.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{_IOR, _IOW, _IOWR, Ioctl};

use crate::Error;
use crate::sys::{
    DvTimings, EventSubscription, ExtControls, FmtDesc, FrmIvalEnum, FrmSizeEnum, Plain, QueryExtCtrl,
    QueryMenu, RequestBuffers, StreamParm, V4l2Buffer, V4l2Capability, V4l2Event, V4l2Format, V4l2Input,
};

/// The number and the name of an ioctl call. The type `T` is the structure that the kernel reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Call<T> {
    number: Ioctl,
    name: &'static str,
    argument: PhantomData<T>,
}

impl<T> Call<T> {
    const fn new(number: Ioctl, name: &'static str) -> Self {
        Self { number, name, argument: PhantomData }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }
}

const V: u32 = b'V' as u32;

macro_rules! calls {
    ($($id:ident, $name:literal: $make:ident($number:literal, $argument:ty);)*) => {
        $(pub(crate) const $id: Call<$argument> = Call::new($make::<$argument>(V, $number), $name);)*
    };
}

calls! {
    QUERYCAP, "VIDIOC_QUERYCAP": _IOR(0, V4l2Capability);
    ENUM_FMT, "VIDIOC_ENUM_FMT": _IOWR(2, FmtDesc);
    G_FMT, "VIDIOC_G_FMT": _IOWR(4, V4l2Format);
    S_FMT, "VIDIOC_S_FMT": _IOWR(5, V4l2Format);
    REQBUFS, "VIDIOC_REQBUFS": _IOWR(8, RequestBuffers);
    QUERYBUF, "VIDIOC_QUERYBUF": _IOWR(9, V4l2Buffer);
    QBUF, "VIDIOC_QBUF": _IOWR(15, V4l2Buffer);
    DQBUF, "VIDIOC_DQBUF": _IOWR(17, V4l2Buffer);
    STREAMON, "VIDIOC_STREAMON": _IOW(18, i32);
    STREAMOFF, "VIDIOC_STREAMOFF": _IOW(19, i32);
    G_PARM, "VIDIOC_G_PARM": _IOWR(21, StreamParm);
    S_PARM, "VIDIOC_S_PARM": _IOWR(22, StreamParm);
    ENUMINPUT, "VIDIOC_ENUMINPUT": _IOWR(26, V4l2Input);
    QUERYMENU, "VIDIOC_QUERYMENU": _IOWR(37, QueryMenu);
    G_INPUT, "VIDIOC_G_INPUT": _IOR(38, i32);
    S_INPUT, "VIDIOC_S_INPUT": _IOWR(39, i32);
    TRY_FMT, "VIDIOC_TRY_FMT": _IOWR(64, V4l2Format);
    G_EXT_CTRLS, "VIDIOC_G_EXT_CTRLS": _IOWR(71, ExtControls);
    S_EXT_CTRLS, "VIDIOC_S_EXT_CTRLS": _IOWR(72, ExtControls);
    ENUM_FRAMESIZES, "VIDIOC_ENUM_FRAMESIZES": _IOWR(74, FrmSizeEnum);
    ENUM_FRAMEINTERVALS, "VIDIOC_ENUM_FRAMEINTERVALS": _IOWR(75, FrmIvalEnum);
    S_DV_TIMINGS, "VIDIOC_S_DV_TIMINGS": _IOWR(87, DvTimings);
    DQEVENT, "VIDIOC_DQEVENT": _IOR(89, V4l2Event);
    SUBSCRIBE_EVENT, "VIDIOC_SUBSCRIBE_EVENT": _IOW(90, EventSubscription);
    QUERY_DV_TIMINGS, "VIDIOC_QUERY_DV_TIMINGS": _IOR(99, DvTimings);
    QUERY_EXT_CTRL, "VIDIOC_QUERY_EXT_CTRL": _IOWR(103, QueryExtCtrl);
}

/// Makes the ioctl call `call`, and repeats it if a signal interrupts it.
///
/// # Safety
/// Pointers within `argument` must be valid for everything that the kernel reads and writes through them during the
/// call.
pub(crate) unsafe fn call<T>(fd: BorrowedFd<'_>, call: Call<T>, argument: &mut T) -> Result<(), Error> {
    loop {
        // SAFETY: the descriptor is open while it is borrowed; `argument` is exclusively borrowed and of the type whose
        // size is part of the call's number; the caller guarantees the pointers within `argument`.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), call.number, std::ptr::from_mut(argument)) };
        if result >= 0 {
            return Ok(());
        }
        let error = Error::last_os_error(call.name);
        if error.io().kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Structures and numbers that contain no pointer for the kernel to follow.
///
/// # Safety
/// No ioctl call that takes a value of this type reads or writes memory outside the value.
pub(crate) unsafe trait Flat {}

macro_rules! flat {
    ($($name:ty),*) => {
        $(
            // SAFETY: only numbers, by the kernel's own definition.
            unsafe impl Flat for $name {}
        )*
    };
}

flat!(
    V4l2Capability,
    FmtDesc,
    FrmSizeEnum,
    FrmIvalEnum,
    RequestBuffers,
    StreamParm,
    i32,
    V4l2Input,
    DvTimings,
    EventSubscription,
    V4l2Event,
    QueryExtCtrl,
    QueryMenu
);

/// Makes the ioctl call `number`, whose argument contains no pointer.
pub(crate) fn call_flat<T: Flat>(fd: BorrowedFd<'_>, number: Call<T>, argument: &mut T) -> Result<(), Error> {
    // SAFETY: the argument contains no pointer, as the trait guarantees.
    unsafe { call(fd, number, argument) }
}

/// Makes the ioctl call `number` with increasing `index` until the kernel reports the end (`EINVAL`) or `limit` is
/// reached. Returns the results.
///
/// # Errors
/// Any error other than `EINVAL` at the first index. If the device does not support the call, there is no error and the
/// list is empty.
pub(crate) fn enumerate<T: Flat + Plain, R>(
    fd: BorrowedFd<'_>,
    number: Call<T>,
    limit: u32,
    mut ask: impl FnMut(u32) -> T,
    mut take: impl FnMut(&T) -> R,
) -> Result<Vec<R>, Error> {
    let mut found = Vec::new();
    for index in 0..limit {
        let mut argument = ask(index);
        match call_flat(fd, number, &mut argument) {
            Ok(()) => found.push(take(&argument)),
            Err(error) if error.is_unsupported() || index > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Converts the bytes before the first zero byte to text. The names of a USB device come from its maker, so characters
/// that could control a terminal are replaced by blanks.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).replace(char::is_control, " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_its_zero_byte_and_steers_no_terminal() {
        assert_eq!(text(b"HD Webcam\0\xff"), "HD Webcam");
        assert_eq!(text(b"\x1b[2JCam\r\nera\n"), "[2JCam  era");
        assert_eq!(text("Cam\u{9b}A \u{e9}".as_bytes()), "Cam A \u{e9}");
        assert_eq!(text(b""), "");
    }
}
