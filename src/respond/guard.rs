//! The guard rails: may this action be sent?
//!
//! Promises: pure and deterministic; the refusal always says why. Special-purpose addresses and the trusted proxies can
//! never be blocked, in whatever spelling they come, nor can an address that nobody to be trusted vouches for. Checks come
//! before dry run, so a dry run shows what would be refused.
//! Never: loosens a rail because an alert is severe, but for the part of the budget that is kept for critical ones.

use schemas::alert::Severity;

use super::action::{Action, Kind};
use super::asns::Asns;
use super::config::{ConfigError, GuardConfig, Shared};
use super::plan::UNPROVEN_CLIENT;
use super::ranges::Ranges;
use super::scope::Scope;

/// What may become of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// It would be sent, were this not a dry run.
    DryRun,
    /// Only if a person agrees; why.
    Ask(String),
    /// Refused, and why: for counting, and in words.
    Suppress(Reason, String),
}

macro_rules! reasons {
    ($($reason:ident = $name:literal,)*) => {
        /// Why an action is not sent, as it is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($reason,)*
        }

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$reason,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name,)*
                }
            }
        }
    };
}

reasons! {
    NoTarget = "no_target",
    NeverBlock = "never_block",
    Unproven = "unproven",
    NotAnAddress = "not_an_address",
    NotAPrincipal = "not_a_principal",
    NoEnd = "no_end",
    TooOld = "too_old",
    Shared = "shared",
    Budget = "budget",
    QueueFull = "queue_full",
    Flood = "flood",
    Suppressed = "suppressed_by_person",
    Halted = "halted",
    DryRun = "dry_run",
}

/// Who was behind an address in the day before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Principals whose requests were answered well.
    pub principals: u64,
    pub tenants: u64,
    /// Requests that were answered well.
    pub good_requests: u64,
    /// When the last of all events of that day happened, whoever made them, and the first of as many minutes before it as have
    /// events; `None`: nothing is stored. Where that is less than an hour before the attack, those who came since are counted, too.
    pub known: Option<(i64, i64)>,
}

/// Why nobody can say who was behind an address.
pub(super) const LITTLE: &str = "less than an hour of the day before is stored";

/// What the rails look at besides the action.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub now_us: i64,
    pub severity: Severity,
    /// Offenders that were let through (for a dry run: would have been) in the hour before, this one left out.
    pub offenders_last_hour: u32,
    /// What people added to the never-block list while the service runs.
    pub never: &'a [(Scope, String)],
}

/// Never blocked, whatever is configured: an address of these ranges is not one attacker on the internet, it is us, a
/// neighbour, or everybody behind one translator.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

#[derive(Debug)]
pub struct Guard {
    /// With the text they were written as.
    never: Vec<(Scope, String)>,
    /// Of search engines and monitors, as they publish them.
    published: Ranges,
    asns: Asns,
    config: GuardConfig,
}

impl Guard {
    /// `trusted_proxies` are those of all sources: an address that speaks for many clients is never blocked.
    pub fn new(config: &GuardConfig, trusted_proxies: &[String]) -> Result<Guard, ConfigError> {
        let special = SPECIAL.iter().map(|text| (*text, "guard"));
        let configured = config.never_block.iter().map(|text| (text.as_str(), "guard.never_block"));
        // A proxy on a Unix socket has no address.
        let proxies = trusted_proxies.iter().filter(|text| *text != "unix:");
        let proxies = proxies.map(|text| (text.as_str(), "guard (trusted proxies)"));
        let never = special.chain(configured).chain(proxies).map(|(text, at)| {
            let problem = || format!("`{text}` is neither an address nor a network such as 203.0.113.0/24");
            let scope = Scope::parse(text).ok_or_else(|| ConfigError::new(at, problem()))?;
            Ok((scope, text.to_owned()))
        });
        let published = Ranges::new(&config.never_block_files)?;
        let asns = Asns::new(&config.never_asns, &config.mmdb)?;
        Ok(Guard { never: never.collect::<Result<_, _>>()?, published, asns, config: config.clone() })
    }

