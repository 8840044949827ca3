//! The vocabulary of the document: one call, said in chained words, becomes one OpenAPI operation.
//!
//! Knows the form of OpenAPI and nothing of any API. What every answer has (its `Request-Id`, the `Retry-After` of a 429
//! or 503, the examples of problems) is added here, so that no call can forget it.

use serde_json::{Map, Value, json};

use super::super::problem::ProblemCode;

/// A body of a request or an answer: schema and named examples.
#[derive(Debug, Clone)]
pub(in crate::http) struct Content {
    schema: Value,
    examples: Map<String, Value>,
}

/// `{"$ref": "#/components/schemas/<name>"}`
pub(in crate::http) fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Content {
    /// A body of a named schema.
    pub(in crate::http) fn of(name: &str) -> Self {
        Self { schema: schema(name), examples: Map::new() }
    }

    /// A body that is one of several.
    pub(in crate::http) fn one_of(names: &[&str]) -> Self {
        let schemas: Vec<Value> = names.iter().map(|name| schema(name)).collect();
        Self { schema: json!({ "oneOf": schemas }), examples: Map::new() }
    }

    /// Adds an example. Those of requests are sent by the tests, under this name.
    #[expect(clippy::needless_pass_by_value, reason = "given as a json! in place, which only borrows what it holds")]
    pub(in crate::http) fn example(mut self, name: &str, value: Value) -> Self {
        self.examples.insert(name.to_owned(), json!({ "value": value }));
        self
    }

    fn into_value(self) -> Value {
        json!({ "schema": self.schema, "examples": self.examples })
    }
}

/// Who may call, by credentials of `shared::security_schemes` or of the API's own.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum Callers {
    /// Everyone, always.
    Public,
    /// Everyone, unless `api.require_key`; back ends by their key.
    Anyone,
    /// As [`Callers::Anyone`], and a signed-in person by her access token.
    AnyoneOrUser,
    /// Back ends by their key.
    Keyed,
    /// A signed-in person by her access token.
    User,
}

impl Callers {
    fn into_value(self) -> Value {
        match self {
            Self::Public => json!([]),
            Self::Anyone => json!([{}, { "apiKey": [] }, { "apiKeyBasic": [] }]),
            Self::AnyoneOrUser => json!([{}, { "accessToken": [] }, { "apiKey": [] }, { "apiKeyBasic": [] }]),
            Self::Keyed => json!([{ "apiKey": [] }, { "apiKeyBasic": [] }]),
            Self::User => json!([{ "accessToken": [] }]),
        }
    }
}

/// One call.
#[derive(Debug)]
pub(in crate::http) struct Operation {
    method: &'static str,
    path: &'static str,
    fields: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    problems: Vec<ProblemCode>,
}

impl Operation {
    /// A call: its method in lower case, its path as the router has it, and its id, unique in the document.
    pub(in crate::http) fn new(method: &'static str, path: &'static str, id: &str) -> Self {
        let fields = Map::from_iter([("operationId".to_owned(), id.into())]);
        Self { method, path, fields, parameters: Vec::new(), responses: Map::new(), problems: Vec::new() }
    }

    /// What it does, in a few words, and more in Markdown.
    pub(in crate::http) fn about(self, summary: &str, description: &str) -> Self {
        self.field("summary", summary.into()).field("description", description.into())
    }

    /// Who may call it.
    pub(in crate::http) fn callers(self, callers: Callers) -> Self {
        self.field("security", callers.into_value())
    }

