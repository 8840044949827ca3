//! What messages say, and what is asked before one is sent.

use super::{StartError, millis};
use crate::{
    entropy::Entropy,
    service::{ProofOfWork, proof_of_work::ProofSettings},
    settings::{ProofMode, Settings},
    sms::text::{TextSettings, Texts},
};

/// The texts of messages.
pub fn texts(settings: &Settings) -> Result<Texts, StartError> {
    let sms = &settings.sms;
    Ok(Texts::new(TextSettings {
        app: sms.app_name.clone(),
        default_locale: sms.default_locale.clone(),
        templates: sms.templates.clone(),
        phone_changed: sms.phone_changed.clone(),
        webotp_hosts: sms.webotp_hosts.clone(),
        webotp_host: sms.webotp_host.clone(),
        app_hashes: sms.app_hashes.clone(),
        app_hash: sms.app_hash.clone(),
        parts_max: sms.parts_max,
    })?)
}

/// The work that is asked for before a message is sent.
pub(in crate::app) fn proof_of_work(settings: &Settings, entropy: &dyn Entropy) -> Option<ProofOfWork> {
    let settings = &settings.proof_of_work;
    let figures = ProofSettings { bits: settings.bits, ttl_ms: millis(settings.ttl), used_max: settings.used_max };
    match settings.mode {
        ProofMode::Off => None,
        ProofMode::Always => Some(ProofOfWork::new(figures, entropy)),
    }
}
