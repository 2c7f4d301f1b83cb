//! What a lane learns of its paths: where different words follow each other, they are identifiers. `/users/alice` and
//! `/users/bob` become `/users/{slug}` once more than `LEARNED_WORDS_MAX` names were seen there that are alike: nothing
//! follows them, or the same does. Words seen `LEARNED_OFTEN` times by then (`/users/me`) stay. Below the root, a version,
//! `api` and the like stand names of resources and methods, so there it takes more than `LEARNED_NAMES_MAX`.
//!
//! Promises: learns in the order of the records alone, so the same records in the same order give the same templates,
//! and what is saved and restored goes on alike. Only answers below 400 teach, and one client counts for little beyond
//! `CLIENT_WORDS`: a scan neither fills the memory nor hides itself by making a site's endpoints one. Bounded; when it
//! is full nothing new is learned and what was learned stays.
//! Never: learns from a path with a secret, or keeps a word that endpoints do not show.

use serde::{Deserialize, Serialize};

use super::segment::is_version;
use crate::hash::{self, FastMap};
use crate::limits::{
    LEARNED_BYTES_MAX, LEARNED_KNOWN_MAX, LEARNED_NAMES_MAX, LEARNED_NODES_MAX, LEARNED_OFTEN, LEARNED_WORDS_MAX,
};

/// New words of one client at one place that count in full; of further ones, an eighth.
const CLIENT_WORDS: u8 = 12;
const WORD_CREDIT: u32 = 8;
/// Clients told apart at one place; those beyond are so many that they count in full.
const CLIENTS_MAX: usize = 8;
/// What is shown for words that vary.
const SLUG: &str = "{slug}";

/// Places of the paths of one lane: a tree of the segments of templates.
pub(super) struct Learned {
    nodes: Vec<Node>,
    /// By template as the path alone gives it.
    known: FastMap<Box<str>, Known>,
    bytes: usize,
    /// Records before this offset have taught.
    pub(super) next: i64,
    changed: bool,
    template: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "p")]
    parent: u32,
    #[serde(rename = "s")]
    segment: Box<str>,
    /// By segment.
    #[serde(skip)]
    children: Vec<u32>,
    /// Times that a path ended here, at most `LEARNED_OFTEN`.
    #[serde(rename = "n", default)]
    times: u8,
    /// New words here are `{slug}`.
    #[serde(rename = "v", default, skip_serializing_if = "std::ops::Not::not")]
    varies: bool,
    /// In eighths of a word.
    #[serde(rename = "c", default)]
    credit: u32,
    /// Who brought how many of the words.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    clients: Vec<(u32, u8)>,
}

struct Known {
    node: u32,
    /// What is shown instead, and which segments vary.
    shown: Option<(Box<str>, Varying)>,
}

/// The segments of a template that were found to vary: bit n for segment n.
pub(super) type Varying = u16;

/// A lane's places as they are saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    next: i64,
    nodes: Vec<Node>,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            nodes: vec![Node::default()],
            known: hash::map(),
            bytes: 0,
            next: i64::MIN,
            changed: false,
            template: String::new(),
        }
    }
}

impl Learned {
    /// Replaces the template that begins at `start` of `out` by what is known of its place; `teacher` is the client of a
    /// request that teaches. Returns which segments vary.
    pub(super) fn apply(&mut self, out: &mut String, start: usize, teacher: Option<&str>) -> Varying {
        let Some(known) = self.known.get(&out[start..]) else { return self.look(out, start, teacher) };
        let node = &mut self.nodes[known.node as usize];
        if teacher.is_some() && node.times < LEARNED_OFTEN {
            node.times += 1;
            self.changed = true;
        }
        match &known.shown {
            None => 0,
            Some((text, varying)) => {
                out.truncate(start);
                out.push_str(text);
                *varying
            }
        }
    }

    fn look(&mut self, out: &mut String, start: usize, teacher: Option<&str>) -> Varying {
        let mut template = std::mem::take(&mut self.template);
        template.clear();
        template.push_str(&out[start..]);
        if let Some(client) = teacher {
            self.teach(&template, client);
        }
        out.truncate(start);
        let (node, varying) = self.show(&template, out);
        if teacher.is_some()
            && let Some(node) = node
        {
            if self.known.len() >= LEARNED_KNOWN_MAX {
                self.known.clear();
            }
            let shown = (varying != 0).then(|| (out[start..].into(), varying));
            self.known.insert(template.as_str().into(), Known { node, shown });
        }
        self.template = template;
        varying
    }

