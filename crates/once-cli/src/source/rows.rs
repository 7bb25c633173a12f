//! The rows of a file: its header, then row after row with the line that it begins in.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use encoding_rs::UTF_8;
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::digest::{Hashed, Seen, open_file, unreadable};
use super::lines::{LONGEST_ROW, Lines, RowTooLong};
use super::shape::LineEnds;
use super::{Reading, Shape, problem};
use crate::error::{Failure, Result};
use crate::interrupt;

/// A row behind the last one: where it comes back as a row of its own, every quote before it was closed.
const END: &str = "\n\0end\0of\0file\0\n";
/// The same where a return ends lines: with END's it would be one line end.
const END_CR: &str = "\r\0end\0of\0file\0\r";

/// The longest value that is kept of a row that is rejected, in characters.
const LONGEST_VALUE: usize = 1000;

/// A row that can't be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reject {
    /// Of the file, from 1; the first of the row where it has several.
    pub line: u64,
    pub column: Option<String>,
    pub value: Option<String>,
    pub reason: String,
    pub sqlstate: Option<String>,
}

impl Reject {
    pub fn new(line: u64, reason: impl Into<String>) -> Self {
        Self { line, column: None, value: None, reason: reason.into(), sqlstate: None }
    }

    /// The cell that is at fault.
    pub fn cell(mut self, column: Option<String>, value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        // jsonb has no place for a NUL.
        let mut kept: String =
            text.chars().take(LONGEST_VALUE).map(|c| if c == '\0' { '\u{2400}' } else { c }).collect();
        if text.chars().nth(LONGEST_VALUE).is_some() {
            kept.push('…');
        }
        (self.column, self.value) = (column, Some(kept));
        self
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What stands in a file next.
pub enum Row<'a> {
    Good { line: u64, cells: &'a ByteRecord },
    Bad(Reject),
}

pub struct Rows {
    path: PathBuf,
    pub shape: Shape,
    pub header: Vec<String>,
    /// Rows without any value, so far.
    pub blank: u64,
    reader: csv::Reader<Lines<Box<dyn Read + Send>>>,
    seen: Seen,
    record: ByteRecord,
    /// The last line that was read.
    line: u64,
    ended: bool,
}

impl Rows {
    /// Opens a file, and reads its header.
    pub fn open(path: &Path, reading: &Reading) -> Result<Self> {
        let mut rows = Self::headless(path, reading)?;
        rows.read_header()?;
        Ok(rows)
    }

    /// Opens a file of which the header, if it has one, is read as a row; to be read by `next_ragged`.
    pub fn headless(path: &Path, reading: &Reading) -> Result<Self> {
        let failed = |error: io::Error| unreadable(path, &error);
        let mut file = open_file(path)?;
        let mut head = Vec::new();
        (&mut file).take(1 << 16).read_to_end(&mut head).map_err(failed)?;
        let shape = Shape::of(path, &head, reading)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;

        let (mut hashed, seen) = Hashed::new(file);
        io::copy(&mut (&mut hashed).take(shape.bom as u64), &mut io::sink()).map_err(failed)?;
        let text: Box<dyn Read + Send> = if shape.encoding == UTF_8 {
            Box::new(hashed)
        } else {
            let mut decoder = DecodeReaderBytesBuilder::new();
            decoder.encoding(Some(shape.encoding)).bom_override(false).utf8_passthru(false);
            Box::new(decoder.build_with_buffer(hashed, vec![0; 1 << 16]).map_err(failed)?)
        };
        let end = if shape.line_ends == LineEnds::Cr { END_CR } else { END };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(shape.delimiter)
            .buffer_capacity(1 << 18)
            .from_reader(Lines::new(text, end));
        Ok(Self {
            path: path.into(),
            shape,
            header: Vec::new(),
            blank: 0,
            reader,
            seen,
            record: ByteRecord::new(),
            line: 0,
            ended: false,
        })
    }

    fn read_header(&mut self) -> Result<()> {
        let Some(line) = self.read()? else {
            return Err(self.problem(1, "the file is empty").hint("Its first line has to name the columns."));
        };
        if let Some(reject) = self.undecodable(line) {
            return Err(self.problem(line, &reject.reason).hint("Mend the header, or say the file's --encoding."));
        }
        self.header = self.record.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_string()).collect();
        if self.header.iter().all(String::is_empty) {
            return Err(self
                .problem(line, "the header names no column")
                .hint("The first line has to name the columns."));
        }
        self.blank = 0;
        Ok(())
    }

    /// The next row; rows without any value are counted and passed over.
    ///
    /// # Errors
    /// Where the file can't be read on: the file as a whole is at fault.
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        self.advance(true)
    }

