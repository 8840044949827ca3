//! The OpenAPI document: well formed, and of the same routes and fields as the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use otpd::http::{dialect, docs, problem::ProblemCode};
use reqwest::Method;
use serde_json::Value;

use crate::{
    documented::{resolve, valid, validator},
    harness::TestApp,
};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Path, method and operation of every call.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = docs::document()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Every value of a name, at any depth.
fn named<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(name));
            map.values().for_each(|value| named(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| named(value, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names in braces of a path.
fn path_parameters(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[test]
fn the_document_is_well_formed() {
    let document = docs::document();
    let form: Value = serde_json::from_str(include_str!("openapi_form.json")).unwrap();
    let form = jsonschema::draft202012::new(&form).unwrap();
    let faults: Vec<String> =
        form.iter_errors(document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
        validator(schema);
        let properties = |name: &Value| schema["properties"].get(name.as_str().unwrap()).is_some();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        assert!(schema["properties"].is_null() || required.iter().all(properties), "{name} requires what it has not");
    }
    let mut references = Vec::new();
    named(document, "$ref", &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_operation_is_complete() {
    let document = docs::document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let what = format!("{method} {path}");
        assert!(METHODS.contains(&method), "{what}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}: its id is another's");
        assert!(operation["summary"].is_string() && operation["description"].is_string(), "{what}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag.as_str().unwrap())), "{what}");
        let parameters: Vec<&Value> = operation["parameters"].as_array().unwrap().iter().map(resolve).collect();
        let in_path = parameters.iter().filter(|it| it["in"] == "path").map(|it| it["name"].as_str().unwrap());
        assert_eq!(in_path.collect::<BTreeSet<_>>(), path_parameters(path), "{what}");
        let responses = operation["responses"].as_object().unwrap();
        assert_eq!(responses.keys().filter(|status| status.starts_with('2')).count(), 1, "{what}");
        for requirement in operation["security"].as_array().unwrap() {
            for name in requirement.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][name].is_object(), "{what}: {name}");
            }
        }
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{what} {status}");
        }
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let mut count = 0;
    let mut check = |what: &str, content: &Value| {
        for (media_type, body) in content.as_object().into_iter().flatten() {
            let examples = body["examples"].as_object().unwrap();
            assert!(!examples.is_empty(), "{what} {media_type} has no example");
            for (name, example) in examples {
                // The document is not its own example.
                valid(&body["schema"], &resolve(example)["value"], &format!("{what} {media_type} {name}"));
                count += 1;
            }
        }
    };
    for (path, method, operation) in operations().filter(|(path, ..)| *path != docs::DOCUMENT_PATH) {
        check(&format!("{method} {path}"), &operation["requestBody"]["content"]);
        for (status, response) in operation["responses"].as_object().unwrap() {
            check(&format!("{method} {path} {status}"), &response["content"]);
        }
    }
    assert!(count > 200, "only {count} examples");
}

/// Every type of event that there is, and no other; each example is what it says.
#[test]
fn every_event_is_documented() {
    let webhooks = docs::document()["webhooks"].as_object().unwrap();
    let documented: BTreeSet<&str> = webhooks.keys().map(String::as_str).collect();
    assert_eq!(documented, otpd::webhooks::event_names().collect());
    let mut ids: BTreeSet<&str> = operations().map(|(.., it)| it["operationId"].as_str().unwrap()).collect();
    for (name, item) in webhooks {
        let body = &item["post"]["requestBody"]["content"]["application/json"];
        let example = &body["examples"]["event"]["value"];
        assert_eq!(example["type"], name.as_str());
        valid(&body["schema"], example, name);
        assert!(ids.insert(item["post"]["operationId"].as_str().unwrap()), "{name}: its id is another's");
        for header in item["post"]["parameters"].as_array().unwrap() {
            valid(&header["schema"], &header["example"], name);
        }
    }
}

/// Every code is explained with an example, and some call answers it. (405 is an answer of no call.)
#[test]
fn every_problem_code_is_documented() {
    let document = docs::document();
    let listed = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    let mut answered = BTreeSet::new();
    for (_, _, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let schema = &response["content"]["application/problem+json"]["schema"];
            for code in schema["allOf"][1]["properties"]["code"]["enum"].as_array().into_iter().flatten() {
                let code = ProblemCode::from_slug(code.as_str().unwrap()).unwrap();
                assert_eq!(&code.status().as_u16().to_string(), status, "{code:?} in another status");
                answered.insert(code.slug());
            }
        }
    }
    for code in ProblemCode::ALL {
        assert!(listed.contains(&code.slug().into()), "{code:?}");
        let example = &document["components"]["examples"][code.slug()]["value"];
        assert_eq!(example["status"], code.status().as_u16(), "{code:?}");
        let by_no_call = *code == ProblemCode::MethodNotAllowed;
        assert_eq!(answered.contains(code.slug()), !by_no_call, "{code:?}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Sources of the clients' routes without their tests, and without those of operators and of this document's own page.
fn route_sources() -> impl Iterator<Item = (String, String)> {
    let http = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let own = |path: &PathBuf| !path.starts_with(http.join("docs")) && !path.ends_with("ops.rs");
    sources(&http).into_iter().filter(own).collect::<Vec<_>>().into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let end = text.find("#[cfg(test)]").unwrap_or(text.len());
        (path.display().to_string(), text[..end].to_owned())
    })
}

fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// The value of the constant that a call begins with.
fn constant<'a>(file: &'a str, call: &str) -> Option<&'a str> {
    let name = call.trim_start().split(',').next()?;
    literal(file.split_once(&format!("const {name}: &str = "))?.1)
}

/// Every path that the code gives to a router.
fn routed_paths() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (file, text) in route_sources().filter(|(_, text)| text.contains("Router")) {
        assert!(!text.contains(".nest("), "{file}: write paths whole, so that they are seen here");
        for call in text.split(".route(").skip(1) {
            if file.contains("/dialect/") {
                // Tables of routes, which are asked below.
                continue;
            }
            let path = literal(call).or_else(|| constant(&text, call));
            let path = path.unwrap_or_else(|| panic!("{file}: write paths as literals or constants of the same file"));
            paths.insert(path.to_owned());
        }
    }
    let of = |spec: &'static dialect::Spec| spec.routes.iter().map(|route| format!("{}{}", spec.base_path, route.path));
    paths.extend(dialect::ALL.iter().flat_map(|spec| of(spec)));
    paths
}

