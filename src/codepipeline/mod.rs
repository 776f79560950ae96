//! The gateway to CodePipeline: our words in, our words out. The only module that uses the AWS SDK. It never retries a
//! decision, never writes to the database, and treats everything AWS says as untrusted text.

pub mod observed;