    /// Reads published ranges and databases again where their files were replaced; true when that changed anything.
    pub fn refresh(&self) -> bool {
        self.published.refresh() | self.asns.refresh()
    }

    /// All that can be decided without asking who else is behind an address.
    pub fn judge(&self, action: &Action, around: &Circumstances) -> Verdict {
        if let Err((reason, words)) = self.may(action, around) {
            return Verdict::Suppress(reason, words);
        }
        if action.dry_run { Verdict::DryRun } else { Verdict::Send }
    }

    /// What stays true of an action that was let through: looked at again before it is sent, and while it is in force.
    pub fn may_still(&self, action: &Action, never: &[(Scope, String)], now_us: i64) -> Result<(), (Reason, String)> {
        if action.kind.contains() {
            self.may_concern(action, never)?;
        }
        self.is_recent(action, now_us)
    }

    fn may(&self, action: &Action, around: &Circumstances) -> Result<(), (Reason, String)> {
        if !action.kind.contains() {
            return self.is_recent(action, around.now_us);
        }
        self.may_concern(action, around.never)?;
        if action.expires_us.is_none_or(|expires| expires <= around.now_us) {
            return Err((Reason::NoEnd, "containment needs a time at which it ends".to_owned()));
        }
        self.is_recent(action, around.now_us)?;
        self.has_budget(action, around)
    }

    /// Whether somebody of this kind and name may be contained at all.
    fn may_concern(&self, action: &Action, never: &[(Scope, String)]) -> Result<(), (Reason, String)> {
        let refuse = |reason: Reason, words: String| Err((reason, words));
        if action.entity_kind == UNPROVEN_CLIENT {
            let words = "client address unproven: nobody to be trusted says that it made these requests";
            return refuse(Reason::Unproven, words.to_owned());
        }
        if action.kind != Kind::Block {
            if action.entity_kind != "principal" {
                let words = format!("not a principal: the entity is of kind {}", action.entity_kind);
                return refuse(Reason::NotAPrincipal, words);
            }
            if self.config.never_principals.contains(&action.entity_value) {
                return refuse(Reason::NeverBlock, "the principal is on the never-block list".to_owned());
            }
            return Ok(());
        }
        let Some(scope) = Scope::of(action) else {
            let words = format!("neither an IP address nor a network: the entity is of kind {}", action.entity_kind);
            return refuse(Reason::NotAnAddress, words);
        };
        // A network that holds one address of the list would cut that off, too.
        if let Some((_, text)) = self.never.iter().chain(never).find(|(never, _)| never.overlaps(&scope)) {
            return refuse(Reason::NeverBlock, format!("{scope} is on the never-block list ({text})"));
        }
        if let Some(range) = self.published.hit(&scope) {
            return refuse(Reason::NeverBlock, format!("{scope} is in a published range ({range})"));
        }
        if let Some(asn) = self.asns.hit(&scope) {
            return refuse(Reason::NeverBlock, format!("{scope} is of AS{asn}, which is never blocked"));
        }
        Ok(())
    }

    /// The news; what prolongs is none: it is asked for as long as the attack is told of.
    fn is_recent(&self, action: &Action, now_us: i64) -> Result<(), (Reason, String)> {
        let max = self.config.alert_age_max;
        if !action.renews && now_us.saturating_sub(action.about_us) > micros(max) {
            let age = match max.as_secs() {
                seconds if seconds > 0 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
                _ => format!("{max:?}"),
            };
            return Err((Reason::TooOld, format!("what led to it is more than {age} old")));
        }
        Ok(())
    }

    fn has_budget(&self, action: &Action, around: &Circumstances) -> Result<(), (Reason, String)> {
        match self.refused_by_budget(around.severity, around.offenders_last_hour) {
            Some(words) if !action.renews => Err((Reason::Budget, words)),
            _ => Ok(()),
        }
    }

