//! The tenants: which there are, which are selected, and the settings of each.

use std::collections::BTreeMap;

use super::cloud::Cloud;
use super::defaults as d;
use super::environment::SECRET_VARIABLE;
use super::file::TenantTable;
use super::keys::{Key, Setting};
use super::layer::{Found, Layer, Layers};
use super::problem::{Place, Problem, Problems};
use super::resolve::{Need, Typed};
use super::secret::SecretSource;
use super::settings::TenantSettings;
use super::suggest::nearest;
use super::table as t;
use crate::domain::{ContentType, RecordTypes, TenantId};

/// What was found out about tenants.
#[derive(Default)]
pub(super) struct Tenants {
    pub(super) names: BTreeMap<TenantId, String>,
    pub(super) selected: Option<Vec<TenantId>>,
    pub(super) tenants: Vec<TenantSettings>,
    pub(super) warnings: Vec<Problem>,
}

/// One tenant before its settings are put together.
struct Entry<'a> {
    table: &'a TenantTable,
    layers: Layers<'a>,
    id: Found<TenantId>,
}

impl Entry<'_> {
    /// Where to say that something is missing.
    fn place(&self) -> Place {
        self.table.place.clone().unwrap_or(Place::Nowhere("settings".to_owned()))
    }

    /// What people call it.
    fn name(&self) -> Option<String> {
        match (&self.table.name, &self.id) {
            (Some((name, _)), _) => Some(name.clone()),
            (None, Found::Value(id, _)) => Some(id.to_string()),
            (None, _) => None,
        }
    }
}

/// Finds the tenants, checks them against each other, and makes the settings of those that are selected.
pub(super) fn find(typed: &Typed<'_>, need: Need, problems: &mut Problems) -> Tenants {
    let mut found = Tenants::default();
    let tables = &typed.file.tenants;
    if tables.len() > d::TENANTS_MAX {
        problems.add(Place::Nowhere("tenant".to_owned()), format!("there are more than {} tenants", d::TENANTS_MAX));
        return found;
    }
    refuse_one_identity_for_all(typed, problems);
    let implicit = TenantTable::default();
    let azure = azure_layer(typed, problems);
    let tables: Vec<&TenantTable> = if tables.is_empty() { vec![&implicit] } else { tables.iter().collect() };
    let entries: Vec<Entry<'_>> = tables.into_iter().map(|table| entry(typed, table, &azure)).collect();
    refuse_twins(&entries, problems);
    for entry in &entries {
        if let (Found::Value(id, _), Some(name)) = (&entry.id, entry.name()) {
            found.names.insert(id.clone(), name);
        }
    }
    let chosen = select(typed, &entries, need, &mut found, problems);
    if need == Need::Tenants {
        let publisher = publisher(typed, &entries, problems);
        for (entry, chosen) in entries.iter().zip(chosen) {
            // The others are checked too: whether a configuration is right does not depend on what is selected from it.
            let tenant = settings_of(typed, entry, publisher.as_ref(), problems);
            if let Some(tenant) = tenant.filter(|_| chosen) {
                if let (SecretSource::File(path), Some(text)) = (&tenant.secret, tenant.secret.concern()) {
                    let place = Place::Nowhere(format!("tenant {}, client secret file {}", tenant.name, path.display()));
                    found.warnings.push(Problem { place, text });
                }
                found.tenants.push(tenant);
            }
        }
    }
    found
}

/// A flag that makes all tenants of a file the same one is not meant.
fn refuse_one_identity_for_all(typed: &Typed<'_>, problems: &mut Problems) {
    if typed.file.tenants.is_empty() {
        return;
    }
    for key in [&t::TENANT_ID as &dyn Setting, &t::CLIENT_ID] {
        for layer in [&typed.flags, &typed.variables] {
            if let Some(given) = layer.get(key.about().name) {
                let why = "it would hold for every [[tenant]] of the configuration; select one of those with --tenant, or leave out --config";
                problems.add(given.place.clone(), why);
            }
        }
    }
    if let Some(given) = typed.file.top.get(t::TENANT_ID.about.name) {
        problems.add(given.place.clone(), "it belongs into the [[tenant]] tables: each is a tenant of its own");
    }
}

