//! TLS of the main listener: a certificate chain and its key become rustls' settings.
//!
//! TLS 1.2 and 1.3 with rustls' own suites, h2 and http/1.1 by ALPN. Reads no files.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Why the certificate or key cannot be used. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the text, or a malformed one.
    #[error("no usable certificate in the chain")]
    Certificate,
    /// No private key in the text, or a malformed one.
    #[error("no usable private key")]
    Key,
    /// The two do not belong together, or the key is of an unknown kind.
    #[error("certificate and key do not fit")]
    Mismatch(#[source] rustls::Error),
}

/// Settings for [`super::listener::ListenerSettings::tls`] from PEM texts: the chain (leaf first) and its key.
pub fn server_config(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
    let chain = chain.map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| TlsError::Key)?;
    // Named outright: a process-wide default could be another library's choice.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_texts_are_told_apart() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(server_config(chain.as_bytes(), key.as_bytes()).is_ok());
        assert!(matches!(server_config(b"", key.as_bytes()), Err(TlsError::Certificate)));
        assert!(matches!(server_config(chain.as_bytes(), chain.as_bytes()), Err(TlsError::Key)));
        assert!(matches!(server_config(chain.as_bytes(), other.as_bytes()), Err(TlsError::Mismatch(_))));
    }
}