    /// Writes what is shown for `template`; returns its node, when all of it is known, and what varies.
    fn show(&self, template: &str, out: &mut String) -> (Option<u32>, Varying) {
        let (mut at, mut varying) = (Some(0), 0);
        for (number, segment) in template.split('/').skip(1).enumerate() {
            let next = at.and_then(|at| self.step(at, segment));
            let shown = next.map_or(segment, |next| &*self.nodes[next as usize].segment);
            if shown != segment {
                varying |= 1 << number.min(15);
            }
            out.extend(["/", shown]);
            at = next;
        }
        (at, varying)
    }

    fn teach(&mut self, template: &str, client: &str) {
        let (mut at, mut news) = (0, None);
        for segment in template.split('/').skip(1) {
            at = match self.step(at, segment) {
                Some(child) => child,
                None if self.is_full(segment) => return,
                None => {
                    news = news.or(is_word(segment).then_some(at));
                    self.add(at, segment)
                }
            };
        }
        let node = &mut self.nodes[at as usize];
        if node.times < LEARNED_OFTEN {
            node.times += 1;
            self.changed = true;
        }
        if let Some(parent) = news {
            self.nodes[parent as usize].credit(client);
            self.judge(parent);
        }
    }

    /// The place that `segment` leads to from `at`.
    fn step(&self, at: u32, segment: &str) -> Option<u32> {
        let node = &self.nodes[at as usize];
        self.child(node, segment).or_else(|| {
            let varies = node.varies && is_word(segment);
            if varies { self.child(node, SLUG) } else { None }
        })
    }

    fn child(&self, node: &Node, segment: &str) -> Option<u32> {
        let place = node.children.binary_search_by(|child| (*self.nodes[*child as usize].segment).cmp(segment));
        place.ok().map(|place| node.children[place])
    }

    fn is_full(&self, segment: &str) -> bool {
        self.nodes.len() >= LEARNED_NODES_MAX || self.bytes + segment.len() > LEARNED_BYTES_MAX
    }

    fn add(&mut self, at: u32, segment: &str) -> u32 {
        let new = self.nodes.len() as u32;
        let children = &self.nodes[at as usize].children;
        let place = children.partition_point(|child| *self.nodes[*child as usize].segment < *segment);
        self.nodes[at as usize].children.insert(place, new);
        self.nodes.push(Node { parent: at, segment: segment.into(), ..Node::default() });
        self.bytes += segment.len();
        self.changed = true;
        new
    }

    /// Decides whether the words below `parent` vary.
    fn judge(&mut self, parent: u32) {
        let node = &self.nodes[parent as usize];
        let enough = node.credit > WORD_CREDIT * LEARNED_WORDS_MAX as u32 && !has_names(parent, &node.segment);
        if node.children.len() <= if enough { LEARNED_WORDS_MAX } else { LEARNED_NAMES_MAX } {
            return;
        }
        let words: Vec<u32> = node.children.iter().copied().filter(|child| self.is_candidate(*child)).collect();
        let mut vary: Vec<u32> = words.iter().copied().filter(|word| self.seen(*word) < LEARNED_OFTEN).collect();
        vary.sort_unstable();
        let many = words.len() > LEARNED_NAMES_MAX;
        if !vary.is_empty() && (many || (enough && words.len() > LEARNED_WORDS_MAX && self.are_alike(&vary))) {
            self.join(parent, &vary);
        }
    }

    /// A word below which there are no identifiers: what has some is a kind of object, not an object.
    fn is_candidate(&self, at: u32) -> bool {
        let node = &self.nodes[at as usize];
        let is_id = |child: &u32| self.nodes[*child as usize].segment.starts_with("{id}");
        is_word(&node.segment) && !node.children.iter().any(is_id)
    }

    /// How often a path led here or further, at most `LEARNED_OFTEN`.
    fn seen(&self, at: u32) -> u8 {
        let (mut open, mut times) = (vec![at], 0_u8);
        while let Some(at) = open.pop()
            && times < LEARNED_OFTEN
        {
            let node = &self.nodes[at as usize];
            times = times.saturating_add(node.times);
            open.extend(&node.children);
        }
        times.min(LEARNED_OFTEN)
    }

    /// Does little, or the same, follow these words?
    fn are_alike(&self, words: &[u32]) -> bool {
        let children = words.iter().flat_map(|word| &self.nodes[*word as usize].children);
        let mut segments: Vec<&str> = children.map(|child| &*self.nodes[*child as usize].segment).collect();
        let all = segments.len();
        segments.sort_unstable();
        segments.dedup();
        segments.len() <= 4 || segments.len() * 2 <= all
    }

