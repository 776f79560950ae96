//! The gateway to CodePipeline, and to the queues and topics its announcements arrive by: our words in, our words out. The only
//! module that uses the AWS SDK. It never retries a decision, never writes to the database, and treats everything AWS says as untrusted text.

mod answer;
mod body_limit;
mod convert;
mod credentials;
mod error;
mod gateway;
pub mod observed;
mod pace;
pub mod queue;
mod submit;
mod subscribing;

pub use answer::{Answer, Doubt, NotApplied};
pub use credentials::{ConnectError, Settings};
pub use gateway::{Gateway, Identity, Page};
pub use submit::Submission;
