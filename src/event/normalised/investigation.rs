//! What an automated investigation says.

use chrono::{DateTime, Utc};

use super::{Address, Digest, FileFacts, Host, MailFacts, Word, each_said, instant, said, verbatim, visible, word};
use crate::event::air::{Action, Investigation};
use crate::event::alert::Alert;
use crate::event::entity::{self, Entity};
use crate::event::field::Many;
use crate::event::name::{ActionStatus, InvestigationStatus, InvestigationType, RiskLevel, Severity};
use crate::event::neighbour::Neighbour;

/// What an investigation says.
#[derive(Debug, Clone, PartialEq)]
pub struct InvestigationFacts<'a> {
    /// The key that stays through all changes of status.
    pub id: Option<&'a str>,
    /// Its name.
    pub name: Option<&'a str>,
    /// What it looks into.
    pub kind: Option<Word<'a, InvestigationType>>,
    /// Where it stands.
    pub status: Option<Word<'a, InvestigationStatus>>,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended; nothing while it is open.
    pub ended: Option<DateTime<Utc>>,
    /// When it changed last.
    pub updated: Option<DateTime<Utc>>,
    /// How long it ran so far.
    pub seconds: Option<i64>,
    /// The alert that began it.
    pub alert: Option<AlertFacts<'a>>,
    /// What was done or is to be done.
    pub actions: Vec<ActionFacts<'a>>,
    /// What the alert is about.
    pub subjects: Subjects<'a>,
}

/// The alert that began an investigation.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertFacts<'a> {
    /// Joins to the `AlertId` of records of type 40.
    pub id: Option<&'a str>,
    /// Its title, without the invisible characters around it.
    pub title: Option<&'a str>,
    /// What it means.
    pub description: Option<&'a str>,
    /// How grave it is.
    pub severity: Option<Word<'a, Severity>>,
    /// `ThreatManagement`, …
    pub category: Option<&'a str>,
    /// The policy that raised it.
    pub policy: Option<&'a str>,
    /// How it was found out.
    pub method: Option<&'a str>,
    /// Who found it out.
    pub provider: Option<&'a str>,
    /// Whether it is an incident.
    pub is_incident: Option<bool>,
    /// Where the portal shows it.
    pub portal: Option<&'a str>,
    /// When it was raised.
    pub raised: Option<DateTime<Utc>>,
}

/// Something that was done or is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionFacts<'a> {
    /// Its id.
    pub id: Option<&'a str>,
    /// `EmailRemediation`, …
    pub kind: Option<&'a str>,
    /// Where it stands.
    pub status: Option<Word<'a, ActionStatus>>,
    /// Who approved it.
    pub approved_by: Option<&'a str>,
    /// A few words.
    pub description: Option<&'a str>,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
}

/// What an alert is about, by kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subjects<'a> {
    /// Messages, those that somebody reported among them.
    pub mails: Vec<MailFacts<'a>>,
    /// Groups of messages that are alike.
    pub clusters: Vec<Cluster<'a>>,
    /// Mailboxes.
    pub mailboxes: Vec<Mailbox<'a>>,
    /// Files.
    pub files: Vec<FileFacts<'a>>,
    /// Hashes that stand by themselves.
    pub hashes: Vec<Digest<'a>>,
    /// Links.
    pub urls: Vec<&'a str>,
    /// Addresses of machines.
    pub hosts: Vec<Host<'a>>,
    /// Accounts, as `name@suffix` is not always there: the name alone.
    pub accounts: Vec<&'a str>,
    /// Processes.
    pub processes: Vec<ProcessFacts<'a>>,
    /// Malware, by name.
    pub malware: Vec<&'a str>,
}

/// Messages that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster<'a> {
    /// How many.
    pub mails: Option<i64>,
    /// Which, as far as they are told.
    pub network_message_ids: Vec<&'a str>,
    /// What was asked to find them.
    pub query: Option<&'a str>,
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Mailbox<'a> {
    /// Its address.
    pub address: Option<Address<'a>>,
    /// Its owner's name to log in with.
    pub upn: Option<&'a str>,
    /// Its owner's name.
    pub name: Option<&'a str>,
    /// Its owner's id in Entra.
    pub directory_id: Option<&'a str>,
    /// How exposed it is.
    pub risk: Option<Word<'a, RiskLevel>>,
}

/// A process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessFacts<'a> {
    /// Its number, as a text.
    pub id: Option<&'a str>,
    /// The whole command.
    pub command: Option<&'a str>,
    /// What was run.
    pub image: Option<FileFacts<'a>>,
}

