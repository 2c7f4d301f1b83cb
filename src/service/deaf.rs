//! Targets that hear nothing when it matters: what they take is asked for by no detector of severity high or critical, and by no
//! policy.
//!
//! Promises: looks at the configuration alone; one warning for each target. Containment is left out: whom to keep out is a
//! choice, and a target that nobody asks harms nobody.
//! Never: changes what is told to whom.

use std::sync::Arc;

use detectors::Rule;
use schemas::alert::Severity;

use crate::observe::warn::{Kind as Warns, Warning};
use crate::respond::policy::Do;
use crate::respond::{Kind, RespondConfig};

/// Detectors that a warning names; the others are counted.
const NAMED: usize = 5;

pub fn targets(config: &RespondConfig, rules: &[Arc<Rule>]) -> Vec<Warning> {
    let asked_by_policy = |kind: Kind| config.policy.iter().any(|entry| entry.steps.iter().any(|step| is(*step, kind)));
    let mut warnings = Vec::new();
    for target in config.targets.commons() {
        let told: Vec<Kind> = target.kinds.iter().copied().filter(|kind| !kind.contains()).collect();
        if told.is_empty() || told.iter().any(|kind| asked_by_policy(*kind)) {
            continue;
        }
        let asks = |rule: &&Arc<Rule>| told.iter().any(|kind| rule.respond.iter().any(|name| name == kind.name()));
        let takes: Vec<String> = told.iter().map(|kind| format!("`{}`", kind.name())).collect();
        let takes = takes.join(", ");
        let (silent, message) = if rules.iter().any(|rule| asks(&rule)) {
            // A case is no alarm: where some ask for one, the others were meant not to.
            let least = target.when.severity.map_or(Severity::High, |least| least.max(Severity::High));
            let meant =
                |rule: &&Arc<Rule>| rule.severity >= least && !rule.respond.is_empty() && !told.contains(&Kind::Case);
            let silent = rules.iter().filter(meant).filter(|rule| !asks(rule)).map(|rule| rule.id.as_str());
            let silent: Vec<&str> = silent.collect();
            let named = silent.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = match silent.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let which = "which these detectors of severity high or critical do not ask for";
            (silent.len(), format!("takes {takes}, {which}: {named}{more}; it hears nothing of their incidents"))
        } else {
            (rules.len(), format!("takes {takes}, which no detector and no policy asks for; it hears nothing"))
        };
        if silent > 0 {
            let cure = "ask for it in respond.policy, for example { when: { severity: high }, do: [page, case, contain] }, \
                        or in the detectors' `respond`";
            warnings.push(Warning {
                kind: Warns::NotAsked,
                about: target.name,
                count: silent as u64,
                message,
                cure: cure.to_owned(),
            });
        }
    }
    warnings
}

fn is(step: Do, kind: Kind) -> bool {
    match step {
        Do::Notify => kind == Kind::Notify,
        Do::Case => kind == Kind::Case,
        Do::Page => kind == Kind::Page,
        Do::Block | Do::Revoke | Do::Throttle | Do::Contain => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGER: &str = "targets: { pagerduty: [{ name: oncall, routing_key: { env: X } }] }";

    fn rules() -> Vec<Arc<Rule>> {
        let rule = |id: &str, severity: &str, respond: &str| {
            let text = format!(
                "id: {id}\ntitle: A title\nseverity: {severity}\nentity: client_ip\nmethod: {{ threshold: {{ at_least: 5, \
                 within: 1m }} }}\nrespond: {respond}\nnotes: What it sees.\n"
            );
            Arc::new(detectors::parse_rule(&text, "mine.yaml").expect("a detector"))
        };
        vec![rule("burst", "high", "[block, case]"), rule("spike", "critical", "[page]"), rule("odd", "low", "[case]")]
    }

    fn about(config: &str) -> Vec<(String, u64, String)> {
        let config: RespondConfig = serde_saphyr::from_str(config).expect("a section");
        targets(&config, &rules()).into_iter().map(|it| (it.about, it.count, it.message)).collect()
    }

    #[test]
    fn a_pager_that_high_incidents_do_not_reach_is_told_of() {
        let told = about(PAGER);
        assert_eq!((told.len(), told[0].0.as_str(), told[0].1), (1, "oncall", 1));
        assert!(told[0].2.contains("takes `page`") && told[0].2.contains("do not ask for: burst;"), "{}", told[0].2);
        let policy = format!("policy: [{{ when: {{ severity: high }}, do: [page, contain] }}]\n{PAGER}");
        assert_eq!(about(&policy), []);
        assert_eq!(about("targets: { crowdsec: [] }"), []);
        let chat = PAGER.replace("pagerduty", "slack").replace("routing_key", "url");
        assert!(about(&chat)[0].2.contains("`notify`, which no detector and no policy asks for"), "{:?}", about(&chat));
        let critical = PAGER.replace("routing_key", "when: { severity: critical }, routing_key");
        assert_eq!(about(&critical), [], "it is not told of high ones anyway");
    }

    /// Who follows a page hears of high and critical incidents of the built-in detectors.
    #[test]
    fn a_target_configured_as_its_page_shows_is_told_what_matters() {
        let catalogue = detectors::catalogue();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/targets");
        let mut looked = 0;
        for page in std::fs::read_dir(folder).expect("pages") {
            let page = page.expect("a page").path();
            let text = std::fs::read_to_string(&page).expect("a page is UTF-8");
            let block = text.split("```yaml\nrespond:\n").nth(1).and_then(|rest| rest.split("```").next());
            let Some(block) = block else { continue };
            let config: RespondConfig =
                serde_saphyr::from_str(block).unwrap_or_else(|error| panic!("{page:?}: {error}"));
            let told = targets(&config, &catalogue);
            assert!(told.is_empty(), "{}: {told:?}", page.display());
            looked += 1;
        }
        assert!(looked > 5, "{looked} pages");
    }
}
