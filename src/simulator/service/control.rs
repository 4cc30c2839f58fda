//! What a test or an operator does to the service while it runs.

use super::super::content::NewBlob;
use super::super::faults::Rule;
use super::super::message::Request;
use super::super::route::Call;
use super::super::tokens::token_in;
use super::{Service, UNKNOWN_APPLICATION};
use crate::domain::{ContentId, ContentType, Time};

impl Service {
    /// Puts a blob into the tenant and tells its id.
    pub fn add_blob(&mut self, blob: NewBlob) -> ContentId {
        self.catalogue.shelf.add(blob, self.config.retention)
    }

    /// Adds a fault behind those that there are.
    pub fn add_fault(&mut self, rule: Rule) {
        self.schedule.add(rule);
    }

    /// Ends all faults.
    pub fn clear_faults(&mut self) {
        self.schedule.clear();
    }

    /// Turns audit logging on or off.
    pub fn set_auditing(&mut self, on: bool) {
        self.config.auditing = on;
    }

    /// Grants or revokes application roles. Tokens already given out keep what they have.
    pub fn set_roles(&mut self, roles: &[&str]) {
        self.config.roles = roles.iter().map(|r| (*r).to_owned()).collect();
    }

    /// Changes the client secret.
    pub fn set_client_secret(&mut self, secret: Option<&str>) {
        self.config.client_secret = secret.map(str::to_owned);
    }

    /// Changes the quota, in API requests per minute.
    pub fn set_quota(&mut self, quota: Option<u32>) {
        self.config.quota = quota;
    }

    /// Enables a subscription as if it had always been there.
    pub fn enable(&mut self, content_type: ContentType) {
        self.subscriptions.enable(content_type);
    }

    /// An administrator disables all subscriptions.
    pub fn disable_subscriptions(&mut self, now: Time) {
        self.subscriptions.disable_all(now);
    }

    /// All subscriptions vanish.
    pub fn remove_subscriptions(&mut self, now: Time) {
        self.subscriptions.remove_all(now);
    }

    /// True if a stopped subscription hides this blob: content that became available while none was enabled is lost.
    pub fn hides(&self, id: &ContentId, now: Time) -> bool {
        self.catalogue.find(id).is_some_and(|blob| !self.subscriptions.shows(blob.content_type, blob.created, now))
    }

    /// The stretches in which the subscription was off: their beginnings, and their ends if they have ended.
    pub fn dark_stretches(&self, content_type: ContentType) -> Vec<(Time, Option<Time>)> {
        self.subscriptions.dark(content_type)
    }

    /// Takes back every token that was given out.
    pub fn revoke_tokens(&mut self) {
        self.tokens.revoke_all();
    }

    /// Gives out a token without a request, for drivers that do not test the token endpoint.
    pub fn issue_token(&mut self, now: Time) -> Option<String> {
        let target = format!("/{}/oauth2/v2.0/token", self.config.tenant);
        let request = Request::post(&target);
        let call = Call::read(&request);
        let client = self.config.client_id.clone().unwrap_or_else(|| UNKNOWN_APPLICATION.to_owned());
        let secret = self.config.client_secret.clone().unwrap_or_else(|| "any".to_owned());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.as_str()),
            ("client_secret", secret.as_str()),
            ("scope", "https://manage.office.com/.default"),
        ];
        token_in(&self.tokens.answer(&call, &request.form(&form), &self.config, now))
    }
}
