//! Type 64, AirInvestigation: a change in an automated investigation (`record-schemas.md` section 6).

use super::alert::Alert;
use super::entity::{Entity, ResourceIdentifier};
use super::field::{Any, Embedded, Many};
use super::fields::fields;
use super::name::{ActionStatus, InvestigationStatus, InvestigationType, Named};
use super::object::Object;
use super::text::{Number, Text};
use super::time::Stamp;

fields! {
    /// What an investigation has besides the common schema. One record for each change of its status.
    Investigation {
        /// The key that stays through all changes.
        investigation_id: Text = "InvestigationId";
        investigation_name: Text = "InvestigationName";
        investigation_type: Named<InvestigationType> = "InvestigationType";
        /// Can be before the start.
        last_update_time_utc: Stamp = "LastUpdateTimeUtc";
        start_time_utc: Stamp = "StartTimeUtc";
        /// Not set while the investigation is open.
        end_time_utc: Stamp = "EndTimeUtc";
        /// Seconds.
        running_time: Number = "RunningTime";
        status: Named<InvestigationStatus> = "Status";
        deep_link_url: Text = "DeepLinkUrl";
        /// Each a JSON text, or an object.
        actions: Embedded<Many<Embedded<Object<Action>>>> = "Actions";
        /// The alert that began it: a JSON text.
        data: Embedded<Box<Object<Alert>>> = "Data";
    }
}

fields! {
    /// Something that was done or is to be done. Two generations: that of 2023 has `ActionId` and entities, that of 2026
    /// `EntityUrn`, `Facts` and the rest of the lower half.
    Action {
        /// A number within its text; never an identity.
        ref_id: Text = "$id";
        action_id: Text = "ActionId" | "ID";
        investigation_id: Text = "InvestigationId";
        action_approval: Text = "ActionApproval";
        action_type: Text = "ActionType";
        action_status: Named<ActionStatus> = "ActionStatus";
        /// Null if it was automatic.
        approved_by: Text = "ApprovedBy";
        entities: Many<Entity> = "Entities";
        related_alert_ids: Many<Text> = "RelatedAlertIds";
        start_time_utc: Stamp = "StartTimeUtc";
        end_time_utc: Stamp = "EndTimeUtc";
        last_update_time_utc: Stamp = "LastUpdateTimeUtc";
        timestamp_utc: Stamp = "TimestampUtc";
        resource_identifiers: Many<Object<ResourceIdentifier>> = "ResourceIdentifiers";
        bulk_name: Text = "BulkName";
        pending_type: Text = "PendingType";
        log_creation_time: Stamp = "LogCreationTime";
        machine_name: Text = "MachineName";
        description: Text = "Description";
        facts: Any = "Facts";
        entity_urn: Text = "EntityUrn";
        disposition: Any = "Disposition";
        timeout_for_action: Any = "TimeoutForAction";
        modern_id: Text = "id";
        tenant_id: Text = "TenantId";
        parent_object_id: Text = "ParentObjectId";
        object_creation_time: Stamp = "ObjectCreationTime";
        processing_start_time: Stamp = "ProcessingStartTime";
    }
}
