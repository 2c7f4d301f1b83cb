//! From files to a set of rules that can run: filters find their rules, correlations find theirs, ids are held apart.
//!
//! Promises: the same files in the same order give the same rules with the same numbers; nothing is left out in silence. A correlation
//! comes after those that it names.
//! Never: reads a file; it is given their text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rsigma_parser::{FilterRule, FilterRuleTarget, LogSource, SigmaRule};

use super::correlation::{Correlation, Definition, Source, compile as compile_correlation};
use super::needs;
use super::prefilter::Prefilter;
use super::read::{self, Document, Parsed};
use super::rule::{self, Complaint, Expr};
use super::test::{Item, Test};
use super::tree::Node;
use super::{Ready, Rules};

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What is known of a rule besides what it looks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Its id; where it has none its name, and where it has none of these its title.
    pub id: String,
    pub title: String,
    pub level: Option<&'static str>,
    pub description: Option<String>,
    pub author: Option<String>,
    pub tags: Vec<String>,
    pub falsepositives: Vec<String>,
    /// Category, product and service, those that it has, joined by `/`.
    pub logsource: String,
    pub file: String,
    pub line: u64,
}

/// Something to be said of a document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub file: String,
    /// From 1; 0 where it is not known.
    pub line: u64,
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// A document, and where it came from.
struct Placed {
    file: String,
    document: Document,
}

impl Placed {
    fn problem(&self, complaint: &Complaint) -> Problem {
        Problem {
            file: self.file.clone(),
            line: line_of(&self.document.node, &complaint.near),
            what: complaint.what.clone(),
        }
    }
}

/// The line of the last key of these that is found; keys with modifiers also by what stands before them.
fn line_of(node: &Node, near: &[String]) -> u64 {
    let (mut at, mut line) = (None, node.line);
    for key in near {
        let exact = node.find(&|name| name == key);
        let bare = key.split('|').next().unwrap_or_default();
        let alike = || node.find(&|name| key.contains('|') && name.split('|').next() == Some(bare));
        if let Some(found) = exact.or_else(alike)
            && at.is_none_or(|before| found >= before)
        {
            (at, line) = (Some(found), found);
        }
    }
    line
}

impl Rules {
    /// Loads files of rules, correlations and filters.
    pub fn load(files: &[File]) -> Rules {
        let mut rules = Rules::default();
        let mut placed = Vec::new();
        for file in files {
            let (documents, wrong) = read::read(file.text);
            let problem =
                |wrong: read::Wrong| Problem { file: file.name.to_owned(), line: wrong.line, what: wrong.what };
            rules.problems.extend(wrong.into_iter().map(problem));
            for document in documents {
                let note = |what: &String| Problem {
                    file: file.name.to_owned(),
                    line: document.node.line,
                    what: what.clone(),
                };
                rules.notes.extend(document.notes.iter().map(note));
                placed.push(Placed { file: file.name.to_owned(), document });
            }
        }
        let placed = rules.with_own_ids(placed);
        let filters = rules.filters(&placed);
        let numbers = rules.compile(&placed, &filters);
        rules.correlate(&placed, numbers);
        let clauses: Vec<_> = rules.rules.iter().map(|ready| needs::clauses(&ready.expr)).collect();
        rules.prefilter = Prefilter::new(&clauses);
        rules.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        rules
    }

    /// Leaves the first of those that share an id.
    fn with_own_ids(&mut self, placed: Vec<Placed>) -> Vec<Placed> {
        let mut taken: HashMap<String, String> = HashMap::new();
        let mut kept = Vec::with_capacity(placed.len());
        for one in placed {
            let id = about(&one).id;
            match taken.get(&id) {
                Some(first) => {
                    let what = format!("`{id}` is already the id of a rule in {first}; expected an id of its own");
                    self.problems.push(one.problem(&Complaint::new(what).near("id")));
                }
                None => {
                    taken.insert(id, one.file.clone());
                    kept.push(one);
                }
            }
        }
        kept
    }