impl<'a> InvestigationFacts<'a> {
    pub(super) fn of(record: &'a Investigation) -> InvestigationFacts<'a> {
        let alert = record.data.get().and_then(|data| data.value.as_ref());
        let actions = record.actions.get().and_then(|actions| actions.value.as_ref());
        let actions = actions.into_iter().flat_map(Many::iter).filter_map(|action| action.value.as_ref());
        InvestigationFacts {
            id: said(&record.investigation_id),
            name: said(&record.investigation_name),
            kind: word(&record.investigation_type),
            status: word(&record.status),
            started: instant(&record.start_time_utc),
            ended: instant(&record.end_time_utc),
            updated: instant(&record.last_update_time_utc),
            seconds: record.running_time.get().and_then(|time| time.as_i64()),
            alert: alert.map(|alert| AlertFacts::of(alert)),
            actions: actions.map(|action| ActionFacts::of(action)).collect(),
            subjects: alert.map(|alert| Subjects::of(alert)).unwrap_or_default(),
        }
    }
}

impl<'a> AlertFacts<'a> {
    fn of(alert: &'a Alert) -> AlertFacts<'a> {
        let links = alert.extended_links.get().into_iter().flat_map(Many::iter);
        AlertFacts {
            id: said(&alert.provider_alert_id),
            title: verbatim(&alert.alert_display_name).and_then(visible),
            description: said(&alert.description),
            severity: word(&alert.severity),
            category: said(&alert.category),
            policy: said(&alert.alert_type),
            method: said(&alert.detection_technology),
            provider: said(&alert.provider_name),
            is_incident: alert.is_incident.get().map(|flag| flag.value),
            portal: links.filter_map(|link| said(&link.href)).next(),
            raised: instant(&alert.time_generated),
        }
    }
}

impl<'a> AlertFacts<'a> {
    /// What a record of another type says of an alert; nothing if it tells of none.
    pub(super) fn of_neighbour(record: &'a Neighbour) -> Option<AlertFacts<'a>> {
        let id = said(&record.alert_id)?;
        Some(AlertFacts {
            id: Some(id),
            title: verbatim(&record.name).and_then(visible),
            description: said(&record.comments),
            severity: word(&record.severity),
            category: said(&record.category),
            policy: said(&record.policy_id),
            method: None,
            provider: None,
            is_incident: None,
            portal: None,
            raised: None,
        })
    }
}

impl<'a> ActionFacts<'a> {
    fn of(action: &'a Action) -> ActionFacts<'a> {
        ActionFacts {
            id: said(&action.action_id).or_else(|| said(&action.modern_id)),
            kind: said(&action.action_type),
            status: word(&action.action_status),
            approved_by: said(&action.approved_by),
            description: said(&action.description),
            started: instant(&action.start_time_utc),
            ended: instant(&action.end_time_utc),
        }
    }
}

impl<'a> Subjects<'a> {
    fn of(alert: &'a Alert) -> Subjects<'a> {
        let mut subjects = Subjects::default();
        for entity in alert.entities.get().into_iter().flat_map(Many::iter) {
            subjects.add(entity);
        }
        subjects
    }

    fn add(&mut self, entity: &'a Entity) {
        match entity {
            Entity::MailMessage(mail) => self.mails.push(MailFacts::of_entity(&mail.own)),
            Entity::SubmissionMail(mail) => self.mails.push(MailFacts::of_submission(&mail.own)),
            Entity::MailCluster(cluster) => self.clusters.push(Cluster {
                mails: cluster.own.mail_count.get().and_then(|count| count.as_i64()),
                network_message_ids: each_said(&cluster.own.network_message_ids),
                query: said(&cluster.own.query),
            }),
            Entity::Mailbox(mailbox) => self.mailboxes.push(Mailbox::of(&mailbox.own)),
            Entity::File(file) => self.files.push(FileFacts::of_entity(&file.own)),
            Entity::FileHash(hash) => self.hashes.extend(Digest::of_entity(&hash.own)),
            Entity::Url(url) => self.urls.extend(verbatim(&url.own.url)),
            Entity::Ip(ip) => self.hosts.extend(said(&ip.own.address).and_then(Host::of)),
            Entity::Account(account) => self.accounts.extend(said(&account.own.name)),
            Entity::Process(process) => self.processes.push(ProcessFacts::of(&process.own)),
            Entity::Malware(malware) => self.malware.extend(said(&malware.own.name)),
            _ => {}
        }
    }

    /// All links, those in messages first.
    pub fn all_urls(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.mails.iter().flat_map(|mail| &mail.urls).chain(&self.urls).copied()
    }

    /// All files, attachments last.
    pub fn all_files(&self) -> impl Iterator<Item = &FileFacts<'a>> + '_ {
        let images = self.processes.iter().filter_map(|process| process.image.as_ref());
        self.files.iter().chain(images).chain(self.mails.iter().flat_map(|mail| &mail.attachments))
    }
}

impl<'a> Mailbox<'a> {
    fn of(mailbox: &'a entity::Mailbox) -> Mailbox<'a> {
        Mailbox {
            address: said(&mailbox.mailbox_primary_address).and_then(Address::of),
            upn: said(&mailbox.upn),
            name: said(&mailbox.display_name),
            directory_id: said(&mailbox.aad_id),
            risk: word(&mailbox.risk_level),
        }
    }

    /// What it is best known by.
    pub fn label(&self) -> Option<&'a str> {
        self.address.map(|address| address.text).or(self.upn).or(self.name).or(self.directory_id)
    }
}

impl<'a> ProcessFacts<'a> {
    fn of(process: &'a entity::Process) -> ProcessFacts<'a> {
        let image = process.image_file.get().and_then(|image| match &**image {
            Entity::File(file) => Some(FileFacts::of_entity(&file.own)),
            _ => None,
        });
        ProcessFacts { id: said(&process.process_id), command: said(&process.command_line), image }
    }
}
