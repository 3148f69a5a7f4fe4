//! The files of `mysql_ssl_ca`, `mysql_ssl_cert` and `mysql_ssl_key`: what cannot be used is told with its cure.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::Error as PemError;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

/// More than any list of certificates; a device or a log file by mistake is told and not read for ever.
const LENGTH_MAX: u64 = 16 << 20;
/// How the binary form of a certificate or key begins: an ASN.1 sequence with a length of two bytes.
const DER_START: &[u8] = &[0x30, 0x82];

/// The certificates of a file, in order; at least one.
pub(super) fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(key, path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let list = list.map_err(|error| refusal(key, path, damage(&error)))?;
    if !list.is_empty() {
        return Ok(list);
    }
    Err(refusal(key, path, &nothing("certificate", &bytes, "openssl x509 -inform der", path)))
}

/// The private key of a file, in PKCS#1, PKCS#8 or SEC1 form.
pub(super) fn private_key(key: &str, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(key, path)?;
    // The old form says so behind its first line ("Proc-Type: 4,ENCRYPTED"), the new one in it.
    if bytes.windows(9).any(|window| window == b"ENCRYPTED") {
        let text = format!(
            "the key is encrypted, and fountain asks nobody for its passphrase; openssl pkey -in {} -out FILE writes \
             it in clear, to be kept where only fountain's user can read it",
            path.display()
        );
        return Err(refusal(key, path, &text));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        PemError::NoItemsFound => {
            refusal(key, path, &nothing("private key", &bytes, "openssl pkey -inform der", path))
        }
        other => refusal(key, path, damage(&other)),
    })
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        File::open(path)?.take(LENGTH_MAX + 1).read_to_end(bytes)
    };
    let length = read(&mut bytes).map_err(|error| refusal(key, path, &format!("cannot be read: {error}")))?;
    if length as u64 > LENGTH_MAX {
        return Err(refusal(key, path, &format!("larger than {LENGTH_MAX} bytes, which no such file is")));
    }
    Ok(bytes)
}

fn nothing(what: &str, bytes: &[u8], convert: &str, path: &Path) -> String {
    if bytes.starts_with(DER_START) {
        return format!(
            "is in binary form (DER), and PEM is needed: {convert} -in {} -out FILE converts it",
            path.display()
        );
    }
    format!("holds no {what} in PEM form (-----BEGIN …-----)")
}

fn damage(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "is cut: its last -----END …----- is missing",
        PemError::Base64Decode(_) | PemError::IllegalSectionStart { .. } => {
            "is damaged: what it holds is no PEM"
        }
        _ => "cannot be used",
    }
}

fn refusal(key: &str, path: &Path, why: &str) -> String {
    format!("{key} {}: {why}", path.display())
}
