//! Type 47, ThreatIntelligenceAtpContent: a file in SharePoint, OneDrive or Teams (`record-schemas.md` section 5).

use super::code::{Code, FileVerdict, SourceWorkload};
use super::fields::fields;
use super::hash::Hash;
use super::name::{DetectionTechnology, Named};
use super::object::Object;
use super::text::{Number, Text};
use super::time::Stamp;

fields! {
    /// What a file event has besides the common schema; whose file it is stands in `UserId` there.
    FileDetection {
        file_data: Object<FileData> = "FileData";
        source_workload: Code<SourceWorkload> = "SourceWorkload";
        detection_method: Named<DetectionTechnology> = "DetectionMethod";
        /// May be months before the event.
        last_modified_date: Stamp = "LastModifiedDate";
        last_modified_by: Text = "LastModifiedBy";
        event_deep_link: Text = "EventDeepLink";
        detection_date: Stamp = "DetectionDate";
    }
}

fields! {
    /// The file.
    FileData {
        document_id: Text = "DocumentId";
        file_name: Text = "FileName";
        /// A URL in which spaces and letters are not escaped.
        file_path: Text = "FilePath";
        file_verdict: Code<FileVerdict> = "FileVerdict";
        /// `Malicious Payload` when no name is known.
        malware_family: Text = "MalwareFamily";
        /// Base64 on the wire.
        sha256: Hash = "SHA256";
        /// Bytes; a string of digits on the wire.
        file_size: Number = "FileSize";
    }
}
