//! A decision that is signed by a passkey (S-18): the challenge is the decision itself, so that the signature covers what
//! was shown and the verdict, and nothing else. Everything that was signed goes into the record, for an auditor who trusts
//! nobody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::proving::{Checked, Showing};
use super::relying::Answer;
use super::{Asked, ProofError, holder, stored_passkeys};
use crate::accounts::ceremonies::Purpose;
use crate::accounts::{Accounts, By, Origin, Unavailable};
use crate::domain::decision::Verdict;
use crate::domain::ids::{ApprovalId, CeremonyId, PasskeyId};
use crate::domain::people::Person;
use crate::domain::proof::challenge;
use crate::domain::shown::Fingerprint;

/// A decision that somebody is about to sign.
#[derive(Debug, Clone, Copy)]
pub struct ToSign {
    pub approval: ApprovalId,
    /// Of what they were shown.
    pub fingerprint: Fingerprint,
    pub verdict: Verdict,
}

/// A browser's answer to the question that [`Accounts::ask_decision`] made.
#[derive(Debug, Clone)]
pub struct DecisionAnswer {
    pub ceremony: CeremonyId,
    pub answer: String,
}

/// What was signed, as the record tells it (docs/decisions/0013). All bytes in base64url without padding.
#[derive(Debug, Clone, Serialize)]
pub struct Signed {
    pub passkey: PasskeyId,
    pub name: String,
    pub credential: String,
    /// A JSON Web Key.
    pub public_key: Value,
    /// The host name that the passkey is bound to.
    pub rp_id: String,
    pub nonce: String,
    pub authenticator_data: String,
    pub client_data: String,
    pub signature: String,
}

/// A signature that was good when it was looked at. Good once.
#[derive(Debug)]
pub struct DecisionProof {
    checked: Checked,
    pub signed: Signed,
}

/// What was asked. Sealed.
#[derive(Serialize, Deserialize)]
struct State {
    nonce: [u8; 32],
    approval: ApprovalId,
    fingerprint: String,
    verdict: String,
}

impl State {
    fn is_about(&self, decision: ToSign) -> bool {
        self.approval == decision.approval
            && self.fingerprint == decision.fingerprint.hex()
            && self.verdict == decision.verdict.name()
    }
}

impl Accounts {
    /// Asks for a passkey's signature under a decision. None: this person has no passkey here.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn ask_decision(&self, person: &Person, decision: ToSign) -> Result<Option<Asked>, Unavailable> {
        let Some(relying) = &self.0.relying else { return Ok(None) };
        let mut conn = self.0.database.pages.acquire().await?;
        let known = super::proving::usable(stored_passkeys::list_passkeys(&mut conn, person.account).await?);
        if known.is_empty() {
            return Ok(None);
        }
        let nonce = self.0.random.bytes::<32>();
        let signs = challenge(&nonce, decision.fingerprint, decision.verdict);
        let options = relying.ask_to_prove(&signs, known.iter().map(|passkey| &passkey.credential));
        let state = State {
            nonce,
            approval: decision.approval,
            fingerprint: decision.fingerprint.hex(),
            verdict: decision.verdict.name().to_owned(),
        };
        let about = (Purpose::Decide, holder(person));
        let ceremony = self.begin_ceremony(&mut conn, about, Some(person.account), &state).await?;
        Ok(Some(Asked { ceremony, options }))
    }

    /// Looks at a signature under a decision. What is not right is recorded before this returns.
    ///
    /// # Errors
    /// [`ProofError`].
    pub async fn check_decision(
        &self,
        person: &Person,
        decision: ToSign,
        given: &DecisionAnswer,
    ) -> Result<DecisionProof, ProofError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let about = (Purpose::Decide, holder(person));
        let begun = self.take_ceremony::<State>(&mut conn, given.ceremony, about).await?;
        let begun = begun.filter(|it| it.state.is_about(decision)).ok_or(ProofError::Over)?;
        let (asked, asked_at) = (begun.state, begun.begun_at);
        let signs = challenge(&asked.nonce, decision.fingerprint, decision.verdict);
        let looked = self.check_passkey(&mut conn, (person.account, &given.answer), (&signs, asked_at)).await?;
        let checked = match looked {
            Ok(checked) => checked,
            Err(refused) => {
                let origin = Origin { address: person.address, user_agent: String::new(), device: None };
                let by = By::person(person);
                let showing = Showing { account: person.account, about, by: &by, origin: &origin, at: "deciding" };
                self.tell_refused(&mut conn, showing, &refused).await?;
                return Err(ProofError::Wrong(refused.text));
            }
        };
        let signed = self.signed(&checked, &asked.nonce, &given.answer).ok_or(ProofError::Over)?;
        Ok(DecisionProof { checked, signed })
    }

    fn signed(&self, checked: &Checked, nonce: &[u8; 32], answer: &str) -> Option<Signed> {
        let Checked::Passkey { passkey, judged } = checked else { return None };
        let answer = Answer::parse(answer).ok()?;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let [authenticator_data, client_data, signature] = answer.parts().map(text);
        Some(Signed {
            passkey: passkey.id,
            name: passkey.name.clone(),
            credential: text(answer.credential_id()),
            public_key: judged.public_key.clone(),
            rp_id: self.0.relying.as_ref()?.host.clone(),
            nonce: text(nonce),
            authenticator_data,
            client_data,
            signature,
        })
    }

    /// Uses a signature up, within the transaction that commits the decision. False: the passkey was removed, or used
    /// elsewhere meanwhile.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn use_decision(
        &self,
        conn: &mut PgConnection,
        person: &Person,
        proof: &DecisionProof,
    ) -> Result<bool, Unavailable> {
        self.use_up(conn, person.account, &proof.checked).await
    }
}
