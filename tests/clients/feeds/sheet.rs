//! A sheet of leads that people work on, and what processing its rows one by one in order would give.

use anyhow::Result;
use once_tests::postgres::{Client, GenericClient};
use once_tests::promo::{call, texts};
use once_tests::{Db, Value, json};

/// A database with the kit and three users, two of whom are active, and a feed `sheet` that tells of each lead by itself.
pub fn install(db: &Db) -> Result<Client> {
    let mut client = db.client()?;
    call(&mut client, "install_kit('leads', 'public')", &[])?;
    client.batch_execute(
        "INSERT INTO lead_users (user_id, org_id, name, role, active) SELECT u.id::uuid, '00000000-0000-0000-0000-000000000000', u.name, u.role, u.active
         FROM (VALUES ('11111111-1111-4111-8111-111111111111', 'Ann', 'agent', true), ('22222222-2222-4222-8222-222222222222', 'Bob', 'manager', true),
                      ('33333333-3333-4333-8333-333333333333', 'Cem', 'agent', false)) AS u(id, name, role, active)",
    )?;
    call(&mut client, "create_feed('sheet', 'leads', '{\"notify\": {\"mode\": \"each\"}}')", &[])?;
    Ok(client)
}

pub fn run(client: &mut impl GenericClient, rows: &[Value]) -> Result<Value> {
    call(client, "run_feed('sheet', $1)", &[&Value::from(rows)])
}

/// Numbers that look random and are the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, sides: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

/// A row of the sheet, by what it means.
#[derive(Clone, PartialEq)]
pub struct Row {
    pub id: Option<u64>,
    pub name: Option<String>,
    /// Seven digits after +6012.
    pub phone: Option<u64>,
    /// How the phone is written.
    pub style: usize,
    pub email: Option<String>,
}

impl Row {
    pub fn new(number: u64, dice: &mut Dice) -> Self {
        // Some share an address or a number with others, and some lack what they need.
        let phone = if dice.below(8) == 0 { dice.below(number as usize + 1) as u64 } else { number };
        let email = match dice.below(6) {
            0 => None,
            1 => Some(format!("p{}@example.com", dice.below(number as usize + 1))),
            _ => Some(format!("p{number}@example.com")),
        };
        Self {
            id: (dice.below(25) > 0).then_some(number),
            name: (dice.below(25) > 0).then(|| format!("Person {number}")),
            phone: (dice.below(25) > 0).then_some(phone),
            style: dice.below(3),
            email,
        }
    }

    /// As the sheet has it.
    pub fn json(&self) -> Value {
        let phone = self.phone.map(|phone| match self.style {
            0 => format!("p:+6012{phone:07}"),
            1 => format!("012-{:03} {:04}", phone / 10_000, phone % 10_000),
            _ => format!("+60 12 {phone:07}"),
        });
        let email = self.email.as_ref().map(|email| if self.style == 1 { email.to_uppercase() } else { email.clone() });
        json!({
            "id": self.id.map(|id| format!("l:{id}")), "created_time": "2024-05-01T09:13:22+08:00", "ad_id": "ag:1", "platform": "fb",
            "email": email, "full_name": self.name, "phone_number": phone, "is_organic": "false", "lead_status": "CREATED",
        })
    }
}

#[derive(Clone)]
pub struct Sheet {
    pub rows: Vec<Row>,
    next: u64,
}

impl Sheet {
    pub fn new(rows: usize, dice: &mut Dice) -> Self {
        let mut sheet = Self { rows: Vec::new(), next: 1 };
        sheet.append(rows, dice);
        sheet
    }

    pub fn append(&mut self, rows: usize, dice: &mut Dice) {
        for _ in 0..rows {
            self.rows.push(Row::new(self.next, dice));
            self.next += 1;
        }
    }

    /// What people do to a sheet between two runs.
    pub fn work(&mut self, dice: &mut Dice) {
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(self.rows.len());
            match dice.below(9) {
                0 => self.rows.sort_by(|a, b| a.name.cmp(&b.name)),
                1 => self.rows.sort_by_key(|row| std::cmp::Reverse(row.phone)),
                2 => self.rows.reverse(),
                3 => {
                    let row = self.rows.remove(at);
                    self.rows.insert(dice.below(self.rows.len() + 1), row);
                }
                4 => {
                    let row = Row::new(self.next, dice);
                    self.next += 1;
                    self.rows.insert(at, row);
                }
                5 if self.rows.len() > 10 => drop(self.rows.remove(at)),
                6 => self.rows[at].name = Some(format!("Renamed {}", dice.below(1000))),
                7 => self.rows[at].phone = Some(5_000_000 + dice.below(1_000_000) as u64),
                8 => self.rows[at].email = Some(format!("new{}@example.com", dice.below(100_000))),
                _ => self.append(dice.below(5), dice),
            }
        }
        self.append(dice.below(6), dice);
    }

    pub fn json(&self) -> Vec<Value> {
        self.rows.iter().map(Row::json).collect()
    }
}

/// Leads as one row after the other would make them: whoever is there by id, address or phone is there already.
#[derive(Default)]
pub struct Leads(Vec<Row>);

impl Leads {
    pub fn process(&mut self, sheet: &Sheet) {
        for row in &sheet.rows {
            if row.id.is_none() || row.name.is_none() || row.phone.is_none() {
                continue;
            }
            let same = |lead: &Row| {
                lead.id == row.id || (row.email.is_some() && lead.email == row.email) || lead.phone == row.phone
            };
            if !self.0.iter().any(same) {
                self.0.push(row.clone());
            }
        }
    }

    pub fn shown(&self) -> Vec<String> {
        let shown = |lead: &Row| {
            let (id, phone) = (lead.id.unwrap_or_default(), lead.phone.unwrap_or_default());
            let (name, email) = (lead.name.clone().unwrap_or_default(), lead.email.clone().unwrap_or_default());
            format!("{id}|{name}|+6012{phone:07}|{email}")
        };
        let mut shown: Vec<String> = self.0.iter().map(shown).collect();
        shown.sort();
        shown
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The leads that are there, as `Leads::shown` has them.
pub fn there(client: &mut Client) -> Result<Vec<String>> {
    let sql = "SELECT l FROM leads, concat_ws('|', external_lead_id, client_name, phone_number, coalesce(email, '')) AS l ORDER BY l COLLATE \"C\"";
    texts(client, sql)
}

/// That each lead was told of once to each active user, and to nobody else.
pub fn told_once(client: &mut Client) -> Result<()> {
    let wrong = "SELECT concat_ws(' ', l.lead_id, n.users) FROM leads l FULL JOIN (
                   SELECT lead_id, string_agg(left(user_id, 1), '' ORDER BY user_id) AS users FROM once.notifications GROUP BY lead_id) n
                 ON n.lead_id = l.lead_id::text WHERE n.users IS DISTINCT FROM '12' OR l.lead_id IS NULL";
    assert_eq!(texts(client, wrong)?, Vec::<String>::new());
    Ok(())
}
