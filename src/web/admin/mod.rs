//! The pages of people in charge: the people, who may decide what, and who could at any time. Auditors read them; only admins change
//! anything, and every change goes through `access`.

mod asking;
pub(super) mod asking_view;
mod channel;
mod channel_new;
mod channels;
mod escalations;
mod give;
mod grants;
mod groups;
mod heard;
mod marks;
mod notices;
mod options;
pub(super) mod overview;
mod pattern;
pub mod people;
mod stand_ins;
mod system;

pub use asking::{gate, gate_csv, person, person_csv, review_csv};
pub use channel_new::{new as new_channel, submit as make_channel};
pub use channels::{
    add_gates as add_channel_gates, change as change_channel, end as end_channel, end_gates as end_channel_gates,
    list as list_channels, renew_secret as renew_channel_secret, send_again as tell_channel_again,
    show as show_channel, test as test_channel,
};
pub use escalations::{end as end_escalation, new as new_escalation, submit as make_escalation};
pub use give::{new as new_grant, submit as give_grant};
pub use grants::end as end_grant;
pub use groups::{
    add_member, change as change_group, create as create_group, end_member, list as list_groups,
    remove as remove_group, show as show_group,
};
pub use marks::{lift as lift_mark, new as new_mark, submit as make_mark};
pub use notices::put_away as put_notice_away;
pub use options::{end as end_option, new as new_option, submit as set_option};
pub use overview::show as access;
pub use stand_ins::end as end_stand_in;
pub use system::{send_again, show as system};

use crate::access::AccessError;
use crate::accounts::By;
use crate::domain::people::Person;
use crate::web::Failure;

/// Who asks, as the record names them. The guard lets nobody else come here; `access` looks again, under locks.
fn admin(person: &Person) -> Result<By, Failure> {
    By::admin(person).ok_or_else(|| Failure::forbidden("Only an admin can do this."))
}

/// Where an error is not about a field of the page's own form.
impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::BadField { problem, .. } => {
                Self::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY).saying(problem)
            }
            AccessError::Gone(why) => Self::not_found().saying(why),
            AccessError::NotAllowed(why) => Self::forbidden(why),
            AccessError::Unavailable(cause) => cause.into(),
        }
    }
}
