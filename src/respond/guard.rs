//! The guard rails: may this action be sent?
//!
//! Promises: pure and deterministic; the refusal always says why. Special-purpose addresses and the trusted proxies can
//! never be blocked, in whatever spelling they come, nor can an address that nobody to be trusted vouches for. Checks come
//! before dry run, so a dry run shows what would be refused.
//! Never: loosens a rail because an alert is severe.

use std::net::{IpAddr, Ipv6Addr};

use super::action::{Action, Kind};
use super::config::{ConfigError, GuardConfig};
use super::plan::UNPROVEN_CLIENT;

/// What may become of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// It would be sent, were this not a dry run.
    DryRun,
    /// Refused, and why: for counting, and in words.
    Suppress(Reason, String),
}

/// Why an action is not sent, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    NoTarget,
    NeverBlock,
    Unproven,
    NotAnAddress,
    NoEnd,
    TooOld,
    AlreadyBlocked,
    Budget,
    QueueFull,
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::NoTarget,
        Reason::NeverBlock,
        Reason::Unproven,
        Reason::NotAnAddress,
        Reason::NoEnd,
        Reason::TooOld,
        Reason::AlreadyBlocked,
        Reason::Budget,
        Reason::QueueFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reason::NoTarget => "no_target",
            Reason::NeverBlock => "never_block",
            Reason::Unproven => "unproven",
            Reason::NotAnAddress => "not_an_address",
            Reason::NoEnd => "no_end",
            Reason::TooOld => "too_old",
            Reason::AlreadyBlocked => "already_blocked",
            Reason::Budget => "budget",
            Reason::QueueFull => "queue_full",
        }
    }
}

/// What the rails look at besides the action.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub now_us: i64,
    pub alert_opened_us: Option<i64>,
    /// Until when the address is blocked at this target already.
    pub blocked_until_us: Option<i64>,
    /// Blocks that were let through (for a dry run: would have been) in the hour before.
    pub blocks_last_hour: u32,
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
    never: Vec<Network>,
    blocks_per_hour: u32,
    alert_age_max_us: i64,
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
            Network::parse(text).ok_or_else(|| ConfigError::new(at, problem()))
        });
        Ok(Guard {
            never: never.collect::<Result<_, _>>()?,
            blocks_per_hour: config.blocks_per_hour,
            alert_age_max_us: i64::try_from(config.alert_age_max.as_micros()).unwrap_or(i64::MAX),
        })
    }

    pub fn judge(&self, action: &Action, around: &Circumstances) -> Verdict {
        if action.kind == Kind::Block
            && let Err((reason, words)) = self.may_block(action, around)
        {
            return Verdict::Suppress(reason, words);
        }
        if action.dry_run { Verdict::DryRun } else { Verdict::Send }
    }

    fn may_block(&self, action: &Action, around: &Circumstances) -> Result<(), (Reason, String)> {
        let refuse = |reason: Reason, words: String| Err((reason, words));
        if action.entity_kind == UNPROVEN_CLIENT {
            let words = "client address unproven: nobody to be trusted says that it made these requests";
            return refuse(Reason::Unproven, words.to_owned());
        }
        let Some(address) = address_of(action) else {
            let words = format!("not one IP address: the entity is of kind {}", action.entity_kind);
            return refuse(Reason::NotAnAddress, words);
        };
        if let Some(network) = self.never.iter().find(|network| network.contains(address)) {
            let words = format!("{address} is on the never-block list ({})", network.text);
            return refuse(Reason::NeverBlock, words);
        }
        if action.expires_us.is_none_or(|expires| expires <= around.now_us) {
            return refuse(Reason::NoEnd, "a block needs a time at which it ends".to_owned());
        }
        // An alert without a readable time counts as old: the careful reading.
        let age_us = around.alert_opened_us.map_or(i64::MAX, |opened| around.now_us.saturating_sub(opened));
        if age_us > self.alert_age_max_us {
            let limit_hours = self.alert_age_max_us as f64 / 3.6e9;
            return refuse(Reason::TooOld, format!("the alert opened more than {limit_hours} h ago"));
        }
        if let Some(words) = already_blocked(action, around.blocked_until_us, around.now_us) {
            return refuse(Reason::AlreadyBlocked, words);
        }
        if around.blocks_last_hour >= self.blocks_per_hour {
            let words = format!("the budget of {} blocks per hour is used up", self.blocks_per_hour);
            return refuse(Reason::Budget, words);
        }
        Ok(())
    }
}

/// A second block is worth its place in the budget only when the first is at least half over.
pub fn already_blocked(action: &Action, until_us: Option<i64>, now_us: i64) -> Option<String> {
    let wanted_us = action.expires_us?.saturating_sub(now_us);
    let left_us = until_us?.saturating_sub(now_us);
    (left_us > wanted_us / 2).then(|| format!("the address is blocked already, for {} s more", left_us / 1_000_000))
}

/// The address to block, in its plain form (`::ffff:203.0.113.7` is 203.0.113.7), where the entity is a client address. Not
/// where a principal or a path happens to read like one: those an attacker chooses.
pub fn address_of(action: &Action) -> Option<IpAddr> {
    let is_client = action.entity_kind == "client_ip";
    is_client.then(|| action.entity_value.parse::<IpAddr>().ok())?.map(|address| address.to_canonical())
}

