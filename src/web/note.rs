//! One-time messages after a redirect. The cookie carries the name of a sentence, never a sentence, so that nobody can
//! put words on our pages; the page that shows it removes it (`layers::dress`).

use std::fmt;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::cookie::{Cookie, Cookies};
use crate::domain::approval::named;

named!(
    /// What a page may say once.
    Note {
        PasswordChanged = "password-changed",
        SessionEnded = "session-ended",
        OtherSessionsEnded = "other-sessions-ended",
        SetUp = "set-up",
        AccountChanged = "account-changed",
        AccountAsItWas = "account-as-it-was",
        AccountDisabled = "account-disabled",
        AccountEnabled = "account-enabled",
        AccountDeleted = "account-deleted",
        TheirSessionsEnded = "their-sessions-ended",
        Accepted = "accepted",
        PasswordReset = "password-reset",
        Proven = "proven",
        RecoveryCodeUsed = "recovery-code-used",
        TotpReplaced = "totp-replaced",
        TotpRemoved = "totp-removed",
        PasskeyAdded = "passkey-added",
        PasskeyRenamed = "passkey-renamed",
        PasskeyRemoved = "passkey-removed",
        GrantGiven = "grant-given",
        GrantEnded = "grant-ended",
        GatesMarked = "gates-marked",
        MarkLifted = "mark-lifted",
        OptionSet = "option-set",
        OptionEnded = "option-ended",
        UnattendedSet = "unattended-set",
        UnattendedEnded = "unattended-ended",
        GroupCreated = "group-created",
        GroupChanged = "group-changed",
        GroupRemoved = "group-removed",
        MemberAdded = "member-added",
        MemberEnded = "member-ended",
        StandInNamed = "stand-in-named",
        StandInEnded = "stand-in-ended",
        IdentityLinked = "identity-linked",
        IdentityUnlinked = "identity-unlinked",
        TokenRevoked = "token-revoked",
        NameChanged = "name-changed",
        TimeZoneChanged = "time-zone-changed",
        AsItWas = "as-it-was",
        FactorsReset = "factors-reset",
        PasswordCompromised = "password-compromised",
        MailedToAnother = "mailed-to-another",
        EscalationMade = "escalation-made",
        EscalationEnded = "escalation-ended",
        NotificationsChanged = "notifications-changed",
        MailSentAgain = "mail-sent-again",
        ChannelMade = "channel-made",
        ChannelChanged = "channel-changed",
        ChannelEnded = "channel-ended",
        ChannelTested = "channel-tested",
        ChannelSentAgain = "channel-sent-again",
        PushOn = "push-on",
        PushOff = "push-off",
        PushTried = "push-tried",
    }
);

impl Note {
    /// The sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::PasswordChanged => "Your password is changed. Every other session of yours was ended.",
            Self::SessionEnded => "That session is ended.",
            Self::OtherSessionsEnded => "Every other session of yours is ended.",
            Self::Proven => "You have proven that it is you. For five minutes you will not be asked again.",
            Self::RecoveryCodeUsed => {
                "You used a recovery code, which works no more. My account shows how many are left."
            }
            Self::TotpReplaced => "The new authenticator app counts from now on; the earlier one does not.",
            Self::TotpRemoved => "The authenticator app is removed.",
            Self::PasskeyAdded => "The passkey is added.",
            Self::PasskeyRenamed => "The passkey has its new name.",
            Self::PasskeyRemoved => "The passkey is removed. Delete it on your device too.",
            Self::AccountChanged => "The account is changed.",
            Self::AccountAsItWas => "The account was like that already. Nothing was changed.",
            Self::AccountDisabled => "The account is disabled, and its person is signed out everywhere.",
            Self::AccountEnabled => "The account is enabled again.",
            Self::AccountDeleted => "The account is deleted for good. Records of what its person did stay.",
            Self::TheirSessionsEnded => "Every session of theirs is ended.",
            Self::IdentityLinked => "Linked. From now on you can sign in that way too.",
            Self::IdentityUnlinked => "Unlinked. Every other session of yours that was begun that way is ended.",
            Self::TokenRevoked => "The token is revoked. Whatever uses it is refused from now on.",
            Self::SetUp => "The portal is set up, and you are its first admin.",
            Self::Accepted => "Welcome. Your account is ready, and you are signed in.",
            Self::PasswordReset => "Your new password is set, and you are signed out everywhere. Sign in with it.",
            Self::GrantGiven => "The grant is given.",
            Self::GrantEnded => "The grant has ended.",
            Self::GatesMarked => "These gates ask for fresh proof from now on.",
            Self::MarkLifted => "The mark is lifted.",
            Self::OptionSet => "Mails written from now on decide these gates.",
            Self::OptionEnded => "Mails decide these gates no longer, those that were sent already included.",
            Self::UnattendedSet => "From now on Countersign rejects at these gates what nobody decides in time.",
            Self::UnattendedEnded => "Under this rule Countersign rejects nothing any more.",
            Self::GroupCreated => "The group is made.",
            Self::GroupChanged => "The group is changed.",
            Self::GroupRemoved => "The group is removed, and its grants have ended.",
            Self::MemberAdded => "They are in the group now.",
            Self::MemberEnded => "They are no longer in the group.",
            Self::StandInNamed => "Your stand-in is named.",
            Self::StandInEnded => "Nobody stands in any more.",
            Self::NameChanged => "Your name is changed.",
            Self::TimeZoneChanged => "Pages show you times in this time zone from now on.",
            Self::AsItWas => "It was like that already. Nothing was changed.",
            Self::MailedToAnother => {
                "That mail was written to somebody else. You see its approval with your own rights."
            }
            Self::PasswordCompromised => {
                "They are signed out everywhere, and choose another password when they next sign in with this one."
            }
            Self::EscalationMade => "The group is told from now on, also of what waits already.",
            Self::EscalationEnded => "The group is told no longer.",
            Self::NotificationsChanged => "Saved. From now on you are told this.",
            Self::MailSentAgain => "It is tried again at once, and for an hour at least.",
            Self::ChannelMade => "The channel is made. Send a test message to see that it arrives.",
            Self::ChannelChanged => "The channel is changed.",
            Self::ChannelEnded => "The channel is ended, and told nothing more.",
            Self::ChannelTested => "A test message is on its way. Below you see what becomes of it.",
            Self::ChannelSentAgain => "It is sent again at once, under the same id, and tried for 72 hours.",
            Self::PushOn => "It is on in this browser. Send a test to see how it looks.",
            Self::PushOff => "It is off in that browser.",
            Self::PushTried => "A test is on its way. It should be there within seconds.",
            Self::FactorsReset => {
                "Their second factors are taken away, and they are signed out everywhere. They were told by mail, if this \
                 portal sends any."
            }
        }
    }

    /// The note that came with a request.
    #[must_use]
    pub fn find(headers: &HeaderMap, cookies: Cookies) -> Option<Self> {
        cookies.find(headers, Cookie::Note).and_then(Self::from_name)
    }

    /// 303 to `path`, where this note is shown.
    #[must_use]
    pub fn at(self, path: &str, cookies: Cookies) -> Response {
        let mut response = Redirect::to(path).into_response();
        response.headers_mut().append(header::SET_COOKIE, cookies.set(Cookie::Note, self.name(), Some(60)));
        response
    }
}
