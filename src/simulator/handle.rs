//! The handle on a running simulator: everything the control listener offers, as methods.

use std::{net::SocketAddr, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    StartError,
    acts::{Act, Order},
    bind,
    changes::Change,
    config::Rate,
    control,
    definition::{Commit, Texts, Verdict},
    faults::{Fault, FaultKind},
    journal::{Calls, Effect, Receipt},
    shared::{Place, Shared},
    waiting::OpenApproval,
};

/// A running simulator. Cheap to clone; it stops when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct SimulatorHandle {
    shared: Arc<Shared>,
    address: SocketAddr,
    _stop: Arc<DropGuard>,
    token: CancellationToken,
}

impl SimulatorHandle {
    pub(super) fn new(shared: Arc<Shared>, address: SocketAddr, token: CancellationToken) -> Self {
        Self { shared, address, _stop: Arc::new(token.clone().drop_guard()), token }
    }

    /// Where the API listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The same as an endpoint for SDKs; CodePipeline and STS are both here.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the control listener and says where it is. From then on the simulator lives until
    /// [`SimulatorHandle::stop`], whoever drops a handle.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn listen_control(&self, address: SocketAddr) -> Result<SocketAddr, StartError> {
        let (listener, bound) = bind(address).await?;
        let router = control::router(self.clone());
        let stop = self.token.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ended = async { axum::serve(listener, router).await } => {}
            }
        });
        Ok(bound)
    }

    /// Stops listening and ends every connection.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// The simulator's present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Moves a manual clock, and with it everything that falls due. The machine's clock does not move for anybody.
    pub fn step(&self, by: SignedDuration) {
        self.shared.clock.advance(by);
        self.shared.catch_up();
    }

    /// Decisions that took effect through the API, oldest first.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.journal.effects()
    }

    /// Every PutApprovalResult received.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.shared.journal.receipts()
    }

    #[must_use]
    pub fn calls(&self) -> Calls {
        self.shared.journal.calls()
    }

    /// How often an operation was called since the start or [`SimulatorHandle::clear_calls`].
    #[must_use]
    pub fn count(&self, operation: &str) -> u64 {
        self.shared.journal.count(operation)
    }

    pub fn clear_calls(&self) {
        self.shared.journal.clear_calls();
    }

    /// Waits until an operation was called `count` times.
    pub async fn until_called(&self, operation: &str, count: u64) {
        self.shared.journal.until_called(operation, count).await;
    }

    /// Puts a fault in force; the number removes or releases it.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.shared.faults.add(fault)
    }

    #[must_use]
    pub fn faults(&self) -> Vec<(u64, Fault)> {
        self.shared.faults.list()
    }

    /// Ends all faults and lets go what they hold.
    pub fn clear_faults(&self) {
        self.shared.faults.clear().into_iter().for_each(|id| self.shared.holds.release(id));
        self.shared.holds.release_all();
    }

    /// Ends a fault and lets go what it holds.
    pub fn release(&self, fault: u64) {
        self.shared.faults.remove(fault);
        self.shared.holds.release(fault);
    }

    /// Waits until a `Hang` or `Block` fault holds a call.
    pub async fn until_held(&self, fault: u64) {
        self.shared.holds.until_held(fault).await;
    }

    /// Lets all temporary credentials expire; those assumed from now on work.
    pub fn expire_credentials(&self) -> usize {
        self.shared.credentials.expire_sessions()
    }

    /// Approvals that wait, in every world.
    #[must_use]
    pub fn open_approvals(&self) -> Vec<OpenApproval> {
        self.shared.places().iter().flat_map(|place| self.shared.open_approvals(place)).collect()
    }

    /// The source change with this commit id, wherever it ran last.
    #[must_use]
    pub fn find_change(&self, commit: &str) -> Option<Change> {
        self.shared.find_change(commit)
    }

    /// Performs an order as the control listener takes it.
    ///
    /// # Errors
    /// A sentence saying why it cannot be done.
    pub fn order(&self, order: Order) -> Result<Value, String> {
        self.world_or_default(order.account, order.region).act(order.act)
    }

    /// The world of an account and region.
    #[must_use]
    pub fn world(&self, account: &str, region: &str) -> WorldHandle {
        WorldHandle { sim: self.clone(), place: (account.to_owned(), region.to_owned()) }
    }

    /// The first world of the world file, in the parts that are not named.
    #[must_use]
    pub fn world_or_default(&self, account: Option<String>, region: Option<String>) -> WorldHandle {
        let default = self.shared.default_place();
        self.world(&account.unwrap_or(default.0), &region.unwrap_or(default.1))
    }
}

