//! Settings: from three layers of text to one checked, typed tree.
//!
//! `config.toml` (compiled in) names every key and its default; the file of the command line and `OTPD__SECTION__KEY`
//! variables change them. Then each section reads its keys with type and range, and the rules that span keys are
//! checked. All that is wrong is reported at once, by key or variable, with what is allowed.
//!
//! Owns: names, ranges and defaults of settings, and reading the environment. Never travels inward: `app` turns these
//! sections into the small settings structs of the parts. Never shows a secret, nor an offending value.

mod aliases;
mod dialects;
mod env_file;
mod gateways;
mod layers;
mod policy;
mod reader;
mod rules;
mod server;
mod sms;
mod spending;
mod storage;
mod webhooks;

use std::{collections::BTreeMap, fmt, path::Path};

pub use self::{
    dialects::Dialect,
    gateways::{
        HttpLimits, Kavenegar, Mshastra, Sns, Telegram, Twilio, TwilioVerify, TwilioVoice, UnsignedReceipts, Vonage,
        VonageMessages, Webhook,
    },
    policy::{Api, Codes, Dev, Limits, Password, ProofMode, ProofOfWork, Token},
    reader::KeyInfo,
    server::{Http2, Log, LogFormat, Ops, Server, TlsFiles},
    sms::{GatewayKind, Receipts, Route, Simulated, Sms},
    spending::{Audit, BudgetRow, Fraud, JournalMode, PriceRow, RuleMode, Spend, VelocityRow},
    storage::{Durability, Phone, Store, Validation},
    webhooks::Webhooks,
};
use self::{layers::Layers, reader::Reader};

/// The compiled-in defaults, which are also the reference of every setting.
pub const DEFAULTS: &str = include_str!("../../config.toml");

/// What every variable of ours begins with. The second underscore keeps clear of what Kubernetes sets for a service
/// that is called `otpd` (`OTPD_SERVICE_HOST`, `OTPD_PORT`).
pub const VARIABLE_PREFIX: &str = "OTPD__";

/// Everything that can be set, checked. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[server]`: the clients' door.
    pub server: Server,
    /// `[ops]`: the operators' door.
    pub ops: Ops,
    /// `[log]`.
    pub log: Log,
    /// `[store]`.
    pub store: Store,
    /// `[phone]`: numbers and their actors.
    pub phone: Phone,
    /// `[codes]`: the policy of `/v1`.
    pub codes: Codes,
    /// `[limits]`: what stands above every door.
    pub limits: Limits,
    /// `[token]`.
    pub token: Token,
    /// `[password]`.
    pub password: Password,
    /// `[api]`: who may call.
    pub api: Api,
    /// `[proof_of_work]`: work that is asked for before a message is sent.
    pub proof_of_work: ProofOfWork,
    /// `[dialects.*]`, by their names.
    pub dialects: BTreeMap<String, Dialect>,
    /// `[cookies]`: they may travel over https alone.
    pub secure_cookies: bool,
    /// `[sms]`: who sends, and what.
    pub sms: Sms,
    /// `[test_numbers]`: numbers in E.164 with their fixed codes.
    pub test_numbers: BTreeMap<String, String>,
    /// `[webhooks]`: events to the operator's back end.
    pub webhooks: Webhooks,
    /// `[spend]`: what messages may cost.
    pub spend: Spend,
    /// `[fraud]`: who gets none.
    pub fraud: Fraud,
    /// `[audit]`: what is written down of it.
    pub audit: Audit,
    /// `[dev]`: switches that are refused in earnest.
    pub dev: Dev,
    printable: String,
    /// Keys that a variable has set, and its name.
    variables: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the layers (defaults, then `file`, then the `OTPD__` variables of `environment`, then the names that the
    /// originals of the dialects use) and checks them.
    ///
    /// # Errors
    /// Everything that is wrong, together: see [`SettingsError::problems`].
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Self::load_all(file, [environment.into_iter().collect()])
    }

    /// As [`Settings::load`], with several environments; a later one goes before those it follows, whatever names it uses.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_all(
        file: Option<&Path>,
        environments: impl IntoIterator<Item = Vec<(String, String)>>,
    ) -> Result<Self, SettingsError> {
        let mut layers = Layers::defaults();
        if let Some(path) = file {
            layers.add_file(path);
        }
        let mut chooser = aliases::Chooser::default();
        for environment in environments {
            let variables: BTreeMap<String, String> = environment.into_iter().collect();
            layers.add_environment(&variables);
            chooser.apply(&mut layers, &variables);
        }
        chooser.choose_gateway(&mut layers);
        Self::check(layers)
    }

    /// The compiled-in defaults alone.
    #[expect(clippy::expect_used, reason = "config.toml is compiled in, and tests/settings.rs loads it")]
    #[must_use]
    pub fn defaults() -> Self {
        Self::load(None, []).expect("the compiled-in defaults are valid")
    }

    /// What is in force, as TOML: one dotted key per line with the layer it came from; a secret only as set or not.
    /// As loaded: later changes of the fields do not show.
    #[must_use]
    pub fn printable(&self) -> &str {
        &self.printable
    }

    /// Where a key was set, in the operator's words: the name of the variable, or the key itself.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        self.variables.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    /// What an operator should be told at start although it is allowed, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        rules::warnings(self)
    }

    /// Every key that the code reads, with what it allows: `tests/settings.rs` holds config.toml against it.
    #[must_use]
    pub fn keys() -> Vec<KeyInfo> {
        let layers = Layers::defaults();
        let mut reader = Reader::new(&layers);
        Self::read(&mut reader, String::new());
        reader.finish().0
    }

    fn check(layers: Layers) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(&layers);
        let mut settings = Self::read(&mut reader, layers.printable());
        settings.variables = layers.variables();
        let (_, found) = reader.finish();
        let mut problems = layers.into_problems();
        problems.extend(found);
        if problems.is_empty() {
            // Only on sound values: a rule over a stand-in would report what nobody wrote.
            problems = rules::broken(&settings);
            for problem in &mut problems {
                problem.place = settings.place(&problem.place);
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError { problems }) }
    }

    fn read(reader: &mut Reader<'_>, printable: String) -> Self {
        Self {
            server: Server::read(reader),
            ops: Ops::read(reader),
            log: Log::read(reader),
            store: Store::read(reader),
            phone: Phone::read(reader),
            codes: Codes::read(reader),
            limits: Limits::read(reader),
            token: Token::read(reader),
            password: Password::read(reader),
            api: Api::read(reader),
            proof_of_work: ProofOfWork::read(reader),
            dialects: Dialect::read_all(reader),
            secure_cookies: reader.flag("cookies.secure"),
            sms: Sms::read(reader),
            test_numbers: test_numbers(reader),
            webhooks: Webhooks::read(reader),
            spend: Spend::read(reader),
            fraud: Fraud::read(reader),
            audit: Audit::read(reader),
            dev: Dev::read(reader),
            printable,
            variables: BTreeMap::new(),
        }
    }
}

