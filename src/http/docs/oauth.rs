//! `/oauth/…` and `/.well-known/…` in the document.

use serde_json::{Value, json};

use super::{
    Api,
    example::{ACCESS_TOKEN, NUMBER, RECEIPT, REFRESH_TOKEN, SID},
    operation::{Callers, Content, Operation, schema},
    shared::EDGE,
    v1,
    v1_schemas::object,
};

const FORM_OR_JSON: &[&str] = &["application/x-www-form-urlencoded", "application/json"];
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Tokens as OAuth 2 has them.
pub(super) fn tokens() -> Api {
    Api {
        tag: "Tokens",
        about: "OAuth 2: a receipt becomes tokens (RFC 7523), refresh tokens rotate, sessions are revoked (RFC 7009) and tokens \
            introspected (RFC 7662). Parameters come as a form or as JSON; unknown ones are ignored, repeated ones refused.",
        operations: vec![token(), revoke(), introspect(), jwks(), metadata()],
        schemas: schemas(),
        ..Api::default()
    }
}

/// OAuth's errors, which every call here answers; `own` are the more that this one has of status 400.
fn refuses(operation: Operation, own: &[&str]) -> Operation {
    let bad_request = [&["invalid_request"], own].concat();
    let errors: [(u16, &[&str], &[&str]); 6] = [
        (400, &bad_request, &[]),
        (401, &["invalid_client"], &["WWW-Authenticate"]),
        (429, &["slow_down"], &["Retry-After"]),
        (500, &["server_error"], &[]),
        (503, &["temporarily_unavailable"], &["Retry-After"]),
        (504, &["temporarily_unavailable"], &[]),
    ];
    errors.into_iter().fold(operation, |operation, (status, errors, headers)| {
        let example = |content: Content, error: &&str| {
            content.example(error, json!({ "error": error, "error_description": about(error) }))
        };
        let content = errors.iter().fold(Content::of("OAuthError"), example);
        let lines: Vec<String> = errors.iter().map(|error| format!("- `{error}`: {}", about(error))).collect();
        operation.answers(status, &lines.join("\n"), headers, content)
    })
}

fn about(error: &str) -> &'static str {
    match error {
        "invalid_request" => "a parameter is missing, repeated or malformed, or the body is of another type",
        "invalid_client" => "the API key is missing or wrong",
        "invalid_grant" => "the assertion or refresh token is not good any more",
        "unsupported_grant_type" => "the grant type is none of ours",
        "slow_down" => "too many requests: wait for Retry-After",
        "server_error" => "something failed here",
        _ => "overloaded, shutting down or without its store: repeat after Retry-After",
    }
}

/// Where the edge speaks (time limit, a handler that panicked), it speaks in problems here too.
fn call(method: &'static str, path: &'static str, id: &str) -> Operation {
    Operation::new(method, path, id).refuses(EDGE)
}

