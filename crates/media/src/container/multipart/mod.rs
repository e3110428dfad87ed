//! `multipart/x-mixed-replace` (RFC 2046 §5.1): one response whose parts replace each other, which every browser and
//! nearly every camera supports.
//!
//! [`Writer`] makes the bytes of a stream, [`Parser`] parses all the variants that cameras send. Both carry parts of
//! any content type. They use no sockets and no HTTP, and do not interpret the parts.
//!
//! ```
//! use framecast_media::container::multipart::{ParserEvent, Parser, Writer};
//!
//! let writer = Writer::new("frame")?;
//! let mut stream = writer.opening().to_vec();
//! stream.extend_from_slice(&writer.part(&[("Content-Type", "text/plain")], b"hello")?);
//!
//! let mut parser = Parser::new(Some("frame"));
//! parser.push(&stream);
//! let Some(ParserEvent::Part(part)) = parser.next_event()? else { panic!("the part is complete") };
//! assert_eq!(part.header("content-type"), Some("text/plain"));
//! assert_eq!(&part.body[..], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content_type;
mod delimiter;
mod parser;
mod part;
#[cfg(test)]
mod tests;
mod unix_time;
mod writer;

pub use content_type::boundary_from_content_type;
pub use parser::{Limits, Parser, ParserEvent, PartEnd};
pub use part::{Headers, Part};
pub use unix_time::{format_unix_seconds, parse_unix_seconds};
pub use writer::{WriteError, Writer};

/// What is wrong with a multipart body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The headers of a part exceed the maximum length.
    #[error("the headers of a part are longer than {limit_bytes} bytes")]
    HeaderTooLong {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A part has too many headers.
    #[error("a part has more than {limit} headers")]
    TooManyHeaders {
        /// The maximum number of headers of a part.
        limit: usize,
    },
    /// Nothing in the stream looks like the boundary line that separates two parts.
    #[error("no boundary line in the first {limit_bytes} bytes: this is not a multipart stream")]
    NoBoundary {
        /// How many bytes were searched.
        limit_bytes: usize,
    },
}
