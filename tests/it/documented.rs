//! Holds answers to the OpenAPI document: whatever test reads an answer, its status, headers and body must be documented.
//!
//! Stricter than the document in one thing: a field that it does not name is a fault, so that none is added in silence.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use otpd::http::docs;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// Ports of this process's operators' doors, which the document is not about.
static OPS_PORTS: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Tells a server's clients' door from its operators'. Ports come again, so both have to be said.
pub(crate) fn doors(clients: SocketAddr, operators: SocketAddr) {
    let mut ports = OPS_PORTS.lock().unwrap();
    ports.remove(&clients.port());
    ports.insert(operators.port());
}

/// Whether this is an operators' door.
pub(crate) fn is_ops(address: Option<SocketAddr>) -> bool {
    address.is_some_and(|address| OPS_PORTS.lock().unwrap().contains(&address.port()))
}

/// What a `$ref` leads to; anything else is itself.
pub(crate) fn resolve(value: &Value) -> &Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads away"));
    docs::document().pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// The documented path that a request's path is of; one without parameters before one with.
fn template(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.split('/').collect();
    let is_of = |template: &&String| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts
                .iter()
                .zip(&segments)
                .all(|(part, is)| if part.starts_with('{') { !is.is_empty() } else { part == is })
    };
    let templates = docs::document()["paths"].as_object().unwrap().keys().filter(is_of);
    templates.min_by_key(|template| template.matches('{').count()).map(String::as_str)
}

/// A validator of a schema of the document; made once each.
pub(crate) fn validator(schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    static COMPONENTS: LazyLock<Value> = LazyLock::new(|| {
        let mut schemas = docs::document()["components"]["schemas"].clone();
        close(&mut schemas);
        json!({ "schemas": schemas })
    });
    let make = || {
        let whole = json!({ "allOf": [schema], "components": *COMPONENTS });
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        Arc::new(options.build(&whole).unwrap_or_else(|fault| panic!("{fault} in {schema}")))
    };
    // A test that panicked inside has left the map as it was.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Arc::clone(made.entry(schema.to_string()).or_insert_with(make))
}

/// Lets objects of named fields have no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("type") == Some(&json!("object")) && map.contains_key("properties") {
                map.entry("additionalProperties").or_insert(json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Asserts that a value is of a schema.
#[track_caller]
pub(crate) fn valid(schema: &Value, value: &Value, what: &str) {
    let faults: Vec<String> =
        validator(schema).iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{what}: {faults:#?}");
}

/// Asserts that the document has this answer. Requests of paths that it does not have are none of its business.
#[track_caller]
pub(crate) fn hold((method, path): (&str, &str), status: u16, headers: &HeaderMap, body: &str) {
    let Some(template) = template(path) else { return };
    let operation = &docs::document()["paths"][template][method.to_lowercase()];
    let what = format!("{method} {template} answered {status}");
    if operation.is_null() {
        let of_every_path = matches!(status, 405) || matches!(method, "HEAD" | "OPTIONS");
        assert!(of_every_path, "{what}, but the document has no such method there");
        return;
    }
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{what}, which the document does not have: {body}");
    for (name, header) in response["headers"].as_object().unwrap() {
        let required = resolve(header)["required"] == true || (name == "Retry-After" && matches!(status, 429 | 503));
        assert!(!required || headers.contains_key(name), "{what} without {name}");
    }
    if response["content"].is_null() {
        assert_eq!(body, "", "{what} with a body");
        return;
    }
    let media_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{what} as {media_type:?}, which the document does not have");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|fault| panic!("{what}, but {fault}: {body}"));
    valid(schema, &body, &what);
}

/// It must see what it is for.
mod sees {
    use reqwest::header::HeaderValue;

    use super::*;

    fn answer(status: u16, media_type: &'static str, body: &Value) {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", HeaderValue::from_static("r"));
        headers.insert("content-type", HeaderValue::from_static(media_type));
        hold(("GET", "/errors/scope"), status, &headers, &body.to_string());
    }

    fn page() -> Value {
        json!({ "type": "/errors/scope", "code": "scope", "status": 403, "title": "t", "description": "d" })
    }

    #[test]
    fn nothing_in_a_good_answer() {
        answer(200, "application/json", &page());
    }

    #[test]
    #[should_panic(expected = "which the document does not have")]
    fn another_status() {
        answer(418, "application/json", &page());
    }

    #[test]
    #[should_panic(expected = "which the document does not have")]
    fn another_type() {
        answer(200, "text/html", &page());
    }

    #[test]
    #[should_panic(expected = "colour")]
    fn a_field_too_many() {
        let mut page = page();
        page["colour"] = json!("red");
        answer(200, "application/json", &page);
    }

    #[test]
    #[should_panic(expected = "title")]
    fn a_field_too_few() {
        let mut page = page();
        page.as_object_mut().unwrap().remove("title");
        answer(200, "application/json", &page);
    }

    #[test]
    #[should_panic(expected = "is not one of")]
    fn a_code_that_the_call_does_not_have() {
        let problem = json!({ "type": "/errors/scope", "title": "t", "status": 404, "instance": "r", "code": "scope" });
        answer(404, "application/problem+json", &problem);
    }

    #[test]
    #[should_panic(expected = "without Request-Id")]
    fn a_missing_header() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        hold(("GET", "/errors/scope"), 200, &headers, &page().to_string());
    }
}
