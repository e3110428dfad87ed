//! Compile-time assertions of the sizes of the kernel's structures.
//!
//! The size of a structure is part of the number of the ioctl call, so at best the kernel would reject a call with a
//! wrong size. On 32-bit targets, the sizes depend on the width of the C library's time type, and on whether 64-bit
//! numbers are aligned to 8 bytes (ARM) or 4 bytes (x86).

use std::mem::{offset_of, size_of};

use crate::sys::{
    DvTimings, EventSubscription, ExtControl, ExtControls, FmtDesc, FrmIvalEnum, FrmSizeEnum, PixFormat,
    PixFormatMplane, PlanePixFormat, QueryExtCtrl, QueryMenu, RequestBuffers, StreamParm, V4l2Buffer,
    V4l2Capability, V4l2Event, V4l2Format, V4l2Input, V4l2Plane,
};

const _: () = {
    assert!(size_of::<V4l2Capability>() == 104);
    assert!(size_of::<FmtDesc>() == 64);
    assert!(size_of::<FrmSizeEnum>() == 44);
    assert!(size_of::<FrmIvalEnum>() == 52);
    assert!(size_of::<PixFormat>() == 48);
    assert!(size_of::<PlanePixFormat>() == 20);
    assert!(size_of::<PixFormatMplane>() == 192);
    assert!(size_of::<RequestBuffers>() == 20);
    assert!(size_of::<StreamParm>() == 204);
    assert!(size_of::<DvTimings>() == 132);
    assert!(size_of::<EventSubscription>() == 32);
    assert!(size_of::<QueryExtCtrl>() == 232);
    assert!(size_of::<QueryMenu>() == 44);
    assert!(size_of::<ExtControl>() == 20);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<V4l2Format>() == 208 && offset_of!(V4l2Format, fmt) == 8);
    assert!(size_of::<V4l2Plane>() == 64);
    assert!(size_of::<V4l2Buffer>() == 88);
    assert!(offset_of!(V4l2Buffer, timestamp) == 24 && offset_of!(V4l2Buffer, m) == 64);
    assert!(size_of::<V4l2Input>() == 80 && offset_of!(V4l2Input, status) == 56);
    assert!(size_of::<V4l2Event>() == 136 && offset_of!(V4l2Event, pending) == 72);
    assert!(size_of::<ExtControls>() == 32 && offset_of!(ExtControls, controls) == 24);
};

#[cfg(target_pointer_width = "32")]
const _: () = {
    let has_wide_time = size_of::<libc::time_t>() == 8;
    let has_wide_alignment = align_of::<i64>() == 8;
    assert!(size_of::<V4l2Format>() == 204 && offset_of!(V4l2Format, fmt) == 4);
    assert!(size_of::<V4l2Plane>() == 60);
    assert!(
        size_of::<V4l2Buffer>()
            == match (has_wide_time, has_wide_alignment) {
                (false, _) => 68,
                (true, false) => 76,
                (true, true) => 80,
            }
    );
    assert!(size_of::<V4l2Input>() == if has_wide_alignment { 80 } else { 76 });
    assert!(
        size_of::<V4l2Event>()
            == match (has_wide_time, has_wide_alignment) {
                (false, false) => 120,
                (false, true) => 128,
                (true, false) => 128,
                (true, true) => 136,
            }
    );
    assert!(size_of::<ExtControls>() == 24 && offset_of!(ExtControls, controls) == 20);
};