fn token() -> Operation {
    let operation = call("post", "/oauth/token", "issueTokens")
        .about(
            "Issue tokens",
            "For a receipt (grant type `jwt-bearer`, once, purposes `login` and `signup` only; creates the user at the first \
             time), or for a refresh token, which is rotated: the old one answers the same successor for ten seconds more, \
             and later ends the session.",
        )
        .callers(Callers::Anyone)
        .takes_as(
            true,
            FORM_OR_JSON,
            Content::of("TokenRequest")
                .example("receipt", json!({ "grant_type": JWT_BEARER, "assertion": RECEIPT }))
                .example("refresh", json!({ "grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN })),
        )
        .answers(
            200,
            "Tokens.",
            &["Cache-Control", "Idempotency-Replayed"],
            Content::of("Tokens").example("first time", v1::tokens(true)),
        );
    idempotent(refuses(operation, &["invalid_grant", "unsupported_grant_type"]))
}

/// Takes the key; what may be wrong with it is `invalid_request` here.
fn idempotent(operation: Operation) -> Operation {
    operation.parameter(json!({ "$ref": "#/components/parameters/IdempotencyKey" }))
}

fn revoke() -> Operation {
    let operation = call("post", "/oauth/revoke", "revokeToken")
        .about("End a session", "By its access or refresh token. A token that is not good any more is a success too.")
        .callers(Callers::Anyone)
        .takes_as(
            true,
            FORM_OR_JSON,
            Content::of("RevocationRequest").example("refresh token", json!({ "token": REFRESH_TOKEN })),
        )
        .answers_empty(200, "The session has ended.", &["Idempotency-Replayed"]);
    idempotent(refuses(operation, &[]))
}

fn introspect() -> Operation {
    let access = json!({
        "iss": "http://127.0.0.1:8080", "sub": "1", "aud": "http://127.0.0.1:8080", "client_id": "otpd", "exp": 1_767_226_500,
        "nbf": 1_767_225_600, "iat": 1_767_225_600, "jti": "5d1f0a7c93be48e2a6c0d4b7f8e91324", "sid": SID,
        "auth_time": 1_767_225_600, "token_type": "Bearer", "user_id": 1, "phone_number": NUMBER, "phone_number_verified": true,
        "amr": ["otp", "sms"], "active": true,
    });
    let operation = call("post", "/oauth/introspect", "introspectToken")
        .about(
            "What a token is",
            "For back ends that cannot or do not want to check tokens themselves, as under HS256.",
        )
        .callers(Callers::Keyed)
        .takes_as(
            true,
            FORM_OR_JSON,
            Content::of("IntrospectionRequest")
                .example("access token", json!({ "token": ACCESS_TOKEN }))
                .example("refresh token", json!({ "token": REFRESH_TOKEN })),
        )
        .answers(
            200,
            "What it is; `active: false` and nothing else if it is not good.",
            &[],
            Content::of("Introspection")
                .example("access token", access)
                .example("not good", json!({ "active": false })),
        );
    refuses(operation, &[])
}

fn jwks() -> Operation {
    let key = json!({
        "kty": "OKP", "use": "sig", "alg": "EdDSA", "kid": "k1", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    Operation::new("get", "/.well-known/jwks.json", "readKeys")
        .about("Public keys", "JWK set of the asymmetric algorithms; empty under HS256, HS384 and HS512.")
        .callers(Callers::Public)
        .answers(
            200,
            "The keys.",
            &[],
            Content::of("KeySet").example("EdDSA", json!({ "keys": [key] })).example("HS256", json!({ "keys": [] })),
        )
        .refuses(EDGE)
}

fn metadata() -> Operation {
    let url = "http://127.0.0.1:8080";
    let methods = ["none", "client_secret_basic"];
    let example = json!({
        "issuer": url, "token_endpoint": format!("{url}/oauth/token"), "revocation_endpoint": format!("{url}/oauth/revoke"),
        "introspection_endpoint": format!("{url}/oauth/introspect"), "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": ["none"], "grant_types_supported": [JWT_BEARER, "refresh_token"],
        "token_endpoint_auth_methods_supported": methods, "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "service_documentation": format!("{url}/api/docs/"),
    });
    Operation::new("get", "/.well-known/oauth-authorization-server", "readMetadata")
        .about("Metadata", "Where everything is, for OAuth clients (RFC 8414).")
        .callers(Callers::Public)
        .answers(200, "The metadata.", &[], Content::of("Metadata").example("default", example))
        .refuses(EDGE)
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let errors = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "slow_down",
        "server_error",
        "temporarily_unavailable",
    ];
    let grant_types = json!({ "type": "string", "enum": [JWT_BEARER, "refresh_token"] });
    let token = || json!({ "token": text("An access or refresh token") });
    vec![
        (
            "TokenRequest",
            object(
                &["grant_type"],
                json!({
                    "grant_type": grant_types,
                    "assertion": text("The receipt, for `jwt-bearer`"),
                    "refresh_token": text("For `refresh_token`"),
                }),
            ),
        ),
        ("RevocationRequest", object(&["token"], token())),
        ("IntrospectionRequest", object(&["token"], token())),
        ("Tokens", tokens_schema()),
        ("Introspection", introspection_schema()),
        ("KeySet", object(&["keys"], json!({ "keys": { "type": "array", "items": schema("Key") } }))),
        ("Key", key_schema()),
        ("Metadata", metadata_schema()),
        (
            "OAuthError",
            object(
                &["error", "error_description"],
                json!({ "error": { "type": "string", "enum": errors }, "error_description": text("For developers") }),
            ),
        ),
    ]
}

fn tokens_schema() -> Value {
    let seconds = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    object(
        &["access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in", "is_new_user"],
        json!({
            "access_token": {
                "type": "string",
                "description": "A JWT of `typ` `at+jwt` (RFC 9068) with `iss sub aud client_id exp nbf iat jti sid auth_time \
                    token_type user_id phone_number phone_number_verified amr`",
            },
            "token_type": { "const": "Bearer" },
            "expires_in": seconds("Seconds the access token is good"),
            "refresh_token": { "type": "string", "description": "Opaque; replaced at every use" },
            "refresh_expires_in": seconds("Seconds until the session ends, whatever is refreshed"),
            "is_new_user": { "type": "boolean", "description": "This sign-in made the user" },
        }),
    )
}

fn introspection_schema() -> Value {
    let text = json!({ "type": "string" });
    let seconds = json!({ "type": "integer", "description": "Seconds since 1970" });
    object(
        &["active"],
        json!({
            "active": { "type": "boolean", "description": "False: not good, and nothing more is said" },
            "token_type": { "type": "string", "enum": ["Bearer", "refresh_token", "receipt"] },
            "iss": text, "sub": text, "aud": text, "client_id": text,
            "exp": seconds, "nbf": seconds, "iat": seconds, "auth_time": seconds,
            "jti": text, "sid": text,
            "user_id": { "type": "integer" },
            "phone_number": text,
            "phone_number_verified": { "type": "boolean" },
            "amr": { "type": "array", "items": text },
            "purpose": { "type": "string", "description": "What the code of a receipt was asked for" },
        }),
    )
}

fn key_schema() -> Value {
    let text = json!({ "type": "string" });
    object(
        &["kty", "alg", "kid"],
        json!({
            "kty": text, "use": text, "alg": text, "kid": text, "crv": text, "x": text, "y": text, "n": text, "e": text,
        }),
    )
}

fn metadata_schema() -> Value {
    let url = json!({ "type": "string", "format": "uri" });
    let names = json!({ "type": "array", "items": { "type": "string" } });
    let fields = [
        ("issuer", &url),
        ("token_endpoint", &url),
        ("revocation_endpoint", &url),
        ("introspection_endpoint", &url),
        ("jwks_uri", &url),
        ("response_types_supported", &names),
        ("grant_types_supported", &names),
        ("token_endpoint_auth_methods_supported", &names),
        ("revocation_endpoint_auth_methods_supported", &names),
        ("introspection_endpoint_auth_methods_supported", &names),
        ("service_documentation", &url),
    ];
    let properties = fields.iter().map(|(name, form)| ((*name).to_owned(), (*form).clone()));
    object(&fields.map(|(name, _)| name), Value::Object(properties.collect()))
}
