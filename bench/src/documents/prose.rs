//! Prose of a training log, the same for the same seed.

/// Ordinary words: one in ten has a letter that is not ASCII.
const WORDS: [&str; 40] = [
    "squat", "bench", "press", "deadlift", "row", "5×5", "at", "100", "kg,", "then", "three", "sets", "of", "eight",
    "with", "a", "slow", "tempo", "and", "two", "minutes", "rest;", "felt", "good,", "left", "knee", "café", "run",
    "12", "km", "easy", "pace", "4:55", "interval", "warm-up", "naïve", "the", "last", "Übung", "was",
];

pub struct Prose {
    state: u64,
}

impl Prose {
    pub fn new(seed: u64) -> Self {
        // Xorshift stays 0 where it begins with 0.
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// A number below `limit`.
    pub fn random(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }

    /// Appends words, a space between them, until there are `bytes` of them or a few more.
    pub fn push_line(&mut self, text: &mut String, bytes: usize) {
        let start = text.len();
        loop {
            text.push_str(WORDS[self.random(WORDS.len() as u64) as usize]);
            if text.len() - start >= bytes {
                break;
            }
            text.push(' ');
        }
    }

    /// A text of about 2 kB that begins with `title`: most have line breaks and empty lines, one of ten has Windows' line
    /// breaks, and one of ten is clean: its only white space is single spaces.
    pub fn text(&mut self, title: &str) -> String {
        let (line_break, paragraph) = match self.random(10) {
            0 => (" ", " "),
            1 => ("\r\n", "\r\n\r\n"),
            _ => ("\n", "\n\n"),
        };
        let bytes = 1500 + self.random(1000) as usize;
        let mut text = title.to_owned();
        while text.len() < bytes {
            text.push_str(if self.random(5) == 0 { paragraph } else { line_break });
            let line = 40 + self.random(40) as usize;
            self.push_line(&mut text, line);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_2_kb_and_one_of_ten_is_clean() {
        let mut prose = Prose::new(7);
        let texts: Vec<_> = (0..10_000).map(|number| prose.text(&format!("Log {number}"))).collect();
        let average = texts.iter().map(String::len).sum::<usize>() / texts.len();
        assert!((1950..2100).contains(&average), "{average}");
        let clean = texts.iter().filter(|text| !text.contains('\n')).inspect(|text| assert!(!text.contains("  ")));
        assert!((900..1100).contains(&clean.count()));
        assert_eq!(texts[0], Prose::new(7).text("Log 0"));
        assert_ne!(texts[0], Prose::new(8).text("Log 0"));
    }

    #[test]
    fn a_line_has_single_spaces_only() {
        let mut line = String::new();
        Prose::new(7).push_line(&mut line, 5000);
        assert!((5000..5010).contains(&line.len()));
        assert!(line == line.trim() && !line.contains("  "));
    }
}
