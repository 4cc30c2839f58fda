//! What is said of files: in mail, in investigations, and in SharePoint, OneDrive and Teams.

use chrono::{DateTime, Utc};

use super::{Address, Choice, Word, choice, instant, said, verbatim, word};
use crate::event::code::{FileVerdict, SourceWorkload};
use crate::event::entity::{self, FileHash};
use crate::event::field::{Either, Many};
use crate::event::file::{FileData, FileDetection};
use crate::event::hash::Hash;
use crate::event::mail::Attachment;
use crate::event::name::{DetectionTechnology, HashAlgorithm};

/// What is said of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileFacts<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Where it lies: a URL or a directory.
    pub path: Option<&'a str>,
    /// The id of the document.
    pub uid: Option<&'a str>,
    /// Bytes.
    pub size: Option<i64>,
    /// Its hashes.
    pub hashes: Vec<Digest<'a>>,
    /// What was found out about it.
    pub verdict: Option<Choice<'a, FileVerdict>>,
    /// The malware in it; `Malicious Payload` if it has no name.
    pub malware: Option<&'a str>,
    /// Types, the outer one first: `exe`, `zip`.
    pub kinds: Vec<&'a str>,
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest<'a> {
    /// What made it.
    pub kind: DigestKind,
    /// Lower-case hexadecimal; the record's text if it is no digest.
    pub value: &'a str,
}

/// What made a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// Another algorithm, such as that of Authenticode, or a text that is no digest.
    Other,
}

impl<'a> Digest<'a> {
    fn of(hash: &'a Hash, algorithm: Option<HashAlgorithm>) -> Option<Digest<'a>> {
        let Some(hex) = hash.hex() else {
            let value = hash.as_str().trim();
            return (!value.is_empty()).then_some(Digest { kind: DigestKind::Other, value });
        };
        let kind = match (algorithm, hex.len()) {
            (Some(HashAlgorithm::Sha256Authenticode), _) => DigestKind::Other,
            (_, 32) => DigestKind::Md5,
            (_, 40) => DigestKind::Sha1,
            (_, 64) => DigestKind::Sha256,
            _ => DigestKind::Other,
        };
        Some(Digest { kind, value: hex })
    }
}

impl<'a> FileFacts<'a> {
    pub(super) fn of_attachment(attachment: &'a Attachment) -> FileFacts<'a> {
        let kinds = said(&attachment.file_type).unwrap_or_default();
        FileFacts {
            name: verbatim(&attachment.file_name),
            hashes: attachment.sha256.get().and_then(|hash| Digest::of(hash, None)).into_iter().collect(),
            verdict: choice(&attachment.file_verdict),
            malware: said(&attachment.malware_family),
            kinds: kinds.split(';').map(str::trim).filter(|kind| !kind.is_empty()).collect(),
            ..FileFacts::default()
        }
    }

    fn of_document(data: &'a FileData) -> FileFacts<'a> {
        FileFacts {
            name: verbatim(&data.file_name),
            path: verbatim(&data.file_path),
            uid: said(&data.document_id),
            size: data.file_size.get().and_then(|size| size.as_i64()),
            hashes: data.sha256.get().and_then(|hash| Digest::of(hash, None)).into_iter().collect(),
            verdict: choice(&data.file_verdict),
            malware: said(&data.malware_family),
            kinds: Vec::new(),
        }
    }

    pub(super) fn of_entity(file: &'a entity::File) -> FileFacts<'a> {
        let hashes = file.file_hashes.get().into_iter().flat_map(Many::iter).filter_map(|hash| match hash {
            Either::First(hash) => Digest::of(hash, None),
            Either::Second(hash) => Digest::of_entity(&hash.own),
        });
        FileFacts {
            name: verbatim(&file.name),
            path: said(&file.directory),
            size: file.size_in_bytes.get().and_then(|size| size.as_i64()),
            hashes: hashes.collect(),
            malware: said(&file.malware_family),
            ..FileFacts::default()
        }
    }

    /// The hash of this kind.
    pub fn digest(&self, kind: DigestKind) -> Option<&'a str> {
        self.hashes.iter().find(|hash| hash.kind == kind).map(|hash| hash.value)
    }

    /// What follows the last dot of the name, if it looks like a type.
    pub fn extension(&self) -> Option<&'a str> {
        let (stem, extension) = self.name?.rsplit_once('.')?;
        let fits = (1..=16).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
        (fits && !stem.is_empty()).then_some(extension)
    }
}

impl<'a> Digest<'a> {
    pub(super) fn of_entity(hash: &'a FileHash) -> Option<Digest<'a>> {
        let algorithm = hash.algorithm.get().and_then(|algorithm| algorithm.known());
        hash.value.get().and_then(|value| Digest::of(value, algorithm))
    }
}

/// What a file event says.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentFacts<'a> {
    /// The file.
    pub file: FileFacts<'a>,
    /// Where it lies.
    pub workload: Option<Choice<'a, SourceWorkload>>,
    /// How it was found out.
    pub method: Option<Word<'a, DetectionTechnology>>,
    /// When it was found out.
    pub detected: Option<DateTime<Utc>>,
    /// When it was changed last.
    pub modified: Option<DateTime<Utc>>,
    /// Who changed it last.
    pub modified_by: Option<Address<'a>>,
}

impl<'a> DocumentFacts<'a> {
    pub(super) fn of(detection: &'a FileDetection) -> DocumentFacts<'a> {
        DocumentFacts {
            file: detection.file_data.get().map(|data| FileFacts::of_document(data)).unwrap_or_default(),
            workload: choice(&detection.source_workload),
            method: word(&detection.detection_method),
            detected: instant(&detection.detection_date),
            modified: instant(&detection.last_modified_date),
            modified_by: said(&detection.last_modified_by).and_then(Address::of),
        }
    }
}