#[test]
fn every_path_of_the_code_is_in_the_document_and_the_reverse() {
    let routed = routed_paths();
    assert!(routed.len() >= 19, "the search is blind: {routed:?}");
    let documented: BTreeSet<String> = operations().map(|(path, ..)| path.to_owned()).collect();
    let documented: BTreeSet<String> = documented.into_iter().filter(|path| path != docs::DOCUMENT_PATH).collect();
    assert_eq!(routed, documented);
}

/// The running server names the methods of each path in `Allow`; they are the documented ones.
#[tokio::test]
async fn every_method_of_the_server_is_in_the_document_and_the_reverse() {
    let app = TestApp::start().await;
    let mut paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations() {
        paths.entry(path).or_default().insert(method.to_uppercase());
    }
    for (path, documented) in paths {
        let other = METHODS.map(str::to_uppercase).into_iter().find(|method| !documented.contains(method)).unwrap();
        let url = app.url(&path.replace(['{', '}'], ""));
        let response = app.client.request(Method::from_bytes(other.as_bytes()).unwrap(), url).send().await.unwrap();
        assert_eq!(response.status(), 405, "{path}: there is no such route");
        let allowed = response.headers()["allow"].to_str().unwrap().split(',').map(|it| it.trim().to_owned());
        let allowed: BTreeSet<String> = allowed.filter(|method| method != "HEAD" && method != "OPTIONS").collect();
        assert_eq!(allowed, documented, "{path}");
    }
    app.stop().await;
}

/// Bodies that the handlers read, and their names in the document.
const BODIES: [(&str, &str); 9] = [
    ("StartBody", "StartVerification"),
    ("CheckBody", "CheckVerification"),
    ("CheckNewestBody", "CheckNewestVerification"),
    ("ResendBody", "ResendVerification"),
    ("NoFields", "NoFields"),
    ("SignInBody", "SignIn"),
    ("ProfileBody", "ProfileChanges"),
    ("PhoneChangeBody", "PhoneChange"),
    ("NumberBody", "Number"),
];

/// The fields of every struct that denies unknown ones, by its name.
fn strict_structs() -> BTreeMap<String, BTreeSet<String>> {
    let mut structs = BTreeMap::new();
    for (_, text) in route_sources().filter(|(file, _)| file.contains("/v1/")) {
        for after in text.split("#[serde(deny_unknown_fields").skip(1) {
            let (_, after) = after.split_once("struct ").unwrap();
            let (name, body) = after.split_once('{').unwrap();
            let (body, _) = body.split_once('}').unwrap();
            let fields =
                body.lines().filter_map(|line| line.trim().split_once(": ")).map(|(field, _)| field.to_owned());
            structs.insert(name.trim().to_owned(), fields.collect());
        }
    }
    structs
}

#[test]
fn every_field_of_a_body_is_in_the_document_and_the_reverse() {
    let structs = strict_structs();
    assert_eq!(structs.keys().map(String::as_str).collect::<BTreeSet<_>>(), BODIES.map(|(name, _)| name).into());
    for (body, schema) in BODIES {
        let properties = &docs::document()["components"]["schemas"][schema]["properties"];
        let documented: BTreeSet<String> = properties.as_object().unwrap().keys().cloned().collect();
        assert_eq!(structs[body], documented, "{body} and {schema}");
    }
}
