//! The addresses of one IP set: what a number of orders makes of them.
//!
//! Promises: what we do not understand stays word for word; an address that stood there before us is not ours to take off;
//! a set that is full is merged to fewer networks which cover the same addresses, where the set is ours alone, and is
//! refused otherwise.
//! Never: covers an address that nobody asked for.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::respond::action::Op;
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order};

/// Addresses and networks of one IP set, by AWS.
pub const ADDRESSES_MAX: usize = 10_000;

/// What `remote_ref` says of an address: whether its revert takes it off.
const ADDED: &str = "added";
const KEPT: &str = "kept";

#[derive(Clone, Debug, Default)]
pub struct AddressSet {
    scopes: BTreeSet<Scope>,
    strange: Vec<String>,
    before: BTreeSet<Scope>,
}

impl AddressSet {
    pub fn new(addresses: &[String]) -> AddressSet {
        let mut set = AddressSet::default();
        for text in addresses {
            match Scope::parse(text) {
                Some(scope) => drop(set.scopes.insert(scope)),
                None => set.strange.push(text.clone()),
            }
        }
        set.before = set.scopes.clone();
        set
    }

    pub fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.scopes.iter().copied()
    }

    pub fn take(&mut self, order: &Order<'_>, own: bool) -> Delivery {
        let Some(scope) = Scope::of(order.action) else {
            return Delivery::failed("the entity is neither an IP address nor a network");
        };
        match order.action.op {
            Op::Apply => self.apply(scope, order, own),
            Op::Revert => self.revert(scope, order.remote_ref, own),
        }
    }

    /// Whose an address is that is there says what was noted before it was written, or an earlier action that holds it.
    fn apply(&mut self, scope: Scope, order: &Order<'_>, own: bool) -> Delivery {
        if order.action.expires_us.is_some_and(|end_us| end_us <= order.attempt.now_us) {
            return Delivery::failed("the block ends before it can begin");
        }
        if scope.net().prefix_len() == 0 {
            return Delivery::failed("an IP set takes no network of everybody");
        }
        if own || order.remote_ref == Some(ADDED) {
            self.scopes.insert(scope);
            return Delivery::delivered(format!("{scope} is in the set"), Some(ADDED.to_owned()));
        }
        if self.scopes.contains(&scope) {
            return Delivery::delivered(format!("{scope} was in the set before and will stay"), Some(KEPT.to_owned()));
        }
        Delivery::Noted { remote_ref: ADDED.to_owned() }
    }

    fn revert(&mut self, scope: Scope, remote_ref: Option<&str>, own: bool) -> Delivery {
        let answer = if !own && remote_ref != Some(ADDED) {
            // What we add is written down before it is added.
            format!("{scope} stays: it was in the set before, or is not ours")
        } else if self.scopes.remove(&scope) || (own && self.split(scope)) {
            format!("{scope} is taken out of the set")
        } else {
            format!("{scope} was gone already")
        };
        Delivery::delivered(answer, None)
    }

    /// Take a part out of the network that it was merged into; whether there was one.
    fn split(&mut self, scope: Scope) -> bool {
        let covering = self.scopes.iter().filter(|wide| wide.contains(&scope));
        let Some(wide) = covering.max_by_key(|wide| wide.net().prefix_len()).copied() else { return false };
        self.scopes.remove(&wide);
        for bits in wide.net().prefix_len() + 1..=scope.net().prefix_len() {
            let parent = Scope::around(scope.net().addr(), bits - 1).expect("fewer bits than the part has");
            let halves = parent.net().subnets(bits).expect("one bit more than the parent").map(Scope::of_net);
            self.scopes.extend(halves.filter(|half| !half.contains(&scope)));
        }
        true
    }

    /// The whole new list, or none where nothing changed.
    pub fn list(&mut self, own: bool) -> Result<Option<Vec<String>>, String> {
        if self.scopes == self.before {
            return Ok(None);
        }
        if self.full() && own {
            let nets: Vec<IpNet> = self.scopes.iter().map(Scope::net).collect();
            self.scopes = IpNet::aggregate(&nets).into_iter().map(Scope::of_net).collect();
        }
        // A list that is too long already may still become shorter.
        if self.full() && self.scopes.len() >= self.before.len() {
            let help =
                if own { "it is merged as far as it goes" } else { "`own: true` would let neighbours be merged" };
            return Err(format!("the IP set is full ({ADDRESSES_MAX} addresses); {help}"));
        }
        Ok(Some(self.scopes.iter().map(Scope::cidr).chain(self.strange.iter().cloned()).collect()))
    }

    fn full(&self) -> bool {
        self.scopes.len() + self.strange.len() > ADDRESSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::{Action, Kind};
    use crate::respond::message::tests::action;
    use crate::respond::target::Attempt;
    use proptest::prelude::*;
    use schemas::incident::Event;

    fn take(set: &mut AddressSet, op: Op, address: &str, number: u32, remote_ref: Option<&str>, own: bool) -> Delivery {
        let kind = if address.contains('/') { "network" } else { "client_ip" };
        let action = Action {
            op,
            entity_kind: kind.to_owned(),
            entity_value: address.to_owned(),
            ..action(Event::Open, Kind::Block)
        };
        set.take(&Order { action: &action, attempt: Attempt { number, now_us: action.created_us }, remote_ref }, own)
    }

    fn ref_of(delivery: &Delivery) -> Option<&str> {
        match delivery {
            Delivery::Delivered { remote_ref, .. } => remote_ref.as_deref(),
            _ => None,
        }
    }

    #[test]
    fn what_nobody_noted_is_not_ours_to_take_out() {
        for (own, remote_ref, stays) in
            [(false, None, true), (false, Some(KEPT), true), (false, Some(ADDED), false), (true, None, false)]
        {
            let mut set = AddressSet::new(&["203.0.113.9/32".to_owned()]);
            take(&mut set, Op::Revert, "203.0.113.9", 1, remote_ref, own);
            assert_eq!(set.scopes.len(), usize::from(stays), "{own} {remote_ref:?}");
        }
    }

    #[test]
    fn what_was_there_before_stays() {
        let mut set = AddressSet::new(&["203.0.113.9/32".to_owned(), "not an address".to_owned()]);
        let kept = take(&mut set, Op::Apply, "203.0.113.9", 1, None, false);
        assert_eq!(ref_of(&kept), Some("kept"));
        assert_eq!(set.list(false), Ok(None));
        let noted = take(&mut set, Op::Apply, "203.0.113.7", 1, None, false);
        assert_eq!(noted, Delivery::Noted { remote_ref: "added".to_owned() });
        assert_eq!(set.list(false), Ok(None), "written down first");
        let added = take(&mut set, Op::Apply, "203.0.113.7", 2, Some("added"), false);
        assert_eq!(ref_of(&added), Some("added"));
        let list = set.list(false).expect("room").expect("a change");
        assert_eq!(list, ["203.0.113.7/32", "203.0.113.9/32", "not an address"]);
        take(&mut set, Op::Revert, "203.0.113.9", 1, Some("kept"), false);
        take(&mut set, Op::Revert, "203.0.113.7", 1, Some("added"), false);
        assert_eq!(set.list(false), Ok(None));
    }

    #[test]
    fn a_renewal_is_as_much_ours_as_what_it_renews() {
        for (told, own) in [("added", false), ("kept", false), ("added", true)] {
            let mut set = AddressSet::new(&["203.0.113.9/32".to_owned()]);
            let renewed = take(&mut set, Op::Apply, "203.0.113.9", 1, Some(told), own);
            assert_eq!(ref_of(&renewed), Some(told));
        }
    }

    #[test]
    fn a_full_set_is_merged_where_it_is_ours_and_split_again() {
        let full: Vec<String> = (0..10_000u32).map(|n| format!("198.51.{}.{}/32", n / 256, n % 256)).collect();
        let mut foreign = AddressSet::new(&full);
        take(&mut foreign, Op::Apply, "203.0.113.7", 1, None, false);
        assert_eq!(foreign.list(false), Ok(None), "noted only");
        take(&mut foreign, Op::Apply, "203.0.113.7", 2, Some("added"), false);
        let problem = foreign.list(false).expect_err("full");
        assert!(problem.contains("full (10000 addresses); `own: true`"), "{problem}");

        let mut ours = AddressSet::new(&full);
        take(&mut ours, Op::Apply, "203.0.113.7", 1, None, true);
        let list = ours.list(true).expect("merged").expect("a change");
        let merged =
            ["198.51.0.0/19", "198.51.32.0/22", "198.51.36.0/23", "198.51.38.0/24", "198.51.39.0/28", "203.0.113.7/32"];
        assert_eq!(list, merged);
        let mut ours = AddressSet::new(&list);
        take(&mut ours, Op::Revert, "198.51.39.0", 1, Some("added"), true);
        let list = ours.list(true).expect("room").expect("a change");
        let whole: u64 = list.iter().map(|text| 1 << (32 - Scope::parse(text).expect(text).net().prefix_len())).sum();
        assert_eq!((whole, ours.scopes.iter().any(|scope| scope.to_string() == "198.51.39.0")), (10_000, false));
    }

    proptest! {
        #[test]
        fn splitting_takes_out_that_part_and_no_other(last in 0u8..=255, bits in 25u8..=32) {
            let mut set = AddressSet::new(&["203.0.113.0/24".to_owned()]);
            let part = Scope::around(std::net::Ipv4Addr::new(203, 0, 113, last).into(), bits).expect("a network");
            prop_assert!(set.split(part));
            prop_assert_eq!(set.scopes.len(), usize::from(bits - 24));
            for n in 0..=255 {
                let one = Scope::address(std::net::Ipv4Addr::new(203, 0, 113, n).into());
                let inside = set.scopes.iter().any(|scope| scope.contains(&one));
                prop_assert_eq!(inside, !part.contains(&one), "{}", one);
            }
        }
    }
}
