//! The page that shows the document: Swagger UI, every byte of it from here.
//!
//! Its files are those of the vendored distribution that the page loads, and no others. It may load, run and call only this
//! server: scripts and styles from files, nothing inline, nothing of a third party, never in a frame.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};
use utoipa_swagger_ui::Config;

use super::{
    super::problem::{Problem, ProblemCode},
    DOCUMENT_PATH, PAGE_PATH,
};

/// What the page needs. `data:` is for the pictures inside Swagger UI's own style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A day, then asked again: their names stay the same over versions.
const ASSET_CACHING: &str = "public, max-age=86400";
/// Asked every time, answered 304 while they are the same: a new version of the server is seen at once.
const FRESH_CACHING: &str = "no-cache";
/// The files of the distribution that the page loads.
const FILES: [&str; 8] = [
    "index.html",
    "index.css",
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-initializer.js",
    "favicon-16x16.png",
    "favicon-32x32.png",
];

/// Something to serve, ready to be sent.
#[derive(Debug, Clone)]
struct File {
    name: &'static str,
    media_type: HeaderValue,
    caching: HeaderValue,
    tag: HeaderValue,
    bytes: Bytes,
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/api/docs", get(async || redirect()))
        .route(PAGE_PATH, get(async |headers: HeaderMap| serve("index.html", &headers)))
        .route("/api/docs/{file}", get(async |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers)))
        .route(DOCUMENT_PATH, get(async |headers: HeaderMap| answer(&DOCUMENT, &headers)))
}

/// The page's links are relative to its folder, which a path without the final slash is not in.
fn redirect() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, HeaderValue::from_static(PAGE_PATH))]).into_response()
}

static DOCUMENT: LazyLock<File> = LazyLock::new(|| {
    let bytes = serde_json::to_vec(super::document()).unwrap_or_default();
    File::new("openapi.json", "application/json", FRESH_CACHING, bytes.into())
});

static ASSETS: LazyLock<Vec<File>> = LazyLock::new(|| {
    // The base layout: the bar above the other one is for looking at others' documents, and brings an inline style.
    // `../openapi.json` is the document beside the page's folder, also behind a proxy that adds a path in front. The
    // validator is a third party's.
    let config = Config::from("../openapi.json")
        .use_base_layout()
        .validator_url("none")
        .display_request_duration(true)
        .doc_expansion("list")
        .default_models_expand_depth(0);
    let config = Arc::new(config);
    FILES.into_iter().filter_map(|name| asset(name, &config)).collect()
});

fn asset(name: &'static str, config: &Arc<Config<'static>>) -> Option<File> {
    let file = utoipa_swagger_ui::serve(name, Arc::clone(config)).ok()??;
    let bytes = match file.bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let (bytes, caching) = match name {
        "index.html" => (titled(&bytes), FRESH_CACHING),
        "swagger-initializer.js" => (bytes, FRESH_CACHING),
        _ => (bytes, ASSET_CACHING),
    };
    Some(File::new(name, &file.content_type, caching, bytes))
}

/// The page under our own name.
fn titled(page: &[u8]) -> Bytes {
    String::from_utf8_lossy(page).replace("<title>Swagger UI</title>", "<title>otpd API</title>").into()
}

impl File {
    fn new(name: &'static str, media_type: &str, caching: &'static str, bytes: Bytes) -> Self {
        let digest = Sha256::digest(&bytes);
        let tag = digest.iter().take(16).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
        let text = media_type.starts_with("text/") && !media_type.contains("charset");
        let media_type = if text { format!("{media_type}; charset=utf-8") } else { media_type.to_owned() };
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        Self {
            name,
            media_type: value(&media_type),
            caching: HeaderValue::from_static(caching),
            tag: value(&tag),
            bytes,
        }
    }
}

fn serve(name: &str, headers: &HeaderMap) -> Response {
    match ASSETS.iter().find(|file| file.name == name) {
        Some(file) => answer(file, headers),
        None => Problem::new(ProblemCode::NotFound).into_response(),
    }
}

/// The file, or 304 if the client has it.
fn answer(file: &File, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == file.tag));
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        (StatusCode::OK, Body::from(file.bytes.clone()))
    };
    let headers = [
        (header::CONTENT_TYPE, file.media_type.clone()),
        (header::CACHE_CONTROL, file.caching.clone()),
        (header::ETAG, file.tag.clone()),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (status, headers, body).into_response()
}
