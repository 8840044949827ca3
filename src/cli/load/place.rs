//! Where the load goes: a server of our own, or one that runs; and where its codes come from.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::Url;

use super::{
    options::{GatewayName, Options},
    unusable,
};
use crate::{
    cli::{Failed, say},
    load::{
        ACCOUNT_SID, AUTH_TOKEN, Codes, Derived, Figures, Gateway, Inbox, OwnServer, SENDER, SendLimits, ServerPlan,
        Stage, Target,
    },
    settings::Settings,
};

/// Where our own inbox listens.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The stage, and what its server allows.
pub(super) struct Place {
    pub(super) stage: Stage,
    pub(super) figures: Figures,
}

impl Place {
    pub(super) async fn prepare(options: &Options, config: Option<&Path>, seed: u64) -> Result<Self, Failed> {
        match &options.url {
            Some(url) => Self::running(options, config, url, seed).await,
            None => Self::own(options, config, seed).await,
        }
    }

    async fn running(options: &Options, config: Option<&Path>, url: &Url, seed: u64) -> Result<Self, Failed> {
        let address = resolved(url).await?;
        let is_here = address.ip().is_loopback() && options.inbox.is_none_or(|inbox| inbox.ip().is_loopback());
        if !is_here && !options.beyond_loopback {
            return Err(unusable(
                "load goes to this machine only (127.0.0.1, ::1, localhost): \
                 --beyond-loopback lifts that, for servers of your own",
            ));
        }
        let settings = Settings::load(config, [])?;
        let codes = match options.inbox {
            Some(inbox) => {
                let inbox = Inbox::start(inbox).await?;
                say::note(&format!(
                    "The provider's stand-in listens at http://{} (account_sid {ACCOUNT_SID}, auth_token {AUTH_TOKEN}, \
                     from {SENDER}).",
                    inbox.address()
                ));
                Codes::Inbox(inbox)
            }
            None => Codes::None,
        };
        Ok(Self { stage: Stage::new(Target::v1(address), codes, seed), figures: figures(&settings) })
    }

    async fn own(options: &Options, config: Option<&Path>, seed: u64) -> Result<Self, Failed> {
        let (gateway, inbox) = match options.gateway {
            GatewayName::Twilio => {
                let inbox = Inbox::start(ANYWHERE).await?;
                (Gateway::to(&inbox), Some(inbox))
            }
            GatewayName::Simulated => (Gateway::Simulated, None),
        };
        let plan = ServerPlan::of_this_program(gateway)?;
        let parent: PathBuf = options.data.clone().unwrap_or_else(|| plan.parent.clone());
        let plan = ServerPlan { parent, config: config.map(Path::to_owned), keep: options.keep, ..plan };
        // Before it is started, so that wrong settings are told here and not in its log.
        let settings = Settings::load(config, plan.variables()?)?;
        let server = Arc::new(OwnServer::start(plan).await?);
        if options.keep {
            say::note(&format!("The server's directory: {}", server.directory().display()));
        }
        let codes = match inbox {
            Some(inbox) => Codes::Inbox(inbox),
            None => Codes::Derived(Arc::new(Derived::open(&server.data(), settings.codes.digits)?)),
        };
        let stage = Stage::new(Target::v1(server.address()), codes, seed).own(server);
        Ok(Self { stage, figures: figures(&settings) })
    }

    /// Ends the own server in order.
    pub(super) async fn end(self) -> Result<(), Failed> {
        match self.stage.server {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}

async fn resolved(url: &Url) -> Result<SocketAddr, Failed> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let mut found =
        tokio::net::lookup_host((host, port)).await.map_err(|_| unusable("--url: the host is not known"))?;
    found.next().ok_or_else(|| unusable("--url: the host has no address"))
}

fn figures(settings: &Settings) -> Figures {
    Figures {
        sends: SendLimits {
            per_window: settings.limits.sends_per_window.into(),
            window: settings.limits.send_window,
            per_day: settings.limits.sends_per_day.into(),
        },
        attempts: settings.codes.attempts.into(),
        code_life: settings.codes.ttl,
        access_life: settings.token.access_ttl,
    }
}