    /// What is to hold beside the condition of a rule, by the rule's place.
    fn filters(&mut self, placed: &[Placed]) -> BTreeMap<usize, Vec<Expr>> {
        let mut all: BTreeMap<usize, Vec<Expr>> = BTreeMap::new();
        for one in placed {
            let Parsed::Filter(filter) = &one.document.parsed else { continue };
            let listed = one.document.node.get("filter").is_some_and(|node| node.get("rules").is_some());
            let compiled = if listed {
                rule::compile(&filter.detection, &mut self.names)
            } else {
                Err(Complaint::new("a filter without rules; expected a list of ids or names, or `any`").near("filter"))
            };
            let expr = match compiled {
                Ok(expr) => expr,
                Err(complaint) => {
                    self.problems.push(one.problem(&complaint));
                    continue;
                }
            };
            let mut filtered = 0;
            for (at, other) in placed.iter().enumerate() {
                if let Parsed::Rule(rule) = &other.document.parsed
                    && applies(filter, rule)
                {
                    all.entry(at).or_default().push(expr.clone());
                    filtered += 1;
                }
            }
            if filtered == 0 {
                let what = "the filter fits no rule that is loaded; expected the id or name of one, of its log source";
                self.problems.push(one.problem(&Complaint::new(what).near("rules")));
            }
        }
        all
    }

    /// Compiles the rules; gives the number of each by its place.
    fn compile(&mut self, placed: &[Placed], filters: &BTreeMap<usize, Vec<Expr>>) -> HashMap<usize, usize> {
        let mut numbers = HashMap::new();
        for (at, one) in placed.iter().enumerate() {
            let Parsed::Rule(rule) = &one.document.parsed else { continue };
            if rsigma_parser::is_unsupported(rule.sigma_version) {
                let what = "sigma-version: a version of the specification that is not known here; expected at most 3";
                self.problems.push(one.problem(&Complaint::new(what).near("sigma-version")));
                continue;
            }
            let mut expr = match rule::compile(&rule.detection, &mut self.names) {
                Ok(expr) => expr,
                Err(complaint) => {
                    self.problems.push(one.problem(&complaint));
                    continue;
                }
            };
            if let Some(beside) = filters.get(&at) {
                expr = Expr::All(std::iter::once(expr).chain(beside.iter().cloned()).collect());
            }
            let (mut fields, mut keywords) = (BTreeSet::new(), false);
            looks_at(&expr, &mut fields, &mut keywords);
            let mut fields: Vec<String> = fields.iter().map(|field| self.names.names()[*field].clone()).collect();
            fields.sort();
            numbers.insert(at, self.rules.len());
            self.rules.push(Ready { about: about(one), told: true, expr, fields, keywords });
        }
        numbers
    }

    /// Compiles the correlations, each when those that it names are.
    fn correlate(&mut self, placed: &[Placed], rules: HashMap<usize, usize>) {
        let mut done: HashMap<usize, Source> = rules.iter().map(|(at, number)| (*at, Source::Rule(*number))).collect();
        let mut left: Vec<usize> =
            (0..placed.len()).filter(|at| matches!(placed[*at].document.parsed, Parsed::Correlation(_))).collect();
        let mut quiet = BTreeSet::new();
        let mut loud = BTreeSet::new();
        loop {
            let before = left.len();
            let mut complaints = Vec::new();
            for at in std::mem::take(&mut left) {
                match self.correlation(placed, at, &done) {
                    Ok(correlation) => {
                        let sources = correlation.steps.iter().map(|step| step.source);
                        let among = if correlation.generate { &mut loud } else { &mut quiet };
                        among.extend(sources.map(|source| match source {
                            Source::Rule(number) => (false, number),
                            Source::Correlation(number) => (true, number),
                        }));
                        done.insert(at, Source::Correlation(self.correlations.len()));
                        self.correlations.push(correlation);
                        self.about.push((about(&placed[at]), true));
                    }
                    Err(complaint) => {
                        left.push(at);
                        complaints.push(placed[at].problem(&complaint));
                    }
                }
            }
            if left.is_empty() || left.len() == before {
                self.problems.extend(complaints);
                break;
            }
        }
        for (is_correlation, number) in quiet.difference(&loud) {
            if *is_correlation {
                self.about[*number].1 = false;
            } else {
                self.rules[*number].told = false;
            }
        }
    }

