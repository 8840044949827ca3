//! The signature algorithms we offer, and how a private key of each is made and read.
//!
//! Private keys are PKCS#8 (RSA, EC, Ed25519) or raw bytes (HS*). Key pairs are drawn by aws-lc's own
//! generator, which takes no other; HS* secrets come from the [`Entropy`] port.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    DecodingKey, EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyFault, SECRET_BYTES_MIN};
use crate::entropy::Entropy;

/// Bytes of an HS* secret we make: the output of the widest hash, as RFC 7518 3.2 asks.
const HMAC_SECRET_BYTES: usize = 64;

/// A signature algorithm of a token (RFC 7518, RFC 8037). `none` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256, the default: fastest, checked by us alone.
    #[default]
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512; what the `usr_otp` dialect's tokens always are.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048-bit keys.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519: the one to take where others verify by JWKS.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// The name is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of HS256, HS384, HS512, RS256, ES256, EdDSA")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hs256, Self::Hs384, Self::Hs512, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The registered name, as in a token's `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// True for HS*: one secret signs and verifies, so there is no public key to hand out.
    pub fn is_hmac(self) -> bool {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => true,
            Self::Rs256 | Self::Es256 | Self::EdDsa => false,
        }
    }

    /// The library's name for it.
    pub(super) fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// Fresh private material, in the form the key file keeps.
    pub(super) fn generate(self, entropy: &dyn Entropy) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let random = SystemRandom::new();
        let refused = |_| KeyFault::Crypto("key generation");
        Ok(Zeroizing::new(match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => {
                let mut secret = vec![0; HMAC_SECRET_BYTES];
                entropy.fill(&mut secret);
                secret
            }
            Self::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(refused)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(refused)?;
                der.as_ref().to_vec()
            }
            Self::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(refused)?
                .as_ref()
                .to_vec(),
            Self::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&random).map_err(refused)?.as_ref().to_vec(),
        }))
    }

    /// Reads private material; anything but a fit key of exactly this algorithm (other curve, short RSA
    /// modulus, short secret) is refused.
    pub(super) fn read(self, kid: &str, private: &[u8]) -> Result<KeyPair, KeyFault> {
        let unfit = |_| KeyFault::Crypto("a private key is not of its algorithm");
        let signing = match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 if private.len() < SECRET_BYTES_MIN => {
                return Err(KeyFault::Weak(super::WeakSecret::TooShort));
            }
            Self::Hs256 | Self::Hs384 | Self::Hs512 => {
                let verifying = DecodingKey::from_secret(private);
                return Ok(KeyPair { signing: EncodingKey::from_secret(private), verifying, public: None });
            }
            // The library signs with the inner PKCS#1 key, which only its PEM reader takes out of PKCS#8.
            Self::Rs256 => EncodingKey::from_rsa_pem(pem(private).as_bytes()).map_err(unfit)?,
            Self::Es256 => EncodingKey::from_ec_der(private),
            Self::EdDsa => EncodingKey::from_ed_der(private),
        };
        let mut public = Jwk::from_encoding_key(&signing, self.jwt()).map_err(unfit)?;
        public.common.key_id = Some(kid.to_owned());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifying = DecodingKey::from_jwk(&public).map_err(unfit)?;
        Ok(KeyPair { signing, verifying, public: Some(public) })
    }
}

/// One key, ready for the library. Its parts wipe themselves and hide from `Debug`.
pub(super) struct KeyPair {
    /// What signs.
    pub(super) signing: EncodingKey,
    /// What verifies; for HS* the same secret.
    pub(super) verifying: DecodingKey,
    /// What the world may see; nothing for HS*.
    pub(super) public: Option<Jwk>,
}

/// PKCS#8 in its text form.
fn pem(pkcs8: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(pkcs8));
    Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.as_str()))
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn names_read_back_and_none_is_no_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
        }
        for name in ["none", "None", "nOnE", "hs256", "ES384", "PS256", ""] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
        }
    }

    /// security 66: a key is bound to its algorithm, so a key of another kind or curve is not taken for it.
    #[test]
    fn private_material_of_another_algorithm_is_refused() {
        let asymmetric = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
        for made in asymmetric {
            let private = made.generate(&OsEntropy).unwrap();
            for read in asymmetric {
                assert_eq!(read.read("kid", &private).is_ok(), read == made, "{made} key read as {read}");
            }
        }
        let p384 =
            EcdsaKeyPair::generate_pkcs8(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new());
        assert!(Algorithm::Es256.read("kid", p384.unwrap().as_ref()).is_err(), "P-384 is another curve");
        assert!(Algorithm::Hs256.read("kid", &[7; 31]).is_err(), "a short secret");
    }
}
