//! The formats in which a table can be written.

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableFormat {
    /// An HTML page for people.
    Html,
    /// Comma-separated values (RFC 4180) in UTF-8. The first line has the column names.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// One JSON array of objects.
    Json,
}

impl TableFormat {
    /// All formats, the format for people first.
    pub const ALL: [Self; 4] = [Self::Html, Self::Csv, Self::Json, Self::Ndjson];

    /// Returns the format for the file extension `extension`, which has no dot; `None` for an unknown extension. The
    /// case of `extension` does not matter.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Returns the extension for the name of a file in this format, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
        }
    }
}