    /// A part of its path.
    #[expect(clippy::needless_pass_by_value, reason = "given as a json! in place, which only borrows what it holds")]
    pub(in crate::http) fn path_parameter(
        mut self,
        name: &str,
        description: &str,
        example: &str,
        schema: Value,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema, "example": example,
        }));
        self
    }

    /// A parameter of another kind.
    pub(in crate::http) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes an `Idempotency-Key`.
    pub(in crate::http) fn idempotent(self) -> Self {
        let key = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
        self.parameter(key).refuses(&[
            ProblemCode::InvalidField,
            ProblemCode::IdempotencyInFlight,
            ProblemCode::IdempotencyKeyReused,
        ])
    }

    /// Has a message sent, and so may ask for proof of work first.
    pub(in crate::http) fn proves(self) -> Self {
        self.takes_proof().refuses(&[ProblemCode::ProofOfWorkRequired])
    }

    /// Takes a `Proof-Of-Work`.
    pub(in crate::http) fn takes_proof(self) -> Self {
        self.parameter(json!({ "$ref": "#/components/parameters/ProofOfWork" }))
    }

    /// Takes a JSON body; one without required fields may be absent.
    pub(in crate::http) fn takes(self, required: bool, body: Content) -> Self {
        self.takes_as(required, &["application/json"], body)
    }

    /// Takes a body of any of these types.
    pub(in crate::http) fn takes_as(self, required: bool, media_types: &[&str], body: Content) -> Self {
        let body = body.into_value();
        let content: Map<String, Value> = media_types.iter().map(|it| ((*it).to_owned(), body.clone())).collect();
        self.field("requestBody", json!({ "required": required, "content": content }))
    }

    /// Answers JSON. `headers` are names in `#/components/headers`.
    pub(in crate::http) fn answers(self, status: u16, about: &str, headers: &[&str], body: Content) -> Self {
        let content = json!({ "application/json": body.into_value() });
        self.response(status, about, headers, Some(content))
    }

    /// Answers without a body.
    pub(in crate::http) fn answers_empty(self, status: u16, about: &str, headers: &[&str]) -> Self {
        self.response(status, about, headers, None)
    }

    /// May answer these problems; each may be named more than once.
    pub(in crate::http) fn refuses(mut self, codes: &[ProblemCode]) -> Self {
        self.problems.extend_from_slice(codes);
        self
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// The operation object.
    pub(super) fn into_value(mut self, tag: &str) -> Value {
        let problems = std::mem::take(&mut self.problems);
        let of_status = |status| problems.iter().copied().filter(move |code| code.status().as_u16() == status);
        let mut statuses: Vec<u16> = problems.iter().map(|code| code.status().as_u16()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        for status in statuses {
            // In the order of the list, each once.
            let codes: Vec<ProblemCode> =
                ProblemCode::ALL.iter().copied().filter(|code| of_status(status).any(|it| it == *code)).collect();
            self = self.problem_response(status, &codes);
        }
        let mut operation = self.fields;
        operation.insert("tags".to_owned(), json!([tag]));
        operation.insert("parameters".to_owned(), self.parameters.into());
        operation.insert("responses".to_owned(), self.responses.into());
        operation.into()
    }

    fn problem_response(self, status: u16, codes: &[ProblemCode]) -> Self {
        let lines: Vec<String> = codes.iter().map(|code| format!("- `{}`: {}", code.slug(), code.page())).collect();
        let slugs: Vec<&str> = codes.iter().map(|code| code.slug()).collect();
        let example = |code: &&str| ((*code).to_owned(), json!({ "$ref": format!("#/components/examples/{code}") }));
        let examples: Map<String, Value> = slugs.iter().map(example).collect();
        let content = json!({ "application/problem+json": {
            "schema": { "allOf": [schema("Problem"), { "properties": { "code": { "enum": slugs } } }] },
            "examples": examples,
        } });
        let mut headers = Vec::new();
        if status == 401 {
            headers.push("WWW-Authenticate");
        }
        if matches!(status, 429 | 503) || codes.contains(&ProblemCode::IdempotencyInFlight) {
            headers.push("Retry-After");
        }
        if codes.contains(&ProblemCode::ProofOfWorkRequired) {
            headers.push("Proof-Of-Work-Challenge");
        }
        if codes.iter().any(|code| is_of_record(*code)) {
            headers.extend(["RateLimit-Policy", "RateLimit"]);
        }
        self.response(status, &lines.join("\n"), &headers, Some(content))
    }

    /// A status that is answered in two forms has the contents of both.
    fn response(mut self, status: u16, about: &str, headers: &[&str], content: Option<Value>) -> Self {
        let text = |response: &Value| response["description"].as_str().map(|earlier| format!("{earlier}\n{about}"));
        let named = |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
        let part = |response: Option<&Value>, name: &str| -> Map<String, Value> {
            response.and_then(|response| response[name].as_object()).cloned().unwrap_or_default()
        };
        let status = status.to_string();
        let earlier = self.responses.get(&status);
        let description = earlier.and_then(text).unwrap_or_else(|| about.to_owned());
        let mut all_headers = part(earlier, "headers");
        all_headers.extend(["Request-Id"].iter().chain(headers).map(named));
        let mut contents = part(earlier, "content");
        if let Some(Value::Object(content)) = content {
            contents.extend(content);
        }
        let mut response = Map::from_iter([
            ("description".to_owned(), description.into()),
            ("headers".to_owned(), all_headers.into()),
        ]);
        if !contents.is_empty() {
            response.insert("content".to_owned(), contents.into());
        }
        self.responses.insert(status, response.into());
        self
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }
}

/// Whether a number's record says it, which then also tells its send window.
fn is_of_record(code: ProblemCode) -> bool {
    use ProblemCode::{
        AlreadyApproved, CodeIncorrect, GuessBudgetExhausted, IdempotencyInFlight, IdempotencyKeyReused,
        MaxAttemptsReached, PhoneInUse, SendLimited, VerificationClosed, VerificationExpired, VerificationNotFound,
    };
    matches!(
        code,
        AlreadyApproved
            | CodeIncorrect
            | GuessBudgetExhausted
            | IdempotencyInFlight
            | IdempotencyKeyReused
            | MaxAttemptsReached
            | PhoneInUse
            | SendLimited
            | VerificationClosed
            | VerificationExpired
            | VerificationNotFound
    )
}
