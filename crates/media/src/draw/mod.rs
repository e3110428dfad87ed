//! Drawn pictures: a canvas, text in a bitmap font, the digits of the emulated camera.
