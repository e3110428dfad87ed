// Reads fragmented MP4 as the server writes it. A fragment has one `moof` with one frame: when the frame is to be
// decoded and shown. An init segment has what a decoder must know first.

// The server counts time in these parts of a second.
const TICKS = 90000;
const HEAD_BYTES = 8;
// Flags of `tfhd` and `trun` (ISO/IEC 14496-12): which fields there are.
const HAS_BASE_OFFSET = 0x1;
const HAS_DESCRIPTION = 0x2;
const HAS_DURATION = 0x8;
const HAS_DATA_OFFSET = 0x1;
const HAS_FIRST_FLAGS = 0x4;
const HAS_SAMPLE_DURATION = 0x100;
const HAS_SAMPLE_SIZE = 0x200;
const HAS_SAMPLE_FLAGS = 0x400;
const HAS_SHIFT = 0x800;
// Before the boxes in `stsd`, and in the entry there for video (ISO/IEC 14496-12 and -15).
const LIST_HEAD_BYTES = 8;
const VIDEO_HEAD_BYTES = 78;

/** A view of the content of the first box called `name` in `view`; null without one. */
function find(view, name) {
  for (let at = 0; at + HEAD_BYTES <= view.byteLength; ) {
    const size = view.getUint32(at);
    if (size < HEAD_BYTES || at + size > view.byteLength) return null;
    const kind = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at + 4, 4));
    if (kind === name) return new DataView(view.buffer, view.byteOffset + at + HEAD_BYTES, size - HEAD_BYTES);
    at += size;
  }
  return null;
}

const flagsOf = (view) => view.getUint32(0) & 0xffffff;

/** The place of the duration in `tfhd` or `trun`, as a view of these four bytes; null if there is none. */
function findDuration(tfhd, trun) {
  const part = (view, at) => new DataView(view.buffer, view.byteOffset + at, 4);
  const [own, usual] = [flagsOf(trun), flagsOf(tfhd)];
  if (own & HAS_SAMPLE_DURATION) return part(trun, 8 + (own & HAS_DATA_OFFSET ? 4 : 0) + (own & HAS_FIRST_FLAGS ? 4 : 0));
  if (!(usual & HAS_DURATION)) return null;
  return part(tfhd, 8 + (usual & HAS_BASE_OFFSET ? 8 : 0) + (usual & HAS_DESCRIPTION ? 4 : 0));
}

/** How much later than it is decoded a frame is shown, in ticks. */
function shift(trun) {
  const flags = flagsOf(trun);
  if (!(flags & HAS_SHIFT)) return 0;
  const before = [HAS_DATA_OFFSET, HAS_FIRST_FLAGS, HAS_SAMPLE_DURATION, HAS_SAMPLE_SIZE, HAS_SAMPLE_FLAGS];
  return trun.getInt32(8 + 4 * before.filter((flag) => flags & flag).length);
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const after = (view, count) => new DataView(view.buffer, view.byteOffset + count, view.byteLength - count);

/** The decoder configuration record of the video in an init segment; null if `bytes` are no such segment. */
export function readConfiguration(bytes) {
  try {
    const path = ["moov", "trak", "mdia", "minf", "stbl", "stsd"];
    const list = after(path.reduce(find, viewOf(bytes)), LIST_HEAD_BYTES);
    const entry = after(find(list, "avc1") ?? find(list, "hvc1"), VIDEO_HEAD_BYTES);
    return bytesOf(find(entry, "avcC") ?? find(entry, "hvcC"));
  } catch {
    // A box is missing, or shorter than it should be.
    return null;
  }
}

/**
 * `{ decodedAt, shownAt, content, setDuration }`, the times in seconds of the stream's own time; null if `bytes` are no
 * such fragment. `content` is the frame. `setDuration` writes the duration of the frame into `bytes`.
 */
export function readFragment(bytes) {
  try {
    const view = viewOf(bytes);
    const moof = find(view, "moof");
    const traf = moof && find(moof, "traf");
    const [tfhd, tfdt, trun] = ["tfhd", "tfdt", "trun"].map((name) => traf && find(traf, name));
    const mdat = find(view, "mdat");
    if (!tfhd || !tfdt || !trun || !mdat) return null;
    const decodedAt = tfdt.getUint8(0) === 1 ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4);
    const duration = findDuration(tfhd, trun);
    return {
      decodedAt: decodedAt / TICKS,
      shownAt: (decodedAt + shift(trun)) / TICKS,
      content: bytesOf(mdat),
      setDuration: (seconds) => duration?.setUint32(0, Math.round(seconds * TICKS)),
    };
  } catch {
    // A box is shorter than its flags say.
    return null;
  }
}
