//! Entities: what an investigation is about (`record-schemas.md` section 6.4).
//!
//! `Type` tells the kind. The first seven kinds are documented for investigations; the others are those of Sentinel's
//! sibling schema, which writes entities in the same style. An entity of any other kind keeps all it has.

mod message;
mod sibling;
mod thing;

pub use message::{Counts, MailCluster, MailMessage, Mailbox, SubmissionMail};
pub use sibling::{
    Account, AzureResource, CloudApplication, Dns, Host, Malware, Process, RegistryKey, RegistryValue, SecurityGroup,
};
pub use thing::{File, FileHash, Ip, Url};

use serde_json::{Value, json};

use super::field::{Field, Form, Model};
use super::fields::{Joined, Untyped, fields};
use super::json::{self, Member};
use super::object::{Object, peek};
use super::reader::{DriftKind, Reader};
use super::schema::Shapes;
use super::text::Text;
use super::time::Stamp;

fields! {
    /// What entities of every kind have.
    EntityCommon {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        /// The `$id` of an entity elsewhere in the same text that this one stands for.
        reference: Text = "$ref";
        kind: Text = "Type";
        /// `urn:<Kind>Entity:<hex>`: the identity.
        urn: Text = "Urn";
        source: Text = "Source";
        first_seen: Stamp = "FirstSeen";
    }
}

fields! {
    /// A directory to which an alert or action belongs.
    ResourceIdentifier {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        aad_tenant_id: Text = "AadTenantId";
        kind: Text = "Type";
    }
}

/// An entity of one kind.
pub type EntityOf<Kind> = Object<Joined<EntityCommon, Kind>>;

/// Entities within entities that are typed; deeper ones stay as they are. Real ones nest three deep: message, file, hash.
const MAX_ENTITY_DEPTH: u32 = 8;

