//! The kernel's structures from `include/uapi/linux/videodev2.h`, as far as capture needs them.
//!
//! The fields have the kernel's order and widths; `sys_size` asserts the sizes of the structures. Enumeration values
//! stay plain numbers, because a newer kernel can have additional values.
#![allow(missing_docs)]

use std::ffi::c_void;

/// Structures that are valid when all their bytes are zero, and that contain no references.
///
/// # Safety
/// Every bit pattern must be a valid value of the structure.
pub(crate) unsafe trait Plain: Copy {
    fn zeroed() -> Self {
        // SAFETY: the trait guarantees that all zeros are a valid pattern.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($name:ident),*) => {
        $(
            // SAFETY: made of integers, arrays of them, raw pointers and unions of these.
            unsafe impl Plain for $name {}
        )*
    };
}

plain!(
    V4l2Capability,
    FmtDesc,
    FrmSizeEnum,
    FrmIvalEnum,
    V4l2Format,
    RequestBuffers,
    V4l2Plane,
    V4l2Buffer,
    StreamParm,
    V4l2Input,
    DvTimings,
    EventSubscription,
    V4l2Event,
    QueryExtCtrl,
    QueryMenu,
    ExtControl,
    ExtControls
);

/// The maximum number of memory planes of a picture (`VIDEO_MAX_PLANES`).
pub(crate) const MAX_PLANES: usize = 8;

pub(crate) const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
pub(crate) const BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
pub(crate) const MEMORY_MMAP: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Capability {
    pub(crate) driver: [u8; 16],
    pub(crate) card: [u8; 32],
    pub(crate) bus_info: [u8; 32],
    pub(crate) version: u32,
    pub(crate) capabilities: u32,
    pub(crate) device_caps: u32,
    pub(crate) reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FmtDesc {
    pub(crate) index: u32,
    pub(crate) buf_type: u32,
    pub(crate) flags: u32,
    pub(crate) description: [u8; 32],
    pub(crate) pixel_format: u32,
    pub(crate) mbus_code: u32,
    pub(crate) reserved: [u32; 3],
}

/// `v4l2_frmsizeenum`. `size` contains width and height, or the six numbers of a stepwise range.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FrmSizeEnum {
    pub(crate) index: u32,
    pub(crate) pixel_format: u32,
    pub(crate) kind: u32,
    pub(crate) size: [u32; 6],
    pub(crate) reserved: [u32; 2],
}

