//! What a passkey signs when a decision asks for it (S-18): the decision itself. The portal asks with this challenge, the
//! record keeps what was answered, and whoever reads the record can compute it again.

use super::decision::Verdict;
use super::ids::sha256;
use super::shown::Fingerprint;

/// SHA-256 over the nonce's 32 bytes, the fingerprint's 32 bytes, and the verdict's name.
#[must_use]
pub fn challenge(nonce: &[u8; 32], fingerprint: Fingerprint, verdict: Verdict) -> [u8; 32] {
    let mut signed = nonce.to_vec();
    signed.extend_from_slice(&fingerprint.0);
    signed.extend_from_slice(verdict.name().as_bytes());
    sha256(&signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_nonce_page_or_verdict_is_another_challenge() {
        let of = challenge(&[1; 32], Fingerprint([2; 32]), Verdict::Approved);
        assert_eq!(of, sha256(&[&[1; 32][..], &[2; 32], b"approved"].concat()));
        assert_ne!(of, challenge(&[3; 32], Fingerprint([2; 32]), Verdict::Approved));
        assert_ne!(of, challenge(&[1; 32], Fingerprint([3; 32]), Verdict::Approved));
        assert_ne!(of, challenge(&[1; 32], Fingerprint([2; 32]), Verdict::Rejected));
    }
}
