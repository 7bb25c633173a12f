//! What of mail is undone beside messages and threads when a job is.

use super::kit::{Kit, Mailbox};
use super::ledger::{self, Event};
use crate::backend;
use crate::error::Result;
use crate::jobs::Job;
use crate::{spi, targets};
use once_core::rows::statements::UPDATED;
use pgrx::Uuid;
use serde_json::{Value, json};

/// A job of mail that is about to be undone.
pub struct Undoing {
    kit: Kit,
    job: Uuid,
    mailboxes: Vec<Mailbox>,
}

impl Undoing {
    /// `None` for a job of anything else. The mailboxes are those of the messages that the job wrote, whatever it says itself.
    ///
    /// # Errors
    /// What opening the target raises.
    pub fn of(job: &Job) -> Result<Option<Self>> {
        let is_there = |name: &str| backend::relation_oid(&job.relation.beside(name)).is_some();
        let is_mail = match job.relation.name.strip_suffix(super::MAIN) {
            Some(prefix) => is_there(&format!("{prefix}{}", ledger::TABLE)),
            None => false,
        };
        if !is_mail || targets::registered_relation(&job.target)?.as_ref() != Some(&job.relation) {
            return Ok(None);
        }
        let kit = Kit::of(Some(job.target.clone()))?;
        kit.require(super::MAIN, &["SELECT"])?;
        let mailboxes = format!(
            "SELECT DISTINCT m.mailbox_id FROM {} i JOIN {} m ON m.message_id = i.identity[1]::uuid WHERE i.job_id = $1 AND i.part = 0 \
             ORDER BY 1",
            spi::own("import_images")?,
            kit.table(super::MAIN)
        );
        let mailboxes = spi::fresh(&mailboxes, &[job.id.into()], |row| row.need::<Uuid>(1))?;
        let mailboxes = mailboxes.into_iter().map(|id| kit.mailbox(id)).collect::<Result<_>>()?;
        Ok(Some(Self { kit, job: job.id, mailboxes }))
    }

    /// Takes back what hung on the messages, and tells the ledger. `answer`: of the undoing.
    ///
    /// # Errors
    /// `42501` without the rights, and what `append_ledger_event` raises.
    pub fn finish(self, answer: &Value) -> Result<()> {
        self.unlist()?;
        for mailbox in &self.mailboxes {
            self.delete_empty_threads(mailbox)?;
            self.reopen(mailbox)?;
        }
        let (now, actor) = (spi::now()?, spi::current_role()?);
        let job = self.job.to_string();
        for mailbox in &self.mailboxes {
            let event = Event {
                event_type: "sync.rolled_back",
                occurred_at: &now,
                actor: &actor,
                entity_type: Some("mailbox"),
                entity_id: Some(mailbox.id.to_string()),
                correlation_id: Some(&job),
                payload: json!({
                    "job_id": job,
                    "reversed": answer["reversed"],
                    "kept": answer["kept"],
                    "errored": answer["errored"],
                }),
            };
            ledger::append(&self.kit, mailbox.org, &[event])?;
        }
        Ok(())
    }

    /// Attachments that the job listed for messages which do not have any now.
    fn unlist(&self) -> Result<()> {
        self.kit.require("mail_attachments", &["SELECT", "DELETE"])?;
        let delete = format!(
            "DELETE FROM {} a USING {} m, {} i WHERE i.job_id = $1 AND i.part = 0 AND i.action = '{UPDATED}' \
             AND m.message_id = i.identity[1]::uuid AND a.message_id = m.message_id AND m.has_attachments IS NOT TRUE AND a.sha256 IS NULL",
            self.kit.table("mail_attachments"),
            self.kit.table(super::MAIN),
            spi::own("import_images")?
        );
        spi::fresh(&delete, &[self.job.into()], |_| Ok(())).map(drop)
    }

    /// Threads of jobs that were undone before, which had to stay for messages that are gone now.
    fn delete_empty_threads(&self, mailbox: &Mailbox) -> Result<()> {
        self.kit.require("mail_threads", &["SELECT", "DELETE"])?;
        let delete = format!(
            "DELETE FROM {} t USING {} j WHERE t.org_id = $1 AND t.mailbox_id = $2 AND t.message_count = 0 AND j.id = t.import_job_id \
             AND j.status = 'rolled_back' AND NOT EXISTS (SELECT FROM {} m WHERE m.thread_id = t.thread_id)",
            self.kit.table("mail_threads"),
            spi::own("import_jobs")?,
            self.kit.table(super::MAIN)
        );
        spi::fresh(&delete, &[mailbox.org.into(), mailbox.id.into()], |_| Ok(())).map(drop)
    }

    /// The mailbox has not been read up to anywhere any more: the next reading must bring all of it.
    fn reopen(&self, mailbox: &Mailbox) -> Result<()> {
        self.kit.require("mailboxes", &["SELECT", "UPDATE"])?;
        let update = format!(
            "UPDATE {} SET last_history_id = NULL WHERE mailbox_id = $1 AND last_history_id IS NOT NULL",
            self.kit.table("mailboxes")
        );
        spi::fresh(&update, &[mailbox.id.into()], |_| Ok(())).map(drop)
    }
}
