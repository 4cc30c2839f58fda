//! The alert inside an investigation's `Data`, "version 3.0"; undocumented (`record-schemas.md` section 6.3).

use super::entity::{Entity, ResourceIdentifier};
use super::field::{Any, Many};
use super::fields::fields;
use super::name::{AlertStatus, Named, Severity};
use super::object::Object;
use super::text::{Flag, Number, Text};
use super::time::Stamp;

fields! {
    /// An alert.
    Alert {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        version: Text = "Version";
        vendor_name: Text = "VendorName";
        provider_name: Text = "ProviderName";
        alert_type: Text = "AlertType";
        start_time_utc: Stamp = "StartTimeUtc";
        end_time_utc: Stamp = "EndTimeUtc";
        time_generated: Stamp = "TimeGenerated";
        processing_start_time: Stamp = "ProcessingStartTime";
        processing_end_time: Stamp = "ProcessingEndTime";
        log_creation_time: Stamp = "LogCreationTime";
        /// The alert's, not the investigation's.
        status: Named<AlertStatus> = "Status";
        detection_technology: Text = "DetectionTechnology";
        severity: Named<Severity> = "Severity";
        confidence_level: Text = "ConfidenceLevel";
        confidence_score: Number = "ConfidenceScore";
        is_incident: Flag = "IsIncident";
        /// Joins to the `AlertId` of records of type 40.
        provider_alert_id: Text = "ProviderAlertId";
        system_alert_id: Text = "SystemAlertId";
        azure_resource_id: Text = "AzureResourceId";
        workspace_id: Text = "WorkspaceId";
        workspace_subscription_id: Text = "WorkspaceSubscriptionId";
        workspace_resource_group: Text = "WorkspaceResourceGroup";
        agent_id: Text = "AgentId";
        correlation_key: Text = "CorrelationKey";
        investigations: Many<Object<InvestigationReference>> = "Investigations";
        investigation_ids: Many<Text> = "InvestigationIds";
        intent: Text = "Intent";
        resource_identifiers: Many<Object<ResourceIdentifier>> = "ResourceIdentifiers";
        /// May end in a zero-width space.
        alert_display_name: Text = "AlertDisplayName";
        description: Text = "Description";
        extended_links: Many<Object<ExtendedLink>> = "ExtendedLinks";
        metadata: Object<AlertMetadata> = "Metadata";
        entities: Many<Entity> = "Entities";
        machine_name: Text = "MachineName";
        source_template_type: Text = "SourceTemplateType";
        category: Text = "Category";
        source_alert_type: Text = "SourceAlertType";
        /// 2019 only.
        oatp_investigation_id: Text = "OATPInvestigationId";
    }
}

fields! {
    /// An investigation that belongs to an alert.
    InvestigationReference {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        id: Text = "Id";
        investigation_status: Text = "InvestigationStatus";
    }
}

fields! {
    /// A link to the portal.
    ExtendedLink {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        href: Text = "Href";
        category: Text = "Category";
        label: Text = "Label";
        kind: Text = "Type";
    }
}

fields! {
    /// An alert's metadata; both were only seen null.
    AlertMetadata {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        custom_apps: Any = "CustomApps";
        generic_info: Any = "GenericInfo";
    }
}
