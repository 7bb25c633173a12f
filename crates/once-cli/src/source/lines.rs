//! The lines of a text as it is read, whatever ends them: so that a row can be named by its line, and a row without
//! end is noticed before it fills the memory.

use std::collections::VecDeque;
use std::io::{self, Cursor, Read};

/// What a row may take: more is a quote that was never closed.
pub const LONGEST_ROW: u64 = 16 << 20;

pub struct Lines<R> {
    inner: R,
    /// What is handed out behind the text.
    mark: Cursor<&'static str>,
    /// Where the text ends, once that is known.
    end: Option<u64>,
    /// Bytes handed out.
    offset: u64,
    /// Where lines begin that were not asked for yet.
    starts: VecDeque<u64>,
    line: u64,
    after_return: bool,
    /// Where the row that is being read begins.
    row: u64,
}

impl<R: Read> Lines<R> {
    pub fn new(inner: R, mark: &'static str) -> Self {
        Self {
            inner,
            mark: Cursor::new(mark),
            end: None,
            offset: 0,
            starts: VecDeque::new(),
            line: 1,
            after_return: false,
            row: 0,
        }
    }

    /// The line of the byte before `end`, where a row ended; `end` never goes back.
    pub fn row_ended(&mut self, end: u64) -> u64 {
        self.row = end;
        while self.starts.front().is_some_and(|start| *start < end) {
            self.starts.pop_front();
            self.line += 1;
        }
        self.line
    }

    /// Bytes handed out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the text ended and the mark began.
    pub fn end(&self) -> Option<u64> {
        self.end
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offset - self.row > LONGEST_ROW {
            return Err(io::Error::other(RowTooLong));
        }
        let mut read = if self.end.is_none() { self.inner.read(buffer)? } else { 0 };
        if read == 0 && !buffer.is_empty() {
            self.end.get_or_insert(self.offset);
            read = self.mark.read(buffer)?;
        }
        for at in memchr::memchr2_iter(b'\n', b'\r', &buffer[..read]) {
            let begins = self.offset + at as u64 + 1;
            let second_half = buffer[at] == b'\n' && if at == 0 { self.after_return } else { buffer[at - 1] == b'\r' };
            if second_half {
                self.starts.pop_back();
            }
            self.starts.push_back(begins);
        }
        if read > 0 {
            self.after_return = buffer[read - 1] == b'\r';
        }
        self.offset += read as u64;
        Ok(read)
    }
}

/// A row that is longer than `LONGEST_ROW`.
#[derive(Debug)]
pub struct RowTooLong;

impl std::fmt::Display for RowTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a row is longer than {} MB", LONGEST_ROW >> 20)
    }
}

impl std::error::Error for RowTooLong {}