    fn correlation(
        &mut self,
        placed: &[Placed],
        at: usize,
        done: &HashMap<usize, Source>,
    ) -> Result<Correlation, Complaint> {
        let Parsed::Correlation(rule) = &placed[at].document.parsed else {
            return Err(Complaint::new("no correlation"));
        };
        let waiting: BTreeSet<usize> =
            self.correlations.iter().enumerate().filter(|(_, other)| other.waits()).map(|(number, _)| number).collect();
        let resolve = |reference: &str| {
            let Some(place) = placed.iter().position(|other| is_named(other, reference)) else {
                return Err(format!("`{reference}` is the id or name of no rule that is loaded"));
            };
            match done.get(&place) {
                Some(Source::Correlation(number)) if waiting.contains(number) => Err(format!(
                    "`{reference}` is a correlation with `not`, which is decided too late to be correlated"
                )),
                Some(source) => Ok(*source),
                None if matches!(placed[place].document.parsed, Parsed::Filter(_)) => {
                    Err(format!("`{reference}` is a filter; expected a rule or a correlation"))
                }
                None => Err(format!("`{reference}` cannot run itself, or the two name each other")),
            }
        };
        let definition = Definition { rule, node: &placed[at].document.node };
        compile_correlation(&definition, &mut self.names, &resolve)
    }
}

fn is_named(placed: &Placed, reference: &str) -> bool {
    let (id, name) = match &placed.document.parsed {
        Parsed::Rule(rule) => (&rule.id, &rule.name),
        Parsed::Correlation(rule) => (&rule.id, &rule.name),
        Parsed::Filter(rule) => (&rule.id, &rule.name),
    };
    [id, name].iter().any(|it| it.as_deref() == Some(reference))
}

/// Whether a filter is for a rule: it names it (or any), and what it says of the log source is so.
fn applies(filter: &FilterRule, rule: &SigmaRule) -> bool {
    let named = match &filter.rules {
        FilterRuleTarget::Any => true,
        FilterRuleTarget::Specific(list) => {
            list.iter().any(|it| rule.id.as_deref() == Some(it) || rule.name.as_deref() == Some(it))
        }
    };
    let same = |wanted: &Option<String>, is: &Option<String>| match (wanted, is) {
        (None, _) => true,
        (Some(wanted), Some(is)) => wanted.eq_ignore_ascii_case(is),
        (Some(_), None) => false,
    };
    let fits = |wanted: &LogSource| {
        let is = &rule.logsource;
        same(&wanted.category, &is.category) && same(&wanted.product, &is.product) && same(&wanted.service, &is.service)
    };
    named && filter.logsource.as_ref().is_none_or(fits)
}

fn about(placed: &Placed) -> About {
    let (id, name, title, level) = match &placed.document.parsed {
        Parsed::Rule(it) => (&it.id, &it.name, &it.title, it.level),
        Parsed::Correlation(it) => (&it.id, &it.name, &it.title, it.level),
        Parsed::Filter(it) => (&it.id, &it.name, &it.title, it.level),
    };
    let mut about = About {
        id: id.as_ref().or(name.as_ref()).unwrap_or(title).clone(),
        title: title.clone(),
        level: level.map(|level| level.as_str()),
        file: placed.file.clone(),
        line: placed.document.node.line,
        ..About::default()
    };
    match &placed.document.parsed {
        Parsed::Rule(it) => {
            about.description.clone_from(&it.description);
            about.author.clone_from(&it.author);
            about.tags.clone_from(&it.tags);
            about.falsepositives.clone_from(&it.falsepositives);
            let parts = [&it.logsource.category, &it.logsource.product, &it.logsource.service];
            about.logsource = parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("/");
        }
        Parsed::Correlation(it) => {
            about.description.clone_from(&it.description);
            about.author.clone_from(&it.author);
            about.tags.clone_from(&it.tags);
            about.falsepositives.clone_from(&it.falsepositives);
        }
        Parsed::Filter(_) => {}
    }
    about
}

/// Which fields an expression looks at, and whether it has keywords.
fn looks_at(expr: &Expr, fields: &mut BTreeSet<usize>, keywords: &mut bool) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) | Expr::AtLeast(_, parts) => {
            parts.iter().for_each(|part| looks_at(part, fields, keywords));
        }
        Expr::Not(part) => looks_at(part, fields, keywords),
        Expr::Item(Item { field, values, .. }) => {
            fields.extend(field);
            *keywords |= field.is_none();
            let referred = |test: &Test| if let Test::Field { number, .. } = test { Some(*number) } else { None };
            fields.extend(values.iter().flatten().filter_map(referred));
        }
    }
}
