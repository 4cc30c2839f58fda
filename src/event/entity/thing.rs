//! Entities that are files, hashes, links and addresses.

use super::{Entity, EntityOf};
use crate::event::field::{Any, Either, Many};
use crate::event::fields::fields;
use crate::event::hash::Hash;
use crate::event::name::{HashAlgorithm, Named};
use crate::event::text::{Number, Text};

fields! {
    /// A file.
    File {
        name: Text = "Name";
        /// Documented as strings, seen as entities.
        file_hashes: Many<Either<Hash, EntityOf<FileHash>>> = "FileHashes";
        /// May be empty or null.
        malware_family: Text = "MalwareFamily";
        directory: Text = "Directory";
        size_in_bytes: Number = "SizeInBytes";
        host: Box<Entity> = "Host";
        host_url: Text = "HostUrl";
    }
}

fields! {
    /// A file's hash.
    FileHash {
        algorithm: Named<HashAlgorithm> = "Algorithm";
        value: Hash = "Value";
    }
}

fields! {
    /// A link.
    Url {
        url: Text = "Url";
        click_count: Number = "ClickCount";
        email_count: Number = "EmailCount";
    }
}

fields! {
    /// An address.
    Ip {
        address: Text = "Address";
        address_scope: Text = "AddressScope";
        location: Any = "Location";
    }
}
