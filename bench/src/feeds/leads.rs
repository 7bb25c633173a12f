//! A sheet of leads as Facebook exports it, the same for the same seed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::generate::scramble;

/// What was written.
#[derive(Serialize)]
pub struct Sheet {
    pub count: u64,
    /// Of the JSON.
    pub bytes: u64,
    #[serde(skip)]
    pub rows: Box<RawValue>,
    #[serde(skip)]
    pub path: PathBuf,
}

impl Sheet {
    pub fn write(folder: &Path, seed: u64, count: u64) -> Result<Self> {
        let text = Value::from((0..count).map(|number| lead(seed, number)).collect::<Vec<_>>()).to_string();
        let path = folder.join("leads.json");
        fs::write(&path, &text)?;
        Ok(Self { count, bytes: text.len() as u64, rows: RawValue::from_string(text)?, path })
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leads, {:.1} MB of JSON", self.count, self.bytes as f64 / 1e6)
    }
}

fn lead(seed: u64, number: u64) -> Value {
    let random = scramble(number, seed);
    json!({
        "id": format!("l:{}", 1_000_000_000_000_u64 + number * 7919),
        "created_time": format!("2024-{:02}-{:02}T{:02}:{:02}:00+08:00", 1 + random % 12, 1 + random % 28, random % 24, random % 60),
        "ad_id": format!("ag:{}", 23_000 + random % 50),
        "ad_name": "Spring, carousel",
        "adset_id": format!("as:{}", random % 20),
        "adset_name": "Kuala Lumpur 25-45",
        "campaign_id": format!("c:{}", random % 7),
        "campaign_name": "Spring",
        "form_id": format!("f:{}", random % 3),
        "form_name": "Test drive",
        "is_organic": "false",
        "platform": if random.is_multiple_of(3) { "ig" } else { "fb" },
        "email": format!("lead{number}@example.com"),
        "full_name": format!("Lead {number}"),
        "phone_number": format!("p:+6012{number:07}"),
        "lead_status": "CREATED",
    })
}