    /// As `next`, where a row may have any number of cells.
    pub fn next_ragged(&mut self) -> Result<Option<Row<'_>>> {
        self.advance(false)
    }

    fn advance(&mut self, is_even: bool) -> Result<Option<Row<'_>>> {
        let line = loop {
            match self.read()? {
                None => return Ok(None),
                Some(line) if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) => break line,
                Some(_) => self.blank += 1,
            }
        };
        if let Some(reject) = self.undecodable(line).or_else(|| self.ragged(line).filter(|_| is_even)) {
            return Ok(Some(Row::Bad(reject)));
        }
        Ok(Some(Row::Good { line, cells: &self.record }))
    }

    /// Bytes of the file that were read.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes()
    }

    /// Bytes of the file up to the end of this row, about: text that is decoded changes its length.
    pub fn consumed(&self) -> u64 {
        let handed_out = self.reader.get_ref().offset().max(1);
        let share = u128::from(self.reader.position().byte()) * u128::from(self.bytes()) / u128::from(handed_out);
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// The SHA-256 of what was read.
    pub fn sha256(&self) -> String {
        self.seen.sha256()
    }

    /// Reads a record, and gives the line that it begins in.
    fn read(&mut self) -> Result<Option<u64>> {
        interrupt::check()?;
        if self.ended {
            return Ok(None);
        }
        let more = self.reader.read_byte_record(&mut self.record).map_err(|error| self.broken(&error))?;
        let end = self.reader.position().byte();
        let lines = self.reader.get_mut();
        // The line end before the mark may be that of the last row.
        let (last, past_end) = (lines.row_ended(end), !more || lines.end().is_some_and(|text| end > text + 1));
        let within = line_ends(&self.record);
        let begins = last.saturating_sub(within).max(1);
        let blank = begins.saturating_sub(self.line + 1);
        if past_end {
            if self.record.as_slice() == END.trim().as_bytes() {
                self.ended = true;
                // One line end is ours, or the file's last.
                self.blank += blank.saturating_sub(1);
                return Ok(None);
            }
            // The last line end is within the row here.
            return Err(self
                .problem((last + 1).saturating_sub(within), "a quote is opened and never closed")
                .detail("All that follows would be one value. It may be a row before this one whose quote is missing.")
                .hint("Close the quote, or double it where it belongs to the value: \"12\"\" pipe\"."));
        }
        self.blank += blank;
        self.line = last;
        Ok(Some(begins))
    }

    fn broken(&self, error: &csv::Error) -> Failure {
        let line = self.line + 1;
        match error.kind() {
            csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|e| e.is::<RowTooLong>()) => self
                .problem(line, format_args!("the row is longer than {} MB", LONGEST_ROW >> 20))
                .hint("Is a quote opened in it and never closed?"),
            csv::ErrorKind::Io(error) => {
                unreadable(&self.path, error).detail(format!("It was read up to line {}.", self.line))
            }
            _ => self.problem(line, error),
        }
    }

    fn undecodable(&self, line: u64) -> Option<Reject> {
        let all = self.record.as_slice();
        let at_fault = |is_bad: &dyn Fn(&[u8]) -> bool| self.record.iter().position(is_bad).unwrap_or(0);
        let reject = |field: usize, reason: String| {
            let column = self.header.get(field).cloned();
            let reject = Reject::new(line, reason).cell(column, self.record.get(field).unwrap_or_default());
            Some(Reject { sqlstate: Some("22021".into()), ..reject })
        };
        if memchr::memchr(0, all).is_some() {
            return reject(at_fault(&|cell| cell.contains(&0)), "a NUL byte, which Postgres can't store".into());
        }
        if std::str::from_utf8(all).is_err() {
            let field = at_fault(&|cell| std::str::from_utf8(cell).is_err());
            let cell = self.record.get(field).unwrap_or_default();
            let at = std::str::from_utf8(cell).err().map_or(0, |error| error.valid_up_to());
            let byte = cell.get(at).copied().unwrap_or_default();
            return reject(
                field,
                format!("byte 0x{byte:02x} is not UTF-8; if the file is Latin-1, read it with --encoding latin1"),
            );
        }
        if self.shape.encoding != UTF_8 && memchr::memmem::find(all, "\u{fffd}".as_bytes()).is_some() {
            let field = at_fault(&|cell| memchr::memmem::find(cell, "\u{fffd}".as_bytes()).is_some());
            return reject(field, format!("a character that is not {}", self.shape.encoding.name()));
        }
        None
    }

    /// Cells too many are none where they are empty, as spreadsheets leave them.
    fn ragged(&self, line: u64) -> Option<Reject> {
        let (cells, columns) = (self.record.len(), self.header.len());
        if cells == columns
            || (cells > columns && self.record.iter().skip(columns).all(|cell| cell.trim_ascii().is_empty()))
        {
            return None;
        }
        let quote = if memchr::memchr2(b'\n', b'\r', self.record.as_slice()).is_some() {
            "; is a quote opened and not closed?"
        } else {
            ""
        };
        let row = self
            .record
            .iter()
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>()
            .join(&char::from(self.shape.delimiter).to_string());
        let reason = format!("the row has {cells} cells, the header {columns}{quote}");
        Some(Reject { sqlstate: Some("22P04".into()), ..Reject::new(line, reason).cell(None, row.as_bytes()) })
    }

    fn problem(&self, line: u64, what: impl std::fmt::Display) -> Failure {
        problem(&self.path, Some(line), what)
    }
}

/// The line ends within a row's cells. A return at the end of a cell and a line feed at the beginning of the next are two.
fn line_ends(row: &ByteRecord) -> u64 {
    if memchr::memchr(b'\r', row.as_slice()).is_none() {
        return memchr::memchr_iter(b'\n', row.as_slice()).count() as u64;
    }
    let of_cell = |cell: &[u8]| {
        let begun_by_return = |at: &usize| cell[*at] == b'\n' && *at > 0 && cell[at - 1] == b'\r';
        memchr::memchr2_iter(b'\n', b'\r', cell).filter(|at| !begun_by_return(at)).count() as u64
    };
    row.iter().map(of_cell).sum()
}
