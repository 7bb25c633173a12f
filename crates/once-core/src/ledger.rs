//! A ledger: numbered events, each with a hash over its content and the hash before, so that none can be altered, left out or
//! moved unnoticed. What is cut off its end only a hash that is kept elsewhere tells.

use crate::sha256::sha256;

/// The last event of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// From 1; 0 where there is no event.
    pub number: i64,
    /// 64 hex digits; zeros where there is no event.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, hash: "0".repeat(64) }
    }
}

impl Head {
    /// The hash of an event of this content that comes next.
    pub fn hash(&self, content: &str) -> String {
        sha256(&[self.hash.as_bytes(), content.as_bytes()])
    }
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Missing,
    Altered,
    Unconnected,
    /// The events after it were there once.
    Cut,
}

impl Fault {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "it is missing",
            Self::Altered => "its content is not what its hash was taken of",
            Self::Unconnected => "it does not follow the event before it",
            Self::Cut => "the expected head is not in the ledger: events from this one on are gone",
        }
    }
}

/// A ledger that is read from its first event on.
#[derive(Debug, Default)]
pub struct Reading {
    pub head: Head,
    pub events: u64,
    bad: Option<(i64, Fault)>,
    /// The expected head, until it is met.
    awaited: Option<String>,
}

impl Reading {
    /// `expected`: the hash of an event that must be there.
    pub fn expecting(expected: Option<&str>) -> Self {
        let awaited = expected.map(str::to_ascii_lowercase).filter(|expected| *expected != Head::default().hash);
        Self { awaited, ..Self::default() }
    }

    /// The next event.
    pub fn read(&mut self, number: i64, previous: &str, hash: String, content: &str) {
        let next = self.head.number + 1;
        let fault = match () {
            () if number != next => Some((next, Fault::Missing)),
            () if hash != sha256(&[previous.as_bytes(), content.as_bytes()]) => Some((number, Fault::Altered)),
            () if previous != self.head.hash => Some((number, Fault::Unconnected)),
            () => None,
        };
        self.bad = self.bad.or(fault);
        self.events += 1;
        self.awaited.take_if(|awaited| *awaited == hash);
        self.head = Head { number, hash };
    }

    /// The first event that is not as it was, once all are read.
    pub fn first_bad(&self) -> Option<(i64, Fault)> {
        self.bad.or(self.awaited.as_ref().map(|_| (self.head.number + 1, Fault::Cut)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event as it is written: number, previous hash, hash, content.
    type Event = (i64, String, String, String);

    fn written(contents: &[&str]) -> Vec<Event> {
        let mut head = Head::default();
        let mut events = Vec::new();
        for (number, content) in (1..).zip(contents) {
            let hash = head.hash(content);
            events.push((number, head.hash.clone(), hash.clone(), content.to_string()));
            head = Head { number, hash };
        }
        events
    }

    fn read(events: &[Event], expected: Option<&str>) -> Option<(i64, Fault)> {
        let mut reading = Reading::expecting(expected);
        for (number, previous, hash, content) in events {
            reading.read(*number, previous, hash.clone(), content);
        }
        reading.first_bad()
    }

    #[test]
    fn the_first_fault_is_named() {
        let good = written(&["a", "b", "c", "d"]);
        // By Python's hashlib: of 64 zeros and "a"; of that in hex and "b".
        assert_eq!(good[0].2, "798681f5061511d34f32f43ab175a3ee7007fecfdc844295e054315b0af2d23d");
        assert_eq!(good[1].2, "3682b038900167ad4cb4d1c4048581bd4473b2e74239b4abb490e156774c84b2");
        assert_eq!(read(&good, None), None);
        let change = |change: &dyn Fn(&mut Vec<Event>)| {
            let mut events = good.clone();
            change(&mut events);
            read(&events, None)
        };
        assert_eq!(change(&|events| events[1].3 = "B".into()), Some((2, Fault::Altered)));
        assert_eq!(change(&|events| drop(events.remove(0))), Some((1, Fault::Missing)));
        assert_eq!(change(&|events| drop(events.remove(2))), Some((3, Fault::Missing)));
        assert_eq!(change(&|events| events[2].2 = "0".repeat(64)), Some((3, Fault::Altered)));
        // An event that was written anew with its hash leaves the next one behind.
        let again = |events: &mut Vec<Event>| {
            events[1].3 = "B".into();
            events[1].2 = sha256(&[events[1].1.as_bytes(), b"B"]);
        };
        assert_eq!(change(&again), Some((3, Fault::Unconnected)));
        // Two events in each other's place, under each other's number.
        let swap = |events: &mut Vec<Event>| {
            events.swap(1, 2);
            (events[1].0, events[2].0) = (2, 3);
        };
        assert_eq!(change(&swap), Some((2, Fault::Unconnected)));
    }

    #[test]
    fn a_cut_end_is_seen_from_outside() {
        let good = written(&["a", "b", "c"]);
        let head = good[2].2.to_uppercase();
        assert_eq!(read(&good, Some(&head)), None);
        assert_eq!(read(&good[..2], None), None);
        assert_eq!(read(&good[..2], Some(&head)), Some((3, Fault::Cut)));
        assert_eq!(read(&[], Some(&head)), Some((1, Fault::Cut)));
        // What has been added since is no matter, and an empty ledger may be expected too.
        assert_eq!(read(&good, Some(&good[0].2)), None);
        assert_eq!(read(&good, Some(&"0".repeat(64))), None);
    }
}