    /// Why there is no room for one more of this severity. Counted in offenders: one who is blocked at three targets, or
    /// again, is one.
    pub fn refused_by_budget(&self, severity: Severity, offenders_last_hour: u32) -> Option<String> {
        let budget = self.budget(severity);
        let is_full = self.room(severity, offenders_last_hour) == 0;
        is_full.then(|| format!("the budget of {budget} offenders per hour is used up; it is looked at again"))
    }

    /// For how many more of this severity there is room.
    pub fn room(&self, severity: Severity, offenders_last_hour: u32) -> u32 {
        self.budget(severity).saturating_sub(offenders_last_hour)
    }

    fn budget(&self, severity: Severity) -> u32 {
        let reserve = if severity == Severity::Critical { self.config.critical_reserve } else { 0 };
        self.config.blocks_per_hour.saturating_add(reserve)
    }

    /// Whether a block would hit others.
    pub fn judge_shared(&self, behind: &Behind) -> Verdict {
        let preflight = &self.config.preflight;
        if behind.principals <= preflight.principals_max && behind.tenants <= preflight.tenants_max {
            return Verdict::Send;
        }
        self.shared(format!(
            "in the last day {} principals of {} tenants made {} good requests from there",
            behind.principals, behind.tenants, behind.good_requests
        ))
    }

    /// The same where little of the time before is known: then one is too many, also one whom only the engine has seen.
    pub fn judge_on_little(&self, behind: &Behind, engine_saw: u64) -> Verdict {
        let principals = behind.principals.max(engine_saw);
        if principals == 0 && behind.tenants == 0 && behind.good_requests == 0 {
            return Verdict::Send;
        }
        self.shared(format!(
            "{LITTLE}, and {principals} principals of {} tenants were there already, with {} good requests",
            behind.tenants, behind.good_requests
        ))
    }

    fn shared(&self, words: String) -> Verdict {
        match self.config.preflight.shared {
            Shared::Ask => Verdict::Ask(words),
            Shared::Refuse => Verdict::Suppress(Reason::Shared, words),
            Shared::Block => Verdict::Send,
        }
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::message::tests::action;
    use schemas::incident::Event;

    const HOUR_US: i64 = 3_600_000_000;

    fn block(entity: &str) -> Action {
        Action {
            entity_value: entity.to_owned(),
            created_us: 0,
            about_us: 0,
            expires_us: Some(4 * HOUR_US),
            ..action(Event::Open, Kind::Block)
        }
    }

    fn calm() -> Circumstances<'static> {
        Circumstances { now_us: 0, severity: Severity::High, offenders_last_hour: 0, never: &[] }
    }

    fn guard(never: &[&str], proxies: &[&str]) -> Guard {
        let config = GuardConfig {
            never_block: never.iter().map(|s| (*s).to_owned()).collect(),
            never_principals: vec!["deploy-bot".to_owned()],
            ..GuardConfig::default()
        };
        let proxies: Vec<String> = proxies.iter().map(|s| (*s).to_owned()).collect();
        Guard::new(&config, &proxies).expect("valid networks")
    }