/// One account and region of a running simulator. The methods panic when what they ask for cannot be done, because a
/// story told wrongly must not pass; [`WorldHandle::act`] answers instead.
#[derive(Clone, Debug)]
pub struct WorldHandle {
    sim: SimulatorHandle,
    place: Place,
}

impl WorldHandle {
    /// Performs an act.
    ///
    /// # Errors
    /// A sentence saying why it cannot be done.
    pub fn act(&self, act: Act) -> Result<Value, String> {
        self.sim.shared.act(&self.place, act)
    }

    fn must(&self, act: Act) -> Value {
        self.act(act).unwrap_or_else(|why| panic!("the simulator cannot do this: {why}"))
    }

    /// Starts an execution as if a change had been pushed; its id.
    pub fn start(&self, pipeline: &str, commit: Option<Commit>) -> String {
        let act = Act::Start { pipeline: pipeline.to_owned(), commit, variables: Texts::new(), by: None };
        self.must(act)["execution"].as_str().unwrap_or_default().to_owned()
    }

    /// Starts an execution, takes it to its approval, and says what waits. Where the stage is taken, the execution
    /// waits in front of it and `None` comes back.
    pub fn open_approval(&self, pipeline: &str, commit: Option<Commit>) -> Option<OpenApproval> {
        let act = Act::OpenApproval { pipeline: pipeline.to_owned(), commit, variables: Texts::new(), by: None };
        let execution = self.must(act)["execution"].clone();
        self.open_approvals().into_iter().find(|approval| execution == *approval.execution)
    }

    /// Finishes whatever an execution has running, until somebody is needed.
    pub fn rush(&self, pipeline: &str, execution: &str) {
        self.must(Act::Rush { pipeline: pipeline.to_owned(), execution: execution.to_owned() });
    }

    #[must_use]
    pub fn open_approvals(&self) -> Vec<OpenApproval> {
        self.sim.shared.open_approvals(&self.place)
    }

    /// Somebody answers an approval in the console.
    pub fn decide(&self, approval: &OpenApproval, verdict: Verdict, summary: &str, by: &str) {
        let (pipeline, which) = approval.name();
        self.must(Act::Decide { pipeline, which, verdict, summary: summary.to_owned(), by: by.to_owned() });
    }

    /// An approval's time runs out now.
    pub fn expire(&self, approval: &OpenApproval) {
        let (pipeline, which) = approval.name();
        self.must(Act::Expire { pipeline, which });
    }

    /// Somebody stops an execution: waits for what runs, or abandons it.
    pub fn stop(&self, pipeline: &str, execution: &str, abandon: bool) {
        let (pipeline, execution) = (pipeline.to_owned(), execution.to_owned());
        self.must(Act::Stop { pipeline, execution, abandon, reason: None });
    }

    /// Somebody retries the failed actions of a stage.
    pub fn retry(&self, pipeline: &str, stage: &str, execution: &str) {
        let (pipeline, stage, execution) = (pipeline.to_owned(), stage.to_owned(), execution.to_owned());
        self.must(Act::Retry { pipeline, stage, execution, all: false });
    }

    /// Somebody edits the comment of the pipeline's manual approvals, which cancels what runs.
    pub fn edit_comment(&self, pipeline: &str, comment: &str) {
        let (pipeline, comment) = (pipeline.to_owned(), Some(comment.to_owned()));
        self.must(Act::Edit { pipeline, comment, stages: None, action: None, url: None });
    }

    pub fn delete(&self, pipeline: &str) {
        self.must(Act::Delete { pipeline: pipeline.to_owned() });
    }

    /// IAM refuses an operation on a pipeline (on all of them when `None`) until the fault is released.
    pub fn deny(&self, operation: &str, pipeline: Option<&str>) -> u64 {
        let (account, region) = self.place.clone();
        self.sim.add_fault(Fault {
            pipeline: pipeline.map(str::to_owned),
            account: Some(account),
            region: Some(region),
            ..Fault::on(operation, FaultKind::Denied)
        })
    }

    /// Limits the calls per second; `None` lifts the limit.
    pub fn limit_calls(&self, rate: Option<Rate>) {
        self.sim.shared.set_rate(&self.place, rate);
    }
}