/// What the variables of the Azure SDKs say, where they count: for a single tenant, below everything else.
fn azure_layer(typed: &Typed<'_>, problems: &mut Problems) -> Layer {
    let mut layer = Layer::default();
    if typed.file.tenants.len() > 1 {
        return layer;
    }
    let table = typed.file.tenants.first().map(|table| &table.layer);
    let stronger: Vec<&Layer> = [&typed.flags, &typed.variables].into_iter().chain(table).chain([&typed.file.top]).collect();
    for (key, variable) in [(&t::TENANT_ID as &dyn Setting, "AZURE_TENANT_ID"), (&t::CLIENT_ID, "AZURE_CLIENT_ID")] {
        let name = key.about().name;
        if let (Some(text), Some(setting), true) =
            (typed.environment.text(variable), t::setting(name), stronger.iter().all(|layer| layer.get(name).is_none()))
        {
            layer.put(setting, vec![text.to_owned()], Place::Variable(variable.to_owned()), problems);
        }
    }
    layer
}

fn entry<'a>(typed: &'a Typed<'_>, table: &'a TenantTable, azure: &'a Layer) -> Entry<'a> {
    let layers = Layers(vec![&typed.flags, &typed.variables, &table.layer, &typed.file.top, azure]);
    let id = layers.find(&t::TENANT_ID);
    Entry { table, layers, id }
}

/// Names and ids stand for one tenant each: two feeds on one ledger would each skip what the other has fetched.
fn refuse_twins(entries: &[Entry<'_>], problems: &mut Problems) {
    let mut names: BTreeMap<String, &Place> = BTreeMap::new();
    let mut ids: BTreeMap<&TenantId, &Place> = BTreeMap::new();
    for entry in entries {
        if let Some((name, place)) = &entry.table.name {
            match names.get(name) {
                Some(first) => problems.add(place.clone(), format!("the name {name:?} is taken, by {first}")),
                None => drop(names.insert(name.clone(), place)),
            }
        }
        // Without tables there is one entry. With them, an id from elsewhere has been refused already.
        if let (Found::Value(id, place @ Place::File { .. }), Some(_)) = (&entry.id, &entry.table.place) {
            match ids.get(id) {
                Some(first) if *first != place => problems.add(place.clone(), format!("this tenant is here already, in {first}")),
                Some(_) => {}
                None => drop(ids.insert(id, place)),
            }
        }
    }
}

/// Which entries `--tenant` selects.
fn select(typed: &Typed<'_>, entries: &[Entry<'_>], need: Need, found: &mut Tenants, problems: &mut Problems) -> Vec<bool> {
    let Found::Value(wanted, place) = typed.process().find(&t::TENANT) else {
        return vec![true; entries.len()];
    };
    let mut chosen = vec![false; entries.len()];
    let mut selected = Vec::new();
    for name in wanted {
        let fits = |entry: &Entry<'_>| {
            entry.name().as_deref() == Some(&name)
                || matches!(&entry.id, Found::Value(id, _) if id.as_str().eq_ignore_ascii_case(&name))
        };
        match (entries.iter().position(fits), name.parse::<TenantId>()) {
            (Some(i), _) => {
                chosen[i] = true;
                selected.extend(entries[i].id.clone().value());
            }
            // The store may hold a tenant that is configured no more.
            (None, Ok(id)) if need == Need::Process => selected.push(id),
            (None, _) => {
                let names: Vec<String> = entries.iter().filter_map(Entry::name).collect();
                let near = nearest(&name, names.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                problems.add(place.clone(), format!("no tenant is called {name:?}{hint}"));
            }
        }
    }
    found.selected = Some(selected);
    chosen
}

fn publisher(typed: &Typed<'_>, entries: &[Entry<'_>], problems: &mut Problems) -> Option<TenantId> {
    match (typed.process().find(&t::PUBLISHER_ID), entries) {
        (Found::Value(id, _), _) => Some(id),
        (Found::Bad, _) => None,
        (Found::Absent, [single]) => single.id.clone().value(),
        (Found::Absent, _) => {
            let why = "it is missing: with several tenants, name the organisation that runs the collector by its tenant id \
                       (the top of the file, --publisher-id or DEFENDER_FEED_PUBLISHER_ID)";
            problems.add(Place::Nowhere(t::PUBLISHER_ID.about.name.to_owned()), why);
            None
        }
    }
}