    #[test]
    fn each_rail_refuses_and_says_why() {
        let guard = guard(&["198.51.100.0/24", "2001:db8:5::7"], &["192.0.2.1"]);
        let busy = Circumstances { offenders_last_hour: 20, ..calm() };
        let ended = Circumstances { now_us: 4 * HOUR_US, ..calm() };
        for (entity, around, expected) in [
            ("203.0.113.7", calm(), None),
            ("2001:db8::9", calm(), None),
            ("198.51.100.200", calm(), Some("never-block list (198.51.100.0/24)")),
            ("::ffff:198.51.100.200", calm(), Some("never-block list (198.51.100.0/24)")),
            ("2001:db8:5::7", calm(), Some("never-block list (2001:db8:5::7)")),
            ("192.0.2.1", calm(), Some("never-block list (192.0.2.1)")),
            ("10.20.30.40", calm(), Some("never-block list (10.0.0.0/8)")),
            ("::ffff:10.20.30.40", calm(), Some("never-block list (10.0.0.0/8)")),
            ("64:ff9b::cb00:7107", calm(), Some("64:ff9b::/96")),
            ("127.0.0.1", calm(), Some("127.0.0.0/8")),
            ("::1", calm(), Some("::/127")),
            ("fe80::1", calm(), Some("fe80::/10")),
            ("tok_1a2b", calm(), Some("neither an IP address nor a network")),
            ("203.0.113.7+GET /v1/orders", calm(), Some("neither an IP address nor a network")),
            ("203.0.113.0/24", calm(), Some("neither an IP address nor a network")),
            ("203.0.113.7", busy, Some("budget of 20 offenders per hour")),
            ("203.0.113.7", ended, Some("needs a time at which it ends")),
        ] {
            let verdict = guard.judge(&block(entity), &around);
            match expected {
                None => assert_eq!(verdict, Verdict::Send, "{entity}"),
                Some(reason) => {
                    assert!(
                        matches!(&verdict, Verdict::Suppress(_, why) if why.contains(reason)),
                        "{entity}: {verdict:?}"
                    )
                }
            }
        }
    }

    #[test]
    fn a_network_that_holds_one_protected_address_is_not_blocked() {
        let guard = guard(&["2001:db8:0:5::7"], &[]);
        let network = |text: &str| Action { entity_kind: "network".to_owned(), ..block(text) };
        assert_eq!(guard.judge(&network("2001:db8:0:6::/64"), &calm()), Verdict::Send);
        assert!(matches!(
            guard.judge(&network("2001:db8:0:5::/64"), &calm()),
            Verdict::Suppress(Reason::NeverBlock, _)
        ));
        let added = [(Scope::parse("203.0.113.7").expect("an address"), "203.0.113.7".to_owned())];
        let around = Circumstances { never: &added, ..calm() };
        assert!(matches!(guard.judge(&network("203.0.113.0/24"), &around), Verdict::Suppress(Reason::NeverBlock, _)));
    }

