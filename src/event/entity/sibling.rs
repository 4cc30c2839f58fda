//! Kinds of the sibling schema, Sentinel's entity types; none was seen in a public investigation yet.

use super::Entity;
use crate::event::field::{Any, Many};
use crate::event::fields::fields;
use crate::event::text::{Flag, Number, Text};
use crate::event::time::Stamp;

fields! {
    /// A user account.
    Account {
        name: Text = "Name";
        nt_domain: Text = "NTDomain";
        dns_domain: Text = "DnsDomain";
        upn_suffix: Text = "UPNSuffix";
        host: Box<Entity> = "Host";
        sid: Text = "Sid";
        aad_tenant_id: Text = "AadTenantId";
        aad_user_id: Text = "AadUserId";
        puid: Text = "PUID";
        is_domain_joined: Flag = "IsDomainJoined";
        object_guid: Text = "ObjectGuid";
        cloud_app_account_id: Text = "CloudAppAccountId";
        is_anonymized: Flag = "IsAnonymized";
    }
}

fields! {
    /// A machine.
    Host {
        ip_interfaces: Any = "IpInterfaces";
        dns_domain: Text = "DnsDomain";
        nt_domain: Text = "NTDomain";
        host_name: Text = "HostName";
        net_bios_name: Text = "NetBiosName";
        iot_device: Any = "IoTDevice";
        azure_id: Text = "AzureID";
        oms_agent_id: Text = "OMSAgentID";
        os_family: Text = "OSFamily";
        os_version: Text = "OSVersion";
        is_domain_joined: Flag = "IsDomainJoined";
    }
}

fields! {
    /// A process.
    Process {
        process_id: Text = "ProcessId";
        command_line: Text = "CommandLine";
        elevation_token: Text = "ElevationToken";
        creation_time_utc: Stamp = "CreationTimeUtc";
        image_file: Box<Entity> = "ImageFile";
        account: Box<Entity> = "Account";
        parent_process: Box<Entity> = "ParentProcess";
        host: Box<Entity> = "Host";
        logon_session: Box<Entity> = "LogonSession";
    }
}

fields! {
    /// A security group.
    SecurityGroup {
        distinguished_name: Text = "DistinguishedName";
        sid: Text = "SID";
        object_guid: Text = "ObjectGuid";
    }
}

fields! {
    /// Malware.
    Malware {
        name: Text = "Name";
        category: Text = "Category";
        files: Many<Entity> = "Files";
        processes: Many<Entity> = "Processes";
    }
}

fields! {
    /// A cloud application.
    CloudApplication {
        app_id: Number = "AppId";
        saas_id: Number = "SaasId";
        name: Text = "Name";
        instance_name: Text = "InstanceName";
        instance_id: Number = "InstanceId";
        risk: Any = "Risk";
    }
}

fields! {
    /// A name that was resolved.
    Dns {
        domain_name: Text = "DomainName";
        ip_address: Any = "IpAddress";
        dns_server_ip: Any = "DnsServerIp";
        host_ip_address: Any = "HostIpAddress";
    }
}

fields! {
    /// A key of a Windows registry.
    RegistryKey {
        hive: Text = "Hive";
        key: Text = "Key";
    }
}

fields! {
    /// A value in a Windows registry.
    RegistryValue {
        host: Box<Entity> = "Host";
        /// The key, as an entity or by reference.
        key: Any = "Key";
        name: Text = "Name";
        value: Any = "Value";
        value_type: Text = "ValueType";
    }
}

fields! {
    /// A resource in Azure.
    AzureResource {
        resource_id: Text = "ResourceId";
        subscription_id: Text = "SubscriptionId";
        resource_type: Text = "ResourceType";
        resource_name: Text = "ResourceName";
    }
}
