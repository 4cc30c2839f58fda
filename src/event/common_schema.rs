//! The common schema: what every record of the feed has, whatever its type (`record-schemas.md` section 2).

use super::code::{AuditLogScope, Code, UserType};
use super::field::{Any, OneOrMany};
use super::fields::fields;
use super::object::Object;
use super::text::{Number, Text};
use super::time::Stamp;
use crate::domain::RecordType;

fields! {
    /// The fields of the common schema. The last nine are undocumented and came in 2026; all but two were only seen null.
    Common {
        id: Text = "Id";
        record_type: Code<RecordType> = "RecordType";
        /// When the record was made, which is not when the thing happened.
        creation_time: Stamp = "CreationTime";
        operation: Text = "Operation";
        /// The tenant.
        organization_id: Text = "OrganizationId";
        user_type: Code<UserType> = "UserType";
        user_key: Text = "UserKey";
        /// The service: the same for types 28, 41 and 47.
        workload: Text = "Workload";
        result_status: Text = "ResultStatus";
        /// Type 28: the message's id with a recipient's digits glued on. Type 64: the same as `Id`.
        object_id: Text = "ObjectId";
        /// Type 41: who clicked. Type 47: whose file it is. Else the name of a system.
        user_id: Text = "UserId";
        client_ip: Text = "ClientIP";
        scope: Code<AuditLogScope> = "Scope";
        /// Documented as a collection, seen as one object.
        app_access_context: OneOrMany<Object<AppAccessContext>> = "AppAccessContext";
        version: Number = "Version";
        app_identity: Any = "AppIdentity";
        agent_id: Any = "AgentId";
        agent_name: Any = "AgentName";
        correlation_identity: Any = "CorrelationIdentity";
        associated_admin_units: Any = "AssociatedAdminUnits";
        requires_customer_key_encryption: Any = "RequiresCustomerKeyEncryption";
        scoping_entity_ids: Any = "ScopingEntityIds";
        purpose: Number = "Purpose";
        scoping_entity_type: Number = "ScopingEntityType";
    }
}

fields! {
    /// The application that acted for a user.
    AppAccessContext {
        aad_session_id: Text = "AADSessionId";
        api_id: Text = "APIId";
        client_app_id: Text = "ClientAppId";
        client_app_name: Text = "ClientAppName";
        correlation_id: Text = "CorrelationId";
        /// Case matters.
        unique_token_id: Text = "UniqueTokenId";
        issued_at_time: Stamp = "IssuedAtTime";
    }
}
