//! Who is asking: reads the SigV4 Authorization header, verifies it where the secret is known, and names the caller.
//! Keeps the credentials that AssumeRole handed out. Decides nothing about what a caller may do.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{digest, hmac};
use hyper::http::request::Parts;
use jiff::{SignedDuration, Timestamp};

use super::{
    config::{DEFAULT_ACCOUNT, WorldFile},
    wire::ApiError,
};
use crate::random::Random;

/// Somebody whose request was accepted.
#[derive(Clone, Debug)]
pub struct Caller {
    pub account: String,
    pub region: String,
    pub arn: String,
    pub access_key: String,
}

/// Temporary credentials.
#[derive(Clone, Debug)]
pub struct Session {
    pub access_key: String,
    pub secret: String,
    pub token: String,
    pub arn: String,
    pub account: String,
    pub expires: Timestamp,
}

/// The credentials the simulator knows.
#[derive(Debug)]
pub struct Credentials {
    file: WorldFile,
    sessions: Mutex<BTreeMap<String, Session>>,
    random: Random,
}

impl Credentials {
    pub fn new(file: WorldFile) -> Self {
        let random = Random::seeded(file.seed ^ 0x5745_4350);
        Self { file, sessions: Mutex::default(), random }
    }

    /// Identifies the caller of a request.
    ///
    /// # Errors
    /// The error AWS gives for missing, malformed, unknown, expired or wrongly signed credentials.
    pub fn identify(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Caller, ApiError> {
        let Some(header) = parts.headers.get("authorization").and_then(|value| value.to_str().ok()) else {
            return Err(ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token"));
        };
        let signature = Signature::parse(header, parts)?;
        let (caller, secret) = self.look_up(&signature, parts, now)?;
        if self.file.check_time {
            signature.check_time(now)?;
        }
        if secret.is_some_and(|secret| signature.compute(&secret, parts, body) != signature.given) {
            let message = "The request signature we calculated does not match the signature you provided. Check your AWS \
                           Secret Access Key and signing method. Consult the service documentation for details.";
            return Err(ApiError::new("InvalidSignatureException", message));
        }
        Ok(caller)
    }

    fn look_up(
        &self,
        signature: &Signature,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<(Caller, Option<String>), ApiError> {
        let key = &signature.access_key;
        let caller = |account: &str, arn: String| Caller {
            account: account.to_owned(),
            region: signature.region.clone(),
            arn,
            access_key: key.clone(),
        };
        let invalid =
            || ApiError::new("UnrecognizedClientException", "The security token included in the request is invalid.");
        if let Some(session) = self.sessions().get(key) {
            let token = parts.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
            if token != Some(&*session.token) {
                return Err(invalid());
            }
            if session.expires <= now {
                let message = "The security token included in the request is expired";
                return Err(ApiError::new("ExpiredTokenException", message));
            }
            return Ok((caller(&session.account, session.arn.clone()), Some(session.secret.clone())));
        }
        if let Some(known) = self.file.keys.iter().find(|known| known.id == *key) {
            let arn = format!("arn:aws:iam::{}:user/{}", known.account, known.user);
            return Ok((caller(&known.account, arn), known.secret.clone()));
        }
        if self.file.strict {
            return Err(invalid());
        }
        Ok((caller(DEFAULT_ACCOUNT, format!("arn:aws:iam::{DEFAULT_ACCOUNT}:user/{key}")), None))
    }

    /// Hands out credentials for a role.
    ///
    /// # Errors
    /// `AccessDenied` when the role is unknown in a strict world or the external id is not the agreed one.
    pub fn assume(
        &self,
        caller: &Caller,
        (role, name): (&str, &str),
        external_id: Option<&str>,
        (lifetime, now): (SignedDuration, Timestamp),
    ) -> Result<Session, ApiError> {
        let known = self.file.roles.iter().find(|known| known.arn == role);
        let agreed = known.and_then(|known| known.external_id.as_deref());
        let refused = if known.is_some() { agreed.is_some() && agreed != external_id } else { self.file.strict };
        let mut parts = role.splitn(6, ':');
        let (account, path) = (parts.nth(4).unwrap_or_default(), parts.next().unwrap_or_default());
        let short = path.rsplit('/').next().unwrap_or_default();
        if refused || account.is_empty() || !path.starts_with("role/") {
            let message =
                format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {role}", caller.arn);
            return Err(ApiError { status: 403, ..ApiError::new("AccessDenied", message) });
        }
        let session = Session {
            access_key: format!("ASIA{}", hex::encode_upper(self.random.bytes::<8>())),
            secret: hex::encode(self.random.bytes::<20>()),
            token: hex::encode(self.random.bytes::<32>()),
            arn: format!("arn:aws:sts::{account}:assumed-role/{short}/{name}"),
            account: account.to_owned(),
            expires: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
        };
        self.sessions().insert(session.access_key.clone(), session.clone());
        Ok(session)
    }

    /// Lets all temporary credentials expire now. Newly assumed ones work.
    pub fn expire_sessions(&self) -> usize {
        let mut sessions = self.sessions();
        sessions.values_mut().for_each(|session| session.expires = Timestamp::MIN);
        sessions.len()
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of an Authorization header.
struct Signature {
    access_key: String,
    date: String,
    region: String,
    service: String,
    signed_headers: String,
    given: String,
    time: String,
}

impl Signature {
    fn parse(header: &str, parts: &Parts) -> Result<Self, ApiError> {
        let incomplete = |what: &str| {
            let message = format!("Authorization header requires '{what}' parameter. Authorization={header}");
            ApiError::new("IncompleteSignatureException", message)
        };
        let fields = header.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| incomplete("Algorithm"))?;
        let field = |name: &str| {
            let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).ok_or_else(|| incomplete(name))
        };
        let credential = field("Credential")?;
        let scope: Vec<&str> = credential.rsplitn(5, '/').collect();
        let [terminator, service, region, date, key] = scope[..] else { return Err(incomplete("Credential")) };
        if terminator != "aws4_request" || key.is_empty() {
            return Err(incomplete("Credential"));
        }
        let time = parts.headers.get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if time.is_empty() {
            return Err(incomplete("X-Amz-Date"));
        }
        Ok(Self {
            access_key: key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: field("SignedHeaders")?,
            given: field("Signature")?,
            time: time.to_owned(),
        })
    }

    fn check_time(&self, now: Timestamp) -> Result<(), ApiError> {
        let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &self.time);
        let signed = signed.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC)).map(|time| time.timestamp());
        let off = signed.map_or(SignedDuration::MAX, |signed| now.duration_since(signed).abs());
        if off <= SignedDuration::from_mins(5) {
            return Ok(());
        }
        let message = format!("Signature expired: {} is now earlier than {now} (5 min.)", self.time);
        Err(ApiError::new("InvalidSignatureException", message))
    }

    fn compute(&self, secret: &str, parts: &Parts, body: &[u8]) -> String {
        let mut headers = String::new();
        for name in self.signed_headers.split(';') {
            let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            let values: Vec<String> = values.map(|v| v.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            headers.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let request = format!(
            "{}\n{path}\n{query}\n{headers}\n{}\n{}",
            parts.method,
            self.signed_headers,
            hex::encode(digest::digest(&digest::SHA256, body))
        );
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let hashed = hex::encode(digest::digest(&digest::SHA256, request.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hashed}", self.time);
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [&*self.date, &*self.region, &*self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        hex::encode(mac(&key, &to_sign))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}