/// The kind of an entity that declares none, or one that nobody knows, by fields that no other kind has.
fn guessed(members: &[Member<'_>]) -> Option<&'static str> {
    const SIGNS: &[(&str, &[&str])] = &[
        ("mailCluster", &["NetworkMessageIds", "MailCount"]),
        ("mailMessage", &["NetworkMessageId", "InternetMessageId", "Recipient", "P1Sender", "P2Sender", "Sender"]),
        ("mailbox", &["MailboxPrimaryAddress", "Upn"]),
        ("url", &["Url"]),
        ("file", &["FileHashes"]),
    ];
    let has = |name: &str| members.iter().any(|member| json::same_name(name, &member.name));
    if members.iter().any(|member| member.name == "$ref") {
        return None;
    }
    SIGNS.iter().find(|(_, names)| names.iter().any(|name| has(name))).map(|(kind, _)| *kind)
}

macro_rules! entities {
    ($($(#[$doc:meta])* $variant:ident($kind:ty) = $($name:literal)|+;)*) => {
        /// An entity, by kind. Kinds are compared without case, hyphens, spaces and underscores.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Entity {
            $($(#[$doc])* $variant(Box<EntityOf<$kind>>),)*
            /// A kind that nobody documents, none at all, or a mere reference.
            Other(Box<EntityOf<Untyped>>),
        }

        impl Model for Entity {
            fn shape(shapes: &mut Shapes) -> Value {
                shapes.named("Entity", |shapes| {
                    let common = shapes.object::<Joined<EntityCommon, Untyped>>();
                    let kinds = [$(shapes.of_kind("Type", &[$($name),+], |shapes| shapes.object::<Joined<EntityCommon, $kind>>())),*];
                    json!({ "allOf": [common, { "allOf": kinds }] })
                })
            }

            fn read(json: &str, reader: &mut Reader) -> Option<Self> {
                if !json.starts_with('{') || reader.entities >= MAX_ENTITY_DEPTH {
                    return None;
                }
                let members = json::members(json, reader).ok()?;
                let kind: Field<Text> = peek(&members, "Type");
                let declared = kind.get().map(|kind| kind.as_str().trim());
                let known = declared.filter(|kind| [$($($name),+),*].iter().any(|name| json::same_name(name, kind)));
                if declared.is_some() && known.is_none() {
                    reader.within("Type", |reader| reader.drifted(DriftKind::UnknownValue));
                }
                let kind = known.or_else(|| guessed(&members));
                reader.entities += 1;
                let is = |names: &[&str]| kind.is_some_and(|kind| names.iter().any(|name| json::same_name(name, kind)));
                let entity = match () {
                    $(() if is(&[$($name),+]) => {
                        reader.charge(size_of::<EntityOf<$kind>>());
                        Entity::$variant(Box::new(Object::from_members(&members, reader)))
                    })*
                    () => {
                        reader.charge(size_of::<EntityOf<Untyped>>());
                        Entity::Other(Box::new(Object::from_members(&members, reader)))
                    }
                };
                reader.entities -= 1;
                Some(entity)
            }

            fn write(&self, form: Form, out: &mut Vec<u8>) {
                match self {
                    $(Entity::$variant(entity) => entity.write(form, out),)*
                    Entity::Other(entity) => entity.write(form, out),
                }
            }
        }
    };
}

entities! {
    /// A message in one recipient's mailbox.
    MailMessage(MailMessage) = "mailMessage";
    /// Messages that are alike.
    MailCluster(MailCluster) = "mailCluster";
    /// A mailbox.
    Mailbox(Mailbox) = "mailbox";
    /// A file.
    File(File) = "file";
    /// A file's hash.
    FileHash(FileHash) = "filehash";
    /// A link.
    Url(Url) = "url";
    /// An address.
    Ip(Ip) = "ip";
    /// A message that somebody reported.
    SubmissionMail(SubmissionMail) = "SubmissionMail";
    /// A user account.
    Account(Account) = "account";
    /// A machine.
    Host(Host) = "host";
    /// A process.
    Process(Process) = "process";
    /// A security group.
    SecurityGroup(SecurityGroup) = "security-group";
    /// Malware.
    Malware(Malware) = "malware";
    /// A cloud application.
    CloudApplication(CloudApplication) = "cloud-application";
    /// A name that was resolved.
    Dns(Dns) = "dns" | "dns-resolution";
    /// A key of a Windows registry.
    RegistryKey(RegistryKey) = "registry-key";
    /// A value in a Windows registry.
    RegistryValue(RegistryValue) = "registry-value";
    /// A resource in Azure.
    AzureResource(AzureResource) = "azure-resource";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Entity, Vec<String>) {
        let mut reader = Reader::new();
        let entity = Entity::read(json, &mut reader).unwrap();
        for form in [Form::Wire, Form::Clean] {
            let mut out = Vec::new();
            entity.write(form, &mut out);
            if form == Form::Wire {
                assert_eq!(out, json.as_bytes());
            }
        }
        (entity, reader.into_drift().into_iter().map(|d| format!("{} {}", d.path, d.kind)).collect())
    }

    #[test]
    fn the_kind_is_known_in_any_spelling() {
        let (Entity::MailMessage(mail), drift) = read(r#"{"Type":"mail-message","SenderIP":"192.0.2.1","Urls":["u"]}"#) else {
            panic!("a message");
        };
        assert_eq!(mail.own.sender_ip.get().map(Text::as_str), Some("192.0.2.1"));
        assert!(drift.is_empty());
        assert!(matches!(read(r#"{"MailCount":3,"Type":"MailCluster"}"#).0, Entity::MailCluster(_)));
        assert!(matches!(read(r#"{"Type":["cloud-application"],"AppId":1}"#).0, Entity::CloudApplication(_)));
    }

    #[test]
    fn a_kind_that_is_not_told_is_guessed() {
        let kind = |json: &str| read(json).0;
        assert!(matches!(kind(r#"{"NetworkMessageIds":["a"],"Url":"u"}"#), Entity::MailCluster(_)));
        assert!(matches!(kind(r#"{"Type":"?","MailCount":2}"#), Entity::MailCluster(_)));
        for name in ["NetworkMessageId", "InternetMessageId", "Recipient", "P1Sender", "P2Sender", "Sender"] {
            assert!(matches!(kind(&format!("{{\"$id\":\"1\",\"{name}\":\"a\"}}")), Entity::MailMessage(_)), "{name}");
        }
        assert!(matches!(kind(r#"{"MailboxPrimaryAddress":"a@b"}"#), Entity::Mailbox(_)));
        assert!(matches!(kind(r#"{"Upn":"a@b","Type":null}"#), Entity::Mailbox(_)));
        assert!(matches!(kind(r#"{"FileHashes":[]}"#), Entity::File(_)));
        assert!(matches!(kind(r#"{"$ref":"3","Url":"u"}"#), Entity::Other(_)));
        assert!(matches!(kind(r#"{"Type":"ip","Url":"u"}"#), Entity::Ip(_)));
        let (Entity::Url(url), drift) = read(r#"{"Type":"brand-new-kind","Url":"u"}"#) else { panic!("a link") };
        assert_eq!((url.own.url.get().map(Text::as_str), drift), (Some("u"), vec!["Type unknown_value".to_owned()]));
        assert!(read(r#"{"Url":"u"}"#).1.is_empty());
    }

    #[test]
    fn other_kinds_and_references_keep_what_they_have() {
        let (Entity::Other(other), drift) = read(r#"{"$id":"13","Type":"brand-new-kind","Anything":[1,"two",null]}"#) else {
            panic!("another kind");
        };
        assert_eq!(other.common.kind.get().map(Text::as_str), Some("brand-new-kind"));
        assert_eq!(drift, ["Type unknown_value"]);
        let (Entity::Other(reference), drift) = read(r#"{"$ref":"4"}"#) else { panic!("a reference") };
        assert_eq!(reference.common.reference.get().map(Text::as_str), Some("4"));
        assert!(drift.is_empty());
    }

    #[test]
    fn nesting_without_end_is_kept_but_not_typed() {
        let nest = 5_000;
        let json = format!("{}{{}}{}", r#"{"Type":"process","ParentProcess":"#.repeat(nest), "}".repeat(nest));
        let (_, drift) = read(&json);
        assert_eq!(drift.len(), 1);
        assert!(drift[0].ends_with(" odd_shape"));
    }
}