/// `[test_numbers]`, each a number and a code by their form; what a plan says of the number does not matter.
fn test_numbers(r: &mut Reader<'_>) -> BTreeMap<String, String> {
    let listed = r.open_table("test_numbers");
    let is_number = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or_default();
        (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_code = |text: &str| (4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if listed.iter().any(|(number, code)| !is_number(number) || !is_code(code)) {
        r.problem("test_numbers", "each entry must be \"+\" and 7 to 15 digits = a code of 4 to 10 digits".to_owned());
    }
    if listed.len() > TEST_NUMBERS_MAX {
        r.problem("test_numbers", format!("must have at most {TEST_NUMBERS_MAX} entries"));
    }
    listed
}

/// Most test numbers: they are for people who try an app out, not for its users.
const TEST_NUMBERS_MAX: usize = 1_000;

/// The process's variables that are ours or an original's; the only place that reads the environment. What is not UTF-8
/// comes with replacement characters, which no setting accepts.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| is_ours(name))
}

fn is_ours(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX) || aliases::is_alias(name)
}

/// The variables of a `.env` file that are ours or an original's.
///
/// # Errors
/// The file cannot be read, or one of those lines cannot; the text names the line, never what stands in it.
pub fn environment_file(path: &Path) -> Result<Vec<(String, String)>, SettingsError> {
    let place = path.file_name().map_or_else(|| ".env".to_owned(), |name| name.to_string_lossy().into_owned());
    let failed = |text: String| SettingsError { problems: vec![Problem { place: place.clone(), text }] };
    let (text, _) = layers::read_small(path).map_err(|error| failed(format!("cannot be read ({error})")))?;
    env_file::read(&text, is_ours).map_err(|line| failed(format!("line {line}: a quote that does not end")))
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: the key, or the variable that set it.
    pub place: String,
    /// What is allowed. Never the offending text, which may be a secret in the wrong place.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The settings cannot be used: everything that is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

impl SettingsError {
    /// What is wrong, in the order of the layers, then of the keys.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for SettingsError {}
