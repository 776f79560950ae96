//! People as an admin looks them through. Reads only; what admins change is in `change`, `removal` and `import`.

use super::sign_in::MOST_FAILURES;
use super::{Accounts, Unavailable};
use crate::domain::ids::AccountId;
use crate::store::directory;

pub use crate::store::directory::{Listed, Page, Sought, State};

impl Accounts {
    /// A page of the accounts that are looked for, by e-mail.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn search(&self, sought: &Sought) -> Result<Page, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(directory::list_accounts(&mut conn, sought, MOST_FAILURES, self.0.clock.now()).await?)
    }

    /// One account, also a deleted one.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn find_listed(&self, id: AccountId) -> Result<Option<Listed>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(directory::find_account(&mut conn, id, MOST_FAILURES, self.0.clock.now()).await?)
    }
}