/// A network of either family; IPv4 lives at `::ffff:0:0/96`, so one comparison serves both.
#[derive(Debug)]
struct Network {
    base: u128,
    mask: u128,
    text: String,
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.map_or(Some(width), |bits| bits.trim().parse().ok())?;
        if bits > width {
            return None;
        }
        // A prefix of 0 would need a shift by the full width, which has no result.
        let mask = u128::MAX.checked_shl(width - bits).unwrap_or(0);
        let mask = if address.is_ipv4() { mask | !u128::from(u32::MAX) } else { mask };
        Some(Network { base: number(address) & mask, mask, text: text.to_owned() })
    }

    fn contains(&self, address: IpAddr) -> bool {
        number(address) & self.mask == self.base
    }
}

fn number(address: IpAddr) -> u128 {
    let wide: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    u128::from(wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::plan::tests::alert;
    use proptest::prelude::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn block(entity: &str) -> Action {
        let alert = alert("203.0.113.7");
        Action {
            id: "a1".to_owned(),
            alert_id: alert.id,
            detector: alert.detector,
            entity_kind: "client_ip".to_owned(),
            entity_value: entity.to_owned(),
            target: "waf".to_owned(),
            kind: Kind::Block,
            queue: String::new(),
            body: Vec::new(),
            dry_run: false,
            created_us: 0,
            expires_us: Some(4 * HOUR_US),
        }
    }

    fn calm() -> Circumstances {
        Circumstances { now_us: 0, alert_opened_us: Some(0), blocked_until_us: None, blocks_last_hour: 0 }
    }

    fn guard(never: &[&str], proxies: &[&str]) -> Guard {
        let config =
            GuardConfig { never_block: never.iter().map(|s| (*s).to_owned()).collect(), ..GuardConfig::default() };
        let proxies: Vec<String> = proxies.iter().map(|s| (*s).to_owned()).collect();
        Guard::new(&config, &proxies).expect("valid networks")
    }

    #[test]
    fn each_rail_refuses_and_says_why() {
        let guard = guard(&["198.51.100.0/24", "2001:db8:5::7"], &["192.0.2.1"]);
        let busy = Circumstances { blocks_last_hour: 20, ..calm() };
        let stale = Circumstances { alert_opened_us: Some(-25 * HOUR_US), ..calm() };
        let blocked = |hours| Circumstances { blocked_until_us: Some(hours * HOUR_US), ..calm() };
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
            ("tok_1a2b", calm(), Some("not one IP address")),
            ("203.0.113.7+GET /v1/orders", calm(), Some("not one IP address")),
            ("203.0.113.0/24", calm(), Some("not one IP address")),
            ("203.0.113.7", busy, Some("budget of 20 blocks per hour")),
            ("203.0.113.7", stale, Some("opened more than 24 h ago")),
            ("203.0.113.7", blocked(3), Some("blocked already, for 10800 s more")),
            ("203.0.113.7", blocked(2), None),
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
    fn an_address_nobody_vouches_for_is_not_blocked() {
        let mut alert = alert("203.0.113.7");
        alert.evidence["client_ip_source"] = "unproven".into();
        let words = ["block".to_owned(), "case".to_owned()];
        let actions = crate::respond::plan::plan(&alert, &words, &crate::respond::RespondConfig::default(), &[], 0);
        let verdicts: Vec<Verdict> = actions.iter().map(|action| guard(&[], &[]).judge(action, &calm())).collect();
        assert!(matches!(&verdicts[0], Verdict::Suppress(_, why) if why.starts_with("client address unproven")));
        assert_eq!(verdicts[1], Verdict::DryRun, "people are told");
    }

    #[test]
    fn the_rails_come_before_dry_run_and_leave_messages_alone() {
        let guard = guard(&[], &[]);
        let dry = |entity: &str| Action { dry_run: true, ..block(entity) };
        assert_eq!(guard.judge(&dry("203.0.113.7"), &calm()), Verdict::DryRun);
        assert!(matches!(guard.judge(&dry("10.0.0.1"), &calm()), Verdict::Suppress(..)));
        let message = Action { kind: Kind::Notify, expires_us: None, ..block("10.0.0.1") };
        assert_eq!(guard.judge(&message, &calm()), Verdict::Send);
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

    proptest! {
        /// Against the definition: an address is in a network when its first `bits` bits are the network's.
        #[test]
        fn a_network_holds_what_shares_its_first_bits(a: u32, b: u32, bits in 0u32..=32) {
            let network = Network::parse(&format!("{}/{bits}", std::net::Ipv4Addr::from(a))).expect("valid");
            let same = bits == 0 || a >> (32 - bits) == b >> (32 - bits);
            prop_assert_eq!(network.contains(std::net::Ipv4Addr::from(b).into()), same);
        }

        #[test]
        fn ipv6_too(a: u128, b: u128, bits in 0u32..=128) {
            let network = Network::parse(&format!("{}/{bits}", Ipv6Addr::from(a))).expect("valid");
            let same = bits == 0 || a >> (128 - bits) == b >> (128 - bits);
            prop_assert_eq!(network.contains(Ipv6Addr::from(b).into()), same);
        }
    }
}
