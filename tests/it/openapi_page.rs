//! The page that shows the document: whole, from this server alone, under a policy of its own.

use otpd::http::docs;
use reqwest::{StatusCode, header, redirect};

use crate::harness::TestApp;

/// Every file that the page names comes from this server, with its type, a policy and a tag for asking again.
#[tokio::test]
async fn the_page_and_its_files_are_ours() {
    let app = TestApp::start().await;
    let page = app.client.get(app.url(docs::PAGE_PATH)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let html = page.text().await.unwrap();
    assert!(!html.contains("//cdn") && !html.contains("http:") && !html.contains("https:"), "{html}");
    let links = html.split(['"', '\'']).filter(|text| [".css", ".js", ".png"].iter().any(|end| text.ends_with(end)));
    let links: Vec<&str> = links.collect();
    assert_eq!(links.len(), 7, "{links:?}");
    for link in links {
        let file =
            app.client.get(app.url(&format!("/api/docs/{}", link.trim_start_matches("./")))).send().await.unwrap();
        assert_eq!(file.status(), 200, "{link}");
        let media_type = file.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let expected = match link.rsplit('.').next().unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/png",
        };
        assert_eq!(media_type, expected, "{link}");
        assert!(
            file.headers().contains_key(header::CACHE_CONTROL) && file.headers().contains_key(header::ETAG),
            "{link}"
        );
        assert!(!file.bytes().await.unwrap().is_empty(), "{link}");
    }
    app.stop().await;
}

/// security 91: nothing inline, nothing of others, in no frame. The edge's headers stay.
#[tokio::test]
async fn the_page_may_load_this_server_only() {
    let app = TestApp::start().await;
    for path in [docs::PAGE_PATH, "/api/docs/swagger-ui-bundle.js", docs::DOCUMENT_PATH] {
        let answer = app.client.get(app.url(path)).send().await.unwrap();
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(directives.contains(&directive), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers()[header::X_FRAME_OPTIONS], "DENY");
    }
    app.stop().await;
}

/// What a client has is not sent again; what changes with a version is asked for every time.
#[tokio::test]
async fn files_are_cached() {
    let app = TestApp::start().await;
    let caching = [
        ("/api/docs/swagger-ui-bundle.js", "public, max-age=86400"),
        (docs::PAGE_PATH, "no-cache"),
        ("/api/docs/swagger-initializer.js", "no-cache"),
        (docs::DOCUMENT_PATH, "no-cache"),
    ];
    for (path, expected) in caching {
        let first = app.client.get(app.url(path)).send().await.unwrap();
        assert_eq!(first.headers()[header::CACHE_CONTROL], expected, "{path}");
        let tag = first.headers()[header::ETAG].clone();
        let again = app.client.get(app.url(path)).header(header::IF_NONE_MATCH, &tag).send().await.unwrap();
        assert_eq!((again.status(), &again.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &tag), "{path}");
        assert!(again.bytes().await.unwrap().is_empty());
        let other = app.client.get(app.url(path)).header(header::IF_NONE_MATCH, "\"other\"").send().await.unwrap();
        assert_eq!(other.status(), 200, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn only_files_of_the_page_are_served() {
    let app = TestApp::start().await;
    let client = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
    let redirected = client.get(app.url("/api/docs")).send().await.unwrap();
    assert_eq!(
        (redirected.status().as_u16(), &redirected.headers()["location"]),
        (308, &docs::PAGE_PATH.parse().unwrap())
    );
    for path in [
        "/api/docs/nothing.js",
        "/api/docs/swagger-ui.js",
        "/api/docs/oauth2-redirect.html",
        "/api/docs/..%2fopenapi.json",
    ] {
        app.get(path).await.refused(404, "not_found");
    }
    app.stop().await;
}

/// The page reads the document beside its folder, and asks no third party about it.
#[tokio::test]
async fn the_page_reads_our_document() {
    let app = TestApp::start().await;
    let settings = app.get("/api/docs/swagger-initializer.js").await.raw;
    assert!(settings.contains("\"../openapi.json\"") && settings.contains("\"validatorUrl\": \"none\""), "{settings}");
    // The other layout needs an inline style, which the policy forbids.
    assert!(settings.contains("BaseLayout"), "{settings}");
    let served = app.get(docs::DOCUMENT_PATH).await;
    assert_eq!(served.body, *docs::document());
    app.stop().await;
}
