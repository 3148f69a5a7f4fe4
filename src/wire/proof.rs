//! What proves a password, method by method: formulas over the password and what the server sent. Who asks for which
//! of them, and when, is [`super::auth`]'s business.

use super::auth::AuthError;
use crate::codec::Reader;
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rsa::OAEP_SHA1_MGF1SHA1;
use aws_lc_rs::rsa::OaepPublicEncryptingKey;
use aws_lc_rs::rsa::PublicEncryptingKey;
use ed25519_dalek::Signer;
use ed25519_dalek::SigningKey;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::ExpandedSecretKey;
use ed25519_dalek::hazmat::raw_sign;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha1::Digest;
use sha1::Sha1;
use sha2::Sha256;
use sha2::Sha512;
use std::num::NonZeroU32;

/// Random bytes of `client_ed25519` and `parsec`, from either side.
pub const LONG_NONCE: usize = 32;
/// parsec's largest exponent, as in MariaDB's own client: more would be work that a server puts on its clients.
const PARSEC_FACTOR_MAX: u8 = 3;

/// `SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password)))`; nothing for no password.
pub fn native_scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let mixed = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce)`; nothing for no password.
pub fn caching_sha2_scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha256::digest(password);
    let mixed = Sha256::new().chain_update(Sha256::digest(once)).chain_update(nonce).finalize();
    once.iter().zip(mixed).map(|(a, b)| a ^ b).collect()
}

/// MariaDB's `client_ed25519`: the nonce signed by a key whose expanded form is SHA-512 of the password. (RFC 8032
/// hashes a seed of 32 bytes there; MariaDB's `ref10/sign.c` takes a password of any length.)
pub fn ed25519_signature(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let key = ExpandedSecretKey::from_bytes(&Sha512::digest(password).into());
    raw_sign::<Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes().to_vec()
}

/// MariaDB's `parsec`: our own random bytes, and a signature over both sides' by a key derived from the password.
/// `ext_salt`: derivation 1 ('P', PBKDF2 with HMAC-SHA-512), exponent 1 (iterations / 1024, as a power of 2), salt.
pub fn parsec_answer(
    password: &[u8],
    ext_salt: &[u8],
    nonce: &[u8],
    own: &[u8; LONG_NONCE],
) -> Result<Vec<u8>, AuthError> {
    let signature = parsec_key(password, ext_salt)?.sign(&[nonce, own].concat());
    Ok([&own[..], &signature.to_bytes()].concat())
}

fn parsec_key(password: &[u8], ext_salt: &[u8]) -> Result<SigningKey, AuthError> {
    let mut r = Reader::new(ext_salt);
    let derivation = r.u8("parsec: key derivation")?;
    if derivation != b'P' {
        return Err(r.invalid("parsec: key derivation", derivation.into()).into());
    }
    let factor = r.u8("parsec: iterations")?;
    let iterations = match NonZeroU32::new(1024 << factor.min(PARSEC_FACTOR_MAX)) {
        Some(iterations) if factor <= PARSEC_FACTOR_MAX => iterations,
        _ => return Err(r.invalid("parsec: iterations", factor.into()).into()),
    };
    let mut seed = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, r.rest(), password, &mut seed);
    Ok(SigningKey::from_bytes(&seed))
}

/// What a server stores of a password for `mysql_native_password`.
pub fn native_stored(password: &[u8]) -> Vec<u8> {
    Sha1::digest(Sha1::digest(password)).to_vec()
}

/// What a server stores of a password for `ed25519`: the public key.
pub fn ed25519_stored(password: &[u8]) -> Vec<u8> {
    let key = ExpandedSecretKey::from_bytes(&Sha512::digest(password).into());
    VerifyingKey::from(&key).to_bytes().to_vec()
}

/// What a server stores of a password for `parsec`: derivation, exponent and salt, then the public key.
pub fn parsec_stored(password: &[u8], ext_salt: &[u8]) -> Result<Vec<u8>, AuthError> {
    let public = parsec_key(password, ext_salt)?.verifying_key();
    Ok([ext_salt, &public.to_bytes()].concat())
}

/// MariaDB's "zero-configuration TLS" (11.4 and later): what the final OK says when the server knows the password and
/// its certificate has this SHA-256. `nonce` is the last one of 20 bytes. After a 1, SHA-256 as hexadecimal digits.
pub fn certificate_proof(stored: &[u8], nonce: &[u8], fingerprint: &[u8; 32]) -> Vec<u8> {
    let digest = Sha256::new().chain_update(stored).chain_update(nonce).chain_update(fingerprint).finalize();
    let digits: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    [&[1], digits.as_bytes()].concat()
}

/// The password under the server's RSA key (PEM): OAEP with SHA-1 over the password and a zero, XOR the nonce, which
/// keeps a recorded answer from being played again.
pub fn encrypted_password(password: &[u8], nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>, AuthError> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem)
        .map_err(|_| AuthError::Key("the server's RSA key is no public key in PEM form"))?;
    let key = PublicEncryptingKey::from_der(&key)
        .map_err(|_| AuthError::Key("the server's RSA key cannot be used (2048 to 8192 bits are)"))?;
    let key =
        OaepPublicEncryptingKey::new(key).map_err(|_| AuthError::Key("the server's RSA key is broken"))?;
    let mut text = with_zero(password);
    for (byte, mask) in text.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let mut out = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(&OAEP_SHA1_MGF1SHA1, &text, &mut out, None)
        .map_err(|_| AuthError::Key("the password is too long for the server's RSA key"))?
        .len();
    out.truncate(length);
    Ok(out)
}

/// The password itself, as C keeps texts.
pub fn with_zero(password: &[u8]) -> Vec<u8> {
    [password, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::ED25519;
    use aws_lc_rs::signature::UnparsedPublicKey;

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn scrambles_undo_with_what_the_server_stores() {
        // The server keeps SHA1(SHA1(password)) and gets SHA1(password) back out of the scramble.
        let stored = Sha1::digest(Sha1::digest(b"secret"));
        let mask = Sha1::new().chain_update(NONCE).chain_update(stored).finalize();
        let once: Vec<u8> = native_scramble(b"secret", NONCE).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha1::digest(&once), stored);
        let stored = Sha256::digest(Sha256::digest(b"secret"));
        let mask = Sha256::new().chain_update(stored).chain_update(NONCE).finalize();
        let once: Vec<u8> =
            caching_sha2_scramble(b"secret", NONCE).iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(&once), stored);
        assert!(native_scramble(b"", NONCE).is_empty() && caching_sha2_scramble(b"", NONCE).is_empty());
    }

    #[test]
    fn known_scrambles() {
        // Python: sha1/sha256 of hashlib over the formulas of the manual.
        assert_eq!(hex(&native_scramble(b"secret", NONCE)), "8817c50fa779daef010ee7577825b0847df9842e");
        assert_eq!(
            hex(&caching_sha2_scramble(b"secret", NONCE)),
            "c76e2898612a4cf042c77fa8c4702c4c64c0c2c557c53c4d75595aaa6abae809"
        );
    }

    /// What MariaDB stores is the public key; this one stands in its manual, for the password "secret".
    #[test]
    fn an_ed25519_signature_fits_the_key_that_mariadb_stores() {
        use base64::Engine;
        let stored = "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY";
        let public = base64::engine::general_purpose::STANDARD_NO_PAD.decode(stored).unwrap();
        let signature = ed25519_signature(b"secret", &[7; LONG_NONCE]);
        UnparsedPublicKey::new(&ED25519, public).verify(&[7; LONG_NONCE], &signature).unwrap();
    }

    #[test]
    fn a_parsec_answer_is_our_bytes_and_a_signature_over_both_sides() {
        let (nonce, own, salt) = ([1; LONG_NONCE], [2; LONG_NONCE], [3; 18]);
        let answer =
            |factor: u8| parsec_answer(b"pw", &[&b"P"[..], &[factor], &salt].concat(), &nonce, &own).unwrap();
        // Python: hashlib.pbkdf2_hmac("sha512", b"pw", bytes([3] * 18), 1024 << factor, 32).hex()
        for (factor, seed) in [
            (0, "d8fad41155989f0ac353a6e43050b5d59d31724fba8ed42bc4f5199d5595c4e1"),
            (3, "1f8ada01eafa7691474ea07b33249fbbdc9459ea6e4c78943797a24679538125"),
        ] {
            let answer = answer(factor);
            let (sent, signature) = answer.split_at(LONG_NONCE);
            assert_eq!((sent, signature.len()), (&own[..], 64));
            let bytes: Vec<u8> =
                (0..32).map(|at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap()).collect();
            let public = SigningKey::try_from(&bytes[..]).unwrap().verifying_key().to_bytes();
            UnparsedPublicKey::new(&ED25519, public).verify(&[nonce, own].concat(), signature).unwrap();
        }
        assert_ne!(answer(0), answer(1));
        for bad in [&b""[..], b"P", b"X\0salt", b"P\x04salt", b"P\xffsalt"] {
            assert!(parsec_answer(b"pw", bad, &nonce, &own).is_err(), "{bad:?}");
        }
    }
}
