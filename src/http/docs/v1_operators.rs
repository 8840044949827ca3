//! The rest of `/v1/…` in the document: what providers and administrators call.

use serde_json::json;

use super::{
    Api,
    example::{EVENT_ID, NUMBER, RECEIPTS_SECRET, REFERENCE, TIME},
    operation::{Callers, Content, Operation},
    shared::{ADMISSION, BODY},
    v1::operation,
    v1_schemas,
};
use crate::http::problem::ProblemCode::{
    BodyTooLarge, InvalidField, MalformedJson, NotFound, NumberInvalid, RequestTimeout, Scope, SignatureInvalid,
    UnsupportedMediaType,
};

/// For providers.
pub(super) fn receipts() -> Api {
    Api {
        tag: "Receipts",
        about: "Where providers post what became of messages. A receipt moves a message that is known here forward, once for \
            each state, and changes nothing else.",
        operations: vec![
            take_receipt("post", "/v1/receipts/{gateway}", "takeReceipt"),
            with_secret(take_receipt("post", SECRET_PATH, "takeUnsignedReceipt")),
            with_secret(take_receipt("get", SECRET_PATH, "takeUnsignedReceiptByQuery")),
        ],
        schemas: v1_schemas::receipts(),
        ..Api::default()
    }
}

/// Of providers that sign nothing.
const SECRET_PATH: &str = "/v1/receipts/{gateway}/{secret}";

fn take_receipt(method: &'static str, path: &'static str, id: &str) -> Operation {
    let form = json!({ "type": "string", "pattern": "^[a-z_]{1,24}$" });
    let operation = operation(method, path, id)
        .about(
            "Take a receipt",
            "Signed as the provider signs (its header, parameter or token, over `server.public_url` where a URL is signed), or \
             with the secret of `receipts_secret` in the path. Whatever is good is answered 204, also if it is about no \
             message known here.",
        )
        .callers(Callers::Public)
        .path_parameter("gateway", "The gateway in use, as in the settings", "webhook", form)
        .answers_empty(204, "Taken.", &[])
        .refuses(&[SignatureInvalid, NotFound, RequestTimeout, BodyTooLarge, UnsupportedMediaType, MalformedJson]);
    if method == "get" {
        return operation;
    }
    let body = Content::of("Receipt").example("relay", json!({ "reference": REFERENCE, "state": "delivered" }));
    operation.takes_as(false, &["application/json", "application/x-www-form-urlencoded"], body)
}

fn with_secret(operation: Operation) -> Operation {
    let form = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{24,128}$" });
    operation.path_parameter("secret", "The gateway's `receipts_secret`", RECEIPTS_SECRET, form)
}

/// For keys with the `admin` scope.
pub(super) fn admin() -> Api {
    let call = |path, id, summary, description| {
        operation("post", path, id)
            .about(summary, description)
            .callers(Callers::Keyed)
            .idempotent()
            .takes(true, Content::of("Number").example("number", json!({ "to": NUMBER })))
            .answers_empty(204, "Done.", &["Idempotency-Replayed"])
            .refuses(ADMISSION)
            .refuses(BODY)
            .refuses(&[NumberInvalid, Scope])
    };
    let unlock = call(
        "/v1/admin/unlock",
        "unlockNumber",
        "Unlock a number",
        "Clears locks, delays, blocks and counts of the number.",
    );
    let deactivate = call(
        "/v1/admin/deactivate",
        "deactivateAccount",
        "Shut an account",
        "Nobody signs in to it, and no token of its sessions is good, until it is opened again.",
    )
    .refuses(&[NotFound]);
    let activate = call("/v1/admin/activate", "activateAccount", "Open an account", "Opens an account that was shut.")
        .refuses(&[NotFound]);
    Api {
        tag: "Administration",
        about: "For back ends whose key has the `admin` scope.",
        operations: vec![unlock, deactivate, activate, dead_events(), retry_dead_event(), drop_dead_event()],
        schemas: v1_schemas::admin(),
        ..Api::default()
    }
}

fn of_admin(method: &'static str, path: &'static str, id: &str) -> Operation {
    operation(method, path, id).callers(Callers::Keyed).refuses(ADMISSION).refuses(&[InvalidField, Scope])
}

fn dead_events() -> Operation {
    let letter = json!({
        "id": EVENT_ID, "type": "user.created", "timestamp": TIME, "phone_masked": "+98******6789", "tries": 10,
    });
    of_admin("get", "/v1/admin/events/dead", "listDeadEvents")
        .about(
            "List dead events",
            "Events that could not be delivered to `webhooks.url`, at most 100, from the oldest on.",
        )
        .parameter(json!({
            "name": "after", "in": "query", "required": false, "description": "`next` of the answer before",
            "schema": { "type": "string", "pattern": "^evt_[1-9][0-9]{0,18}$" },
        }))
        .answers(
            200,
            "The events.",
            &[],
            Content::of("DeadEvents").example("one", json!({ "events": [letter], "next": null })),
        )
}

fn retry_dead_event() -> Operation {
    let call = of_admin("post", "/v1/admin/events/dead/{id}/retry", "retryDeadEvent");
    dead_event(call.about("Deliver a dead event", "It is posted again, with the whole schedule before it."))
}

fn drop_dead_event() -> Operation {
    let call = of_admin("delete", "/v1/admin/events/dead/{id}", "dropDeadEvent");
    dead_event(call.about("Throw a dead event away", "It is never posted."))
}

fn dead_event(call: Operation) -> Operation {
    let form = json!({ "type": "string", "pattern": "^evt_[1-9][0-9]{0,18}$" });
    call.path_parameter("id", "The event, as in the list", EVENT_ID, form)
        .answers_empty(204, "Done.", &[])
        .refuses(&[NotFound])
}