/// The settings of a tenant, unless something that has no default is missing or bad.
fn settings_of(
    typed: &Typed<'_>,
    entry: &Entry<'_>,
    publisher: Option<&TenantId>,
    problems: &mut Problems,
) -> Option<TenantSettings> {
    let layers = &entry.layers;
    let single = typed.file.tenants.len() <= 1;
    let tenant_id = required(entry, &t::TENANT_ID, single.then_some("AZURE_TENANT_ID"), problems);
    let client_id = required(entry, &t::CLIENT_ID, single.then_some("AZURE_CLIENT_ID"), problems);
    let secret = secret(typed, entry, single, problems);
    let (tenant_id, client_id, secret, publisher_id) = (tenant_id?, client_id?, secret?, publisher?.clone());
    let cloud = layers.find(&t::CLOUD).or(Cloud::default());
    Some(TenantSettings {
        name: entry.name().unwrap_or_else(|| tenant_id.to_string()),
        labels: entry.table.labels.clone(),
        tenant_id,
        client_id,
        publisher_id,
        secret,
        cloud,
        api_url: layers.find(&t::API_URL).value().unwrap_or_else(|| cloud.api_url()),
        login_url: layers.find(&t::LOGIN_URL).value().unwrap_or_else(|| cloud.login_url()),
        scope: cloud.scope(),
        content_types: layers.find(&t::CONTENT_TYPE).or(vec![ContentType::AuditGeneral]),
        record_types: layers.find(&t::RECORD_TYPES).or(RecordTypes::defender()),
        not_before: layers.find(&t::NOT_BEFORE).value(),
        poll_interval: layers.find(&t::POLL_INTERVAL).or(d::POLL_INTERVAL),
        look_back: layers.find(&t::LOOK_BACK).or(d::LOOK_BACK),
        requests_per_minute: layers.find(&t::REQUESTS_PER_MINUTE).or(d::REQUESTS_PER_MINUTE),
        concurrency: layers.find(&t::CONCURRENCY).value(),
        subscription: layers.find(&t::SUBSCRIPTION).or_default(),
    })
}

/// A setting without a default. In a configuration with tables it is asked for where the table is; otherwise by flag or variable.
fn required<T>(entry: &Entry<'_>, key: &'static Key<T>, azure: Option<&str>, problems: &mut Problems) -> Option<T> {
    match entry.layers.find(key) {
        Found::Value(value, _) => Some(value),
        Found::Bad => None,
        Found::Absent => {
            let about = &key.about;
            let how = match (&entry.table.place, azure) {
                (Some(_), None) => "set it in this table".to_owned(),
                (Some(_), Some(azure)) => format!("set it in this table, or in the variable {azure}"),
                (None, azure) => {
                    let azure = azure.map(|name| format!(" or {name}")).unwrap_or_default();
                    format!("give --{}, {}{azure}, or {} in a file", about.flag(), about.variable(), about.name)
                }
            };
            problems.add(entry.place(), format!("{} is missing: {how}", about.name));
            None
        }
    }
}

fn secret(typed: &Typed<'_>, entry: &Entry<'_>, single: bool, problems: &mut Problems) -> Option<SecretSource> {
    match entry.layers.find(&t::CLIENT_SECRET_FILE) {
        Found::Value(path, _) => Some(SecretSource::File(typed.absolute(&path))),
        Found::Bad => None,
        Found::Absent if single && typed.environment.has(SECRET_VARIABLE) => Some(SecretSource::Environment(SECRET_VARIABLE)),
        Found::Absent => {
            let why = match (single, typed.environment.has(SECRET_VARIABLE)) {
                (true, _) => format!(
                    "the client secret is missing: set {SECRET_VARIABLE}, or name a file with --client-secret-file, DEFENDER_FEED_CLIENT_SECRET_FILE or client_secret_file"
                ),
                (false, true) => format!("client_secret_file is missing: {SECRET_VARIABLE} serves a single tenant only"),
                (false, false) => "client_secret_file is missing: set it in this table or at the top of the file".to_owned(),
            };
            problems.add(entry.place(), why);
            None
        }
    }
}
