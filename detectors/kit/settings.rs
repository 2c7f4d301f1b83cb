//! What a checked detector holds of its method: the settings as they were written, what follows from them for the detector
//! as a whole, and how to start it.
//!
//! Never: holds anything of events.

use std::fmt::Debug;
use std::sync::Arc;

use super::Detector;
use super::driver::{Driver, Method};
use crate::engine::EngineLimits;
use crate::engine::columns::Plan;
use crate::engine::run::Wanted;
use crate::engine::seen::SeenKinds;
use crate::rule::{EntityColumn, Rule};

/// The settings of one method, checked.
pub(crate) trait Settings: Debug + Send + Sync {
    /// What the state depends on besides the detector: the settings, in any unambiguous form that does not change from one
    /// version of Gatewatch to the next; unless the form of the state does, which begins anew then.
    fn identity(&self) -> String {
        format!("{self:?}")
    }
    /// The span of events one decision looks at.
    fn window_us(&self) -> i64;
    /// How long an episode lasts at least without a breach: below the window's length the same events could open the next one.
    fn quiet_least_us(&self) -> i64 {
        self.window_us()
    }
    /// Whether it alerts on the very row that shows it, so that it can be told to count rows of new entities alone.
    fn decides_on_rows(&self) -> bool {
        false
    }
    /// What the evidence calls what was found beside the figures (`Finding::baseline`).
    fn found_name(&self) -> &'static str {
        "baseline"
    }
    /// Columns of which each must hold something for it to decide anything.
    fn needs(&self) -> Vec<&str> {
        Vec::new()
    }
    /// Makes it run: asks `start` for the columns it wants, then for a driver.
    fn start(&self, start: Start<'_>) -> Box<dyn Detector>;
}

/// What a method is started with.
pub(crate) struct Start<'a> {
    pub rule: Arc<Rule>,
    /// Where to ask for columns, as many as it takes: conditions, hashes of values, amounts, keys of entities.
    pub plan: &'a mut Plan,
    pub seen: &'a mut SeenKinds,
    pub limits: &'a EngineLimits,
}

impl Start<'_> {
    /// A detector that `method` decides for.
    pub fn drive<M: Method>(self, method: M) -> Box<dyn Detector> {
        let Start { rule, plan, seen, limits } = self;
        let kind = plan.kind(&rule.entity);
        let newness = rule.first_seen_within_us.map(|within| (seen.track(kind, &rule.entity, within), within));
        let filter = rule.filter.as_ref().map(|filter| plan.predicate(filter));
        let wanted = Wanted { filter, kind, behind: rule.principals_behind };
        if rule.principals_behind.is_some() || rule.entity.columns().contains(&EntityColumn::ClientIp) {
            seen.count_principals(plan);
        }
        Box::new(Driver::new(method, rule, (wanted, newness), limits))
    }
}
