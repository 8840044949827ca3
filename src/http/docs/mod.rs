//! The OpenAPI 3.1 document of everything the main listener serves, and the page that shows it.
//!
//! `operation` is the vocabulary, `shared` what all APIs have in common, one module per API says its part (`v1`,
//! `v1_operators` and `oauth`, with the bodies in `v1_schemas`), `events` what we post ourselves; `page` serves it. Written
//! by hand, so that it can say more than types do, and held to the running server by the tests: `tests/it/openapi.rs`
//! compares routes and fields and sends every example, and every answer that any test of `tests/it` reads is checked
//! against it (`tests/it/documented.rs`).
//!
//! **A dialect brings its part along** in its `Spec` (a function from nothing to `Api`: calls, bodies, credentials).
//! Names of schemas, security schemes and operations are shared by all, so it puts its own name
//! before them. Its errors are answers like others, `Operation::answers` with its own schema. The tests then ask for the
//! state that each of its example requests speaks of (`prepare` in `tests/it/openapi_examples.rs`).

mod events;
pub mod example;
mod oauth;
mod operation;
mod page;
mod shared;
mod v1;
mod v1_operators;
mod v1_schemas;

use std::sync::LazyLock;

use axum::Router;
use serde_json::{Map, Value, json};

pub(in crate::http) use operation::{Callers, Content, Operation};

use super::dialect;

/// Where the document is served.
pub const DOCUMENT_PATH: &str = "/api/openapi.json";
/// Where the page is served.
pub const PAGE_PATH: &str = "/api/docs/";

/// Every API, in the order of the page.
const APIS: &[fn() -> Api] = &[
    v1::verifications,
    oauth::tokens,
    v1::user,
    v1_operators::admin,
    v1_operators::receipts,
    events::api,
    shared::about,
];

/// One API's part of the document.
#[derive(Debug, Default)]
pub(in crate::http) struct Api {
    /// Its heading, which all its operations stand under.
    pub(in crate::http) tag: &'static str,
    /// What stands below the heading, in Markdown.
    pub(in crate::http) about: &'static str,
    /// Its calls.
    pub(in crate::http) operations: Vec<Operation>,
    /// Its bodies, by their names in `#/components/schemas`.
    pub(in crate::http) schemas: Vec<(&'static str, Value)>,
    /// Its credentials, by their names in `#/components/securitySchemes`.
    pub(in crate::http) security_schemes: Vec<(&'static str, Value)>,
}

/// The page, its assets and the document. To be merged before the edge is put around everything.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    page::router()
}

/// The document; the same for every server of this version.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| assemble(apis()));
    &DOCUMENT
}

fn apis() -> impl Iterator<Item = Api> {
    let dialects = dialect::ALL.iter().map(|spec| (spec.docs)());
    APIS.iter().map(|api| api()).chain(dialects)
}

fn assemble(apis: impl Iterator<Item = Api>) -> Value {
    let (mut tags, mut paths) = (Vec::new(), Map::new());
    let (mut schemas, mut security_schemes) = (shared::schemas(), shared::security_schemes());
    for api in apis {
        tags.push(json!({ "name": api.tag, "description": api.about }));
        for operation in api.operations {
            let path = operation.path();
            let item = paths.entry(path).or_insert_with(|| json!({}));
            if let Value::Object(item) = item {
                item.insert(operation.method().to_owned(), operation.into_value(api.tag));
            }
        }
        extend(&mut schemas, api.schemas);
        extend(&mut security_schemes, api.security_schemes);
    }
    json!({
        "openapi": "3.1.0",
        "info": shared::info(),
        "servers": [{ "url": "/", "description": "this server" }],
        "tags": tags,
        "paths": paths,
        "webhooks": events::webhooks(),
        "components": {
            "schemas": schemas,
            "headers": shared::headers(),
            "parameters": shared::parameters(),
            "examples": shared::problem_examples(),
            "securitySchemes": security_schemes,
        },
    })
}

fn extend(map: &mut Map<String, Value>, entries: Vec<(&'static str, Value)>) {
    map.extend(entries.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What two APIs called the same would silently replace one another.
    #[test]
    fn apis_share_no_names() {
        let apis: Vec<Api> = apis().collect();
        let common = || shared::schemas().into_iter().chain(shared::security_schemes()).map(|(name, _)| name);
        let own = apis.iter().flat_map(|api| api.schemas.iter().chain(&api.security_schemes)).map(|(name, _)| *name);
        let calls = apis.iter().flat_map(|api| &api.operations);
        let calls = calls.map(|call| format!("{} {}", call.method(), call.path()));
        let names: Vec<String> = common().chain(own.map(str::to_owned)).chain(calls).collect();
        let different: BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }
}
