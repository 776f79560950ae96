//! Messages that only one browser can read (RFC 8291), as one record of RFC 8188's `aes128gcm`.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use crate::random::Random;

/// One record holds it all. Push services take no more than 4096 bytes (RFC 8030, 7.2).
const RECORD: u32 = 4096;
/// What stands before the record: salt, its size, and the public key with its length.
const HEADER: usize = 16 + 4 + 1 + 65;
/// After the text: where it ends, and the tag.
const FOOT: usize = 1 + 16;
/// The longest text.
pub(super) const LONGEST: usize = RECORD as usize - HEADER - FOOT;
/// Texts are filled up to a multiple of this, so that their length says little.
const STEP: usize = 512;

/// It cannot be encrypted: the browser's key is no point of the curve, or the text is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be encrypted for this browser's key")]
pub(super) struct Unencryptable;

/// What one message is encrypted with, and nothing else ever.
pub(super) struct Once {
    pub private: PrivateKey,
    pub salt: [u8; 16],
}

impl Once {
    pub(super) fn new(random: &Random) -> Self {
        Self { private: private_key(random).0, salt: random.bytes() }
    }
}

/// A private key, with its bytes.
pub(super) fn private_key(random: &Random) -> (PrivateKey, Zeroizing<[u8; 32]>) {
    loop {
        let bytes = Zeroizing::new(random.bytes::<32>());
        // One number in 2^32 is none of the curve's.
        if let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, bytes.as_slice()) {
            return (key, bytes);
        }
    }
}

/// The point that belongs to it, uncompressed.
pub(super) fn public_of(key: &PrivateKey) -> Option<[u8; 65]> {
    key.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// The body of the request for a browser with this public key and secret.
pub(super) fn encrypt(text: &[u8], (key, secret): (&[u8], &[u8]), once: &Once) -> Result<Vec<u8>, Unencryptable> {
    let padded = (text.len() + 1).next_multiple_of(STEP).min(LONGEST + 1) - 1;
    sealed(text, padded, (key, secret), once)
}

fn sealed(text: &[u8], padded: usize, (theirs, secret): (&[u8], &[u8]), once: &Once) -> Result<Vec<u8>, Unencryptable> {
    if text.len() > padded || padded > LONGEST {
        return Err(Unencryptable);
    }
    let ours = public_of(&once.private).ok_or(Unencryptable)?;
    let (key, nonce) = keys((theirs, secret), &ours, once)?;
    let mut record = text.to_vec();
    // The last record ends with 2 (RFC 8188, 2); what follows is padding.
    record.push(2);
    record.resize(padded + 1, 0);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_slice()).map_err(|_| Unencryptable)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)
        .map_err(|_| Unencryptable)?;
    let mut body = Vec::with_capacity(HEADER + record.len());
    body.extend_from_slice(&once.salt);
    body.extend_from_slice(&RECORD.to_be_bytes());
    body.push(65);
    body.extend_from_slice(&ours);
    body.extend_from_slice(&record);
    Ok(body)
}

/// The key and the nonce of the record (RFC 8291, 3.4).
fn keys(
    (theirs, secret): (&[u8], &[u8]),
    ours: &[u8],
    once: &Once,
) -> Result<(Zeroizing<[u8; 16]>, [u8; NONCE_LEN]), Unencryptable> {
    let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
    let shared =
        agree(&once.private, peer, Unencryptable, |shared| Ok(Salt::new(HKDF_SHA256, secret).extract(shared)))?;
    let input: Zeroizing<[u8; 32]> = expand(&shared, &[b"WebPush: info\0", theirs, ours])?;
    let first = Salt::new(HKDF_SHA256, &once.salt).extract(input.as_slice());
    let key = expand(&first, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: Zeroizing<[u8; NONCE_LEN]> = expand(&first, &[b"Content-Encoding: nonce\0"])?;
    Ok((key, *nonce))
}

#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Result<Zeroizing<[u8; N]>, Unencryptable> {
    let mut out = Zeroizing::new([0; N]);
    let expanded = key.expand(info, Length(N)).map_err(|_| Unencryptable)?;
    expanded.fill(out.as_mut_slice()).map_err(|_| Unencryptable)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    const THEIRS: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn the_example_of_rfc_8291_comes_out_byte_for_byte() {
        let private =
            PrivateKey::from_private_key(&ECDH_P256, &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let once = Once { private, salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap() };
        let text = bytes("V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24");
        let body = sealed(&text, text.len(), (&bytes(THEIRS), &bytes(SECRET)), &once).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A\
             _yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn lengths_say_little_and_stay_within_what_services_take() {
        let random = Random::seeded(3);
        let to = (bytes(THEIRS), bytes(SECRET));
        let length = |n: usize| encrypt(&vec![b'x'; n], (&to.0, &to.1), &Once::new(&random)).map(|body| body.len());
        assert_eq!(length(1), length(500));
        assert_ne!(length(500), length(512));
        assert_eq!(length(LONGEST), Ok(4096));
        assert_eq!(length(LONGEST + 1), Err(Unencryptable));
    }

    #[test]
    fn what_is_no_point_of_the_curve_is_refused() {
        let random = Random::seeded(4);
        let mut wrong = bytes(THEIRS);
        wrong[40] ^= 1;
        for key in [wrong, vec![4; 65], Vec::new(), vec![0]] {
            assert_eq!(encrypt(b"x", (&key, &bytes(SECRET)), &Once::new(&random)), Err(Unencryptable));
        }
    }
}