    /// Makes one `{slug}` of these children of `parent`, which are in order, with all that is below them.
    fn join(&mut self, parent: u32, words: &[u32]) {
        let old = std::mem::replace(&mut self.nodes, vec![Node::default()]);
        self.bytes = 0;
        self.known.clear();
        self.changed = true;
        let mut open = vec![(0, 0)];
        while let Some((from, to)) = open.pop() {
            let node = &old[from as usize];
            self.nodes[to as usize].take(node, from == parent);
            for child in &node.children {
                let joined = from == parent && words.binary_search(child).is_ok();
                let segment = if joined { SLUG } else { &old[*child as usize].segment };
                let known = self.child(&self.nodes[to as usize], segment);
                open.push((*child, known.unwrap_or_else(|| self.add(to, segment))));
            }
        }
    }

    /// What is to be saved, when something changed since it was last asked for, or when all is wanted.
    pub(super) fn save(&mut self, all: bool) -> Option<Saved> {
        let changed = std::mem::take(&mut self.changed) || all;
        changed.then(|| Saved { next: self.next, nodes: self.nodes.clone() })
    }

    /// What a lane that begins may know of this one. What is to be saved of this one stays to be saved.
    pub(super) fn for_another(&self) -> Saved {
        Saved { next: i64::MIN, nodes: self.nodes.clone() }
    }

    /// Goes on where `saved` was left; `None` for what no lane can have saved.
    pub(super) fn restore(saved: &Saved) -> Option<Learned> {
        let mut learned = Learned { next: saved.next, ..Learned::default() };
        let (root, nodes) = saved.nodes.split_first()?;
        let bytes: usize = nodes.iter().map(|node| node.segment.len()).sum();
        // Joining words may leave a few bytes more than learning stops at.
        if nodes.len() > LEARNED_NODES_MAX || bytes > 2 * LEARNED_BYTES_MAX {
            return None;
        }
        learned.nodes[0].take(root, false);
        for node in nodes {
            let parent = learned.nodes.get(node.parent as usize)?;
            if learned.child(parent, &node.segment).is_some() {
                return None;
            }
            let at = learned.add(node.parent, &node.segment) as usize;
            learned.nodes[at].take(node, false);
        }
        learned.changed = false;
        Some(learned)
    }
}

impl Node {
    /// Notes that a client brought a new word.
    fn credit(&mut self, client: &str) {
        let client = number(client);
        let known = self.clients.iter().position(|(known, _)| *known == client);
        let place = known.or_else(|| {
            let has_room = self.clients.len() < CLIENTS_MAX;
            has_room.then(|| {
                self.clients.push((client, 0));
                self.clients.len() - 1
            })
        });
        let words = place.map_or(1, |place| {
            let (_, words) = &mut self.clients[place];
            *words = words.saturating_add(1);
            *words
        });
        self.credit += if words <= CLIENT_WORDS { WORD_CREDIT } else { 1 };
    }

    /// Adds what was counted at `other`; when its words were joined they are not counted any more.
    fn take(&mut self, other: &Node, joined: bool) {
        self.times = self.times.saturating_add(other.times).min(LEARNED_OFTEN);
        self.varies |= other.varies || joined;
        if !joined && self.credit < other.credit {
            self.credit = other.credit;
            self.clients.clone_from(&other.clients);
        }
    }
}

/// A word that could be a name: no file, no parameter, no gRPC service.
fn is_word(segment: &str) -> bool {
    !segment.is_empty() && !segment.starts_with('{') && !segment.contains('.') && !is_version(segment.as_bytes())
}

/// Is this a place below which stand names of resources or methods? The root, versions, languages, identifiers, and
/// words that say so.
fn has_names(at: u32, segment: &str) -> bool {
    #[rustfmt::skip]
    let telling = ["api", "apis", "rest", "rpc", "ajax", "service", "services", "method", "methods", "function", "functions",
        "action", "actions", "graphql", "twirp", "internal", "public", "private", "admin", "app", "web", "cgi-bin"];
    at == 0
        || segment.len() <= 2
        || segment.starts_with('{')
        || is_version(segment.as_bytes())
        || telling.iter().any(|word| word.eq_ignore_ascii_case(segment))
}

/// The number of a client: the same in every process (FNV-1a).
fn number(client: &str) -> u32 {
    client.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
