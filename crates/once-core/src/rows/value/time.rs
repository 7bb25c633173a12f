//! Dates and times.

/// A time of day of the twelve-hour clock, `2:15 PM`, on that of twenty-four; `None` for what is none.
pub(super) fn twelve_hours(text: &str) -> Option<String> {
    // An hour of one digit is as clear without noon.
    if text.as_bytes().get(1) == Some(&b':') && text.is_ascii() && !text.ends_with(['m', 'M']) {
        return Some(format!("0{text}"));
    }
    let lower = text.to_ascii_lowercase();
    let (time, noon) = match lower.strip_suffix("am") {
        Some(time) => (time, 0),
        None => (lower.strip_suffix("pm")?, 12),
    };
    let (hour, rest) = time.trim_end().split_once(':')?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    Some(format!("{:02}:{rest}", hour % 12 + noon))
}

/// Reads dates and times as ISO 8601 writes them.
pub(super) struct Scanner<'a> {
    pub rest: &'a [u8],
}

impl Scanner<'_> {
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(number.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    pub fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !bytes.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    pub fn date(&mut self) -> bool {
        let mut read = || {
            let year = self.number(4)?;
            self.one_of(b"-")?;
            let month = self.number(2)?;
            self.one_of(b"-")?;
            let day = self.number(2)?;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                4 | 6 | 9 | 11 => 30,
                2 if leap => 29,
                2 => 28,
                _ => 31,
            };
            Some(year >= 1 && (1..=12).contains(&month) && (1..=last).contains(&day))
        };
        read().unwrap_or(false)
    }

    pub fn time_of_day(&mut self, digits: usize) -> bool {
        let mut read = || {
            let hour = self.number(2)?;
            self.one_of(b":")?;
            let minute = self.number(2)?;
            let second = if self.one_of(b":").is_some() { self.number(2)? } else { 0 };
            Some(hour < 24 && minute < 60 && second < 60 && self.fraction(digits))
        };
        read().unwrap_or(false)
    }

    /// Digits after a point, of which no more than so many say something.
    fn fraction(&mut self, digits: usize) -> bool {
        let before = self.rest;
        if self.one_of(b".").is_none() {
            return true;
        }
        let count = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let telling = self.rest[..count].iter().rposition(|b| *b != b'0').map_or(0, |at| at + 1);
        if count == 0 || telling > digits {
            self.rest = before;
            return false;
        }
        self.rest = &self.rest[count..];
        true
    }

    /// Whether it stopped at a fraction that is too long.
    pub fn too_precise(&self, digits: usize) -> bool {
        matches!(self.rest.split_first(), Some((b'.', rest)) if rest.iter().take_while(|b| b.is_ascii_digit()).count() > digits)
    }

    /// `Z`, an offset, or nothing.
    pub fn zone(&mut self) -> bool {
        if self.rest.is_empty() || self.one_of(b"Z").is_some() {
            return true;
        }
        let mut read = || {
            self.one_of(b"+-")?;
            let hours = self.number(2)?;
            let colon = self.one_of(b":").is_some();
            let minutes = if colon || !self.rest.is_empty() { self.number(2)? } else { 0 };
            Some(hours < 16 && minutes < 60)
        };
        read().unwrap_or(false)
    }
}