/// `v4l2_frmivalenum`. `interval` contains one fraction, or the three fractions of a stepwise range.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FrmIvalEnum {
    pub(crate) index: u32,
    pub(crate) pixel_format: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) kind: u32,
    pub(crate) interval: [u32; 6],
    pub(crate) reserved: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PixFormat {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixel_format: u32,
    pub(crate) field: u32,
    pub(crate) bytes_per_line: u32,
    pub(crate) size_image: u32,
    pub(crate) colorspace: u32,
    pub(crate) private: u32,
    pub(crate) flags: u32,
    pub(crate) ycbcr_encoding: u32,
    pub(crate) quantization: u32,
    pub(crate) transfer: u32,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct PlanePixFormat {
    pub(crate) size_image: u32,
    pub(crate) bytes_per_line: u32,
    pub(crate) reserved: [u16; 6],
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct PixFormatMplane {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixel_format: u32,
    pub(crate) field: u32,
    pub(crate) colorspace: u32,
    pub(crate) planes: [PlanePixFormat; MAX_PLANES],
    pub(crate) plane_count: u8,
    pub(crate) flags: u8,
    pub(crate) ycbcr_encoding: u8,
    pub(crate) quantization: u8,
    pub(crate) transfer: u8,
    pub(crate) reserved: [u8; 7],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union FormatUnion {
    pub(crate) pix: PixFormat,
    pub(crate) pix_mp: PixFormatMplane,
    pub(crate) raw: [u8; 200],
    /// A pointer that gives the union the same alignment as in the kernel, where a member for formats that are not used
    /// here contains a pointer.
    pub(crate) align: *mut c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Format {
    pub(crate) buf_type: u32,
    pub(crate) fmt: FormatUnion,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RequestBuffers {
    pub(crate) count: u32,
    pub(crate) buf_type: u32,
    pub(crate) memory: u32,
    pub(crate) capabilities: u32,
    pub(crate) flags: u8,
    pub(crate) reserved: [u8; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union PlaneMemory {
    pub(crate) offset: u32,
    pub(crate) userptr: libc::c_ulong,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Plane {
    pub(crate) bytes_used: u32,
    pub(crate) length: u32,
    pub(crate) memory: PlaneMemory,
    pub(crate) data_offset: u32,
    pub(crate) reserved: [u32; 11],
}

/// `struct timeval` in the width that the C library of this target uses. The kernel recognises the width from the size
/// of the enclosing structure.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TimeVal {
    pub(crate) seconds: libc::time_t,
    pub(crate) microseconds: libc::time_t,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TimeCode {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) parts: [u8; 8],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union BufferMemory {
    pub(crate) offset: u32,
    pub(crate) userptr: libc::c_ulong,
    pub(crate) planes: *mut V4l2Plane,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Buffer {
    pub(crate) index: u32,
    pub(crate) buf_type: u32,
    pub(crate) bytes_used: u32,
    pub(crate) flags: u32,
    pub(crate) field: u32,
    pub(crate) timestamp: TimeVal,
    pub(crate) timecode: TimeCode,
    pub(crate) sequence: u32,
    pub(crate) memory: u32,
    pub(crate) m: BufferMemory,
    pub(crate) length: u32,
    pub(crate) reserved2: u32,
    pub(crate) request_fd: i32,
}

/// `v4l2_streamparm` with the union member for capture.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct StreamParm {
    pub(crate) buf_type: u32,
    pub(crate) capability: u32,
    pub(crate) capture_mode: u32,
    pub(crate) numerator: u32,
    pub(crate) denominator: u32,
    pub(crate) extended_mode: u32,
    pub(crate) read_buffers: u32,
    pub(crate) reserved: [u32; 4],
    pub(crate) rest: [u8; 160],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Input {
    pub(crate) index: u32,
    pub(crate) name: [u8; 32],
    pub(crate) kind: u32,
    pub(crate) audio_set: u32,
    pub(crate) tuner: u32,
    pub(crate) standard: u64,
    pub(crate) status: u32,
    pub(crate) capabilities: u32,
    pub(crate) reserved: [u32; 3],
}

/// `v4l2_dv_timings` with the union member for BT.656 and BT.1120 timings, the only kind that exists.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct DvTimings {
    pub(crate) kind: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) interlaced: u32,
    pub(crate) polarities: u32,
    pub(crate) pixel_clock: u64,
    /// The lengths of front porch, sync and back porch, three times: horizontal, vertical, and vertical for the second
    /// field of an interlaced picture.
    pub(crate) blanking: [u32; 9],
    pub(crate) standards: u32,
    pub(crate) flags: u32,
    pub(crate) picture_aspect: [u32; 2],
    pub(crate) vic: [u8; 2],
    pub(crate) reserved: [u8; 46],
    pub(crate) rest: [u8; 4],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct EventSubscription {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) flags: u32,
    pub(crate) reserved: [u32; 5],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union EventPayload {
    pub(crate) raw: [u8; 64],
    /// A 64-bit number that gives the union the same alignment as in the kernel, where the member for controls contains
    /// a 64-bit number.
    pub(crate) align: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct V4l2Event {
    pub(crate) kind: u32,
    pub(crate) payload: EventPayload,
    pub(crate) pending: u32,
    pub(crate) sequence: u32,
    pub(crate) timestamp: libc::timespec,
    pub(crate) id: u32,
    pub(crate) reserved: [u32; 8],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct QueryExtCtrl {
    pub(crate) id: u32,
    pub(crate) kind: u32,
    pub(crate) name: [u8; 32],
    pub(crate) minimum: i64,
    pub(crate) maximum: i64,
    pub(crate) step: u64,
    pub(crate) default_value: i64,
    pub(crate) flags: u32,
    pub(crate) elem_size: u32,
    pub(crate) elems: u32,
    pub(crate) dim_count: u32,
    pub(crate) dims: [u32; 4],
    pub(crate) reserved: [u32; 32],
}

/// `v4l2_querymenu`. For an integer menu, `name` contains a 64-bit number instead of text.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct QueryMenu {
    pub(crate) id: u32,
    pub(crate) index: u32,
    pub(crate) name: [u8; 32],
    pub(crate) reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union ControlUnion {
    pub(crate) value: i32,
    pub(crate) value64: i64,
    pub(crate) string: *mut u8,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct ExtControl {
    pub(crate) id: u32,
    pub(crate) size: u32,
    pub(crate) reserved: u32,
    pub(crate) value: ControlUnion,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ExtControls {
    pub(crate) which: u32,
    pub(crate) count: u32,
    pub(crate) error_index: u32,
    pub(crate) request_fd: i32,
    pub(crate) reserved: u32,
    pub(crate) controls: *mut ExtControl,
}