    #[test]
    fn a_listed_autonomous_system_is_not_blocked() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo/asn.mmdb");
        let config = GuardConfig { never_asns: vec![64_497], mmdb: vec![file], ..GuardConfig::default() };
        let guard = Guard::new(&config, &[]).expect("a guard");
        let verdict = guard.judge(&block("2001:db8::9"), &calm());
        let words = "2001:db8::9 is of AS64497, which is never blocked".to_owned();
        assert_eq!(verdict, Verdict::Suppress(Reason::NeverBlock, words));
        assert_eq!(guard.judge(&block("198.18.0.7"), &calm()), Verdict::Send);
    }

    #[test]
    fn what_is_old_is_neither_blocked_nor_told() {
        let guard = guard(&[], &[]);
        let later = Circumstances { now_us: 25 * HOUR_US, ..calm() };
        let lasting = |action: Action| Action { expires_us: action.expires_us.map(|_| 99 * HOUR_US), ..action };
        let page = Action { about_us: 0, ..action(Event::Open, Kind::Page) };
        for action in [lasting(block("203.0.113.7")), page] {
            let verdict = guard.judge(&action, &later);
            assert!(
                matches!(&verdict, Verdict::Suppress(Reason::TooOld, why) if why.contains("24 h old")),
                "{verdict:?}"
            );
            let fresh = Action { about_us: 24 * HOUR_US, ..action };
            assert_eq!(guard.judge(&fresh, &later), Verdict::Send);
        }
    }

    #[test]
    fn critical_offenders_have_a_reserve_and_renewals_cost_nothing() {
        let guard = guard(&[], &[]);
        let at = |offenders, severity| Circumstances { offenders_last_hour: offenders, severity, ..calm() };
        let budget = |verdict: Verdict| matches!(verdict, Verdict::Suppress(Reason::Budget, _));
        assert!(budget(guard.judge(&block("203.0.113.7"), &at(20, Severity::High))));
        assert_eq!(guard.judge(&block("203.0.113.7"), &at(20, Severity::Critical)), Verdict::Send);
        assert!(budget(guard.judge(&block("203.0.113.7"), &at(25, Severity::Critical))));
        let renewal = Action { renews: true, ..block("203.0.113.7") };
        assert_eq!(guard.judge(&renewal, &at(99, Severity::High)), Verdict::Send);
    }

    #[test]
    fn a_shared_address_needs_a_person() {
        let guard = guard(&[], &[]);
        let behind = |principals, tenants| Behind { principals, tenants, good_requests: 900, known: None };
        assert_eq!(guard.judge_shared(&behind(3, 1)), Verdict::Send);
        let verdict = guard.judge_shared(&behind(200, 1));
        assert!(matches!(&verdict, Verdict::Ask(why) if why.contains("200 principals")), "{verdict:?}");
        assert!(matches!(guard.judge_shared(&behind(1, 9)), Verdict::Ask(_)));
    }

    #[test]
    fn where_little_is_known_one_is_too_many() {
        let guard = guard(&[], &[]);
        let one = Behind { principals: 1, good_requests: 2, ..Behind::default() };
        assert_eq!(guard.judge_on_little(&Behind::default(), 0), Verdict::Send);
        for (behind, engine_saw, words) in [(one, 0, "1 principals of 0"), (Behind::default(), 7, "7 principals of 0")]
        {
            let verdict = guard.judge_on_little(&behind, engine_saw);
            assert!(matches!(&verdict, Verdict::Ask(why) if why.contains(words)), "{verdict:?}");
        }
    }

    #[test]
    fn an_address_nobody_vouches_for_is_not_blocked_and_only_principals_are_revoked() {
        let guard = guard(&[], &[]);
        let unproven = Action { entity_kind: UNPROVEN_CLIENT.to_owned(), ..block("203.0.113.7") };
        assert!(matches!(guard.judge(&unproven, &calm()), Verdict::Suppress(Reason::Unproven, _)));
        let revoke =
            |kind: &str, name: &str| Action { kind: Kind::Revoke, entity_kind: kind.to_owned(), ..block(name) };
        assert_eq!(guard.judge(&revoke("principal", "anna"), &calm()), Verdict::Send);
        assert!(matches!(
            guard.judge(&revoke("principal", "deploy-bot"), &calm()),
            Verdict::Suppress(Reason::NeverBlock, _)
        ));
        assert!(matches!(
            guard.judge(&revoke("client_ip", "203.0.113.7"), &calm()),
            Verdict::Suppress(Reason::NotAPrincipal, _)
        ));
    }

    #[test]
    fn the_rails_come_before_dry_run() {
        let guard = guard(&[], &[]);
        let dry = |entity: &str| Action { dry_run: true, ..block(entity) };
        assert_eq!(guard.judge(&dry("203.0.113.7"), &calm()), Verdict::DryRun);
        assert!(matches!(guard.judge(&dry("10.0.0.1"), &calm()), Verdict::Suppress(..)));
    }

    #[test]
    fn a_wrong_network_is_refused_with_its_text() {
        for wrong in ["203.0.113.0/33", "203.0.113", "example.com", "2001:db8::/129", "", "10.0.0.0/x"] {
            let config = GuardConfig { never_block: vec![wrong.to_owned()], ..GuardConfig::default() };
            let error = Guard::new(&config, &[]).expect_err(wrong);
            assert_eq!(error.at, "guard.never_block");
            assert!(error.problem.contains(&format!("`{wrong}`")));
        }
    }
}
