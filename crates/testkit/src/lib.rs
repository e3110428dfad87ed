//! For tests alone: frames, fake cameras, slow viewers. Nothing that ships imports it.
