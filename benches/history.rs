//! What the record can take: appends a second by 1, 8 and 16 clients with how long the head is locked, and rows a second
//! of `audit verify` over all of them. Prints; judges nothing.
//!
//! `cargo bench --bench records -- [--records N]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and stops where it cannot go on")]

#[path = "support/records.rs"]
mod records;

use records::Records;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    runtime.block_on(measure());
}

async fn measure() {
    let records = Records::open(Records::asked()).await;
    println!("{} records in {}", records.count, records.data_dir.display());
}
