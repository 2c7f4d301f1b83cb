//! Attack payloads in a request, by class: traversal, SQL, script, command, JNDI. Decided on the raw texts, before redaction, so
//! that a suffix which looks like a secret hides nothing.
//!
//! Promises: of a long text its beginning and its end are searched; plain signatures over the text and over each layer of its escapes undone; linear time; a text without any
//! character that an attack needs costs one pass over its bytes. `tests/probes.rs` holds the share of false and missed ones.
//! Never: keeps or returns a part of the text.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::limits::{PROBE_BYTES_MAX, PROBE_LAYERS_MAX};
use crate::redact::{View, floor};

/// The classes, in the order of their bits.
pub(crate) static CLASSES: [&str; 5] = ["traversal", "sqli", "xss", "cmdi", "jndi"];

const TRAVERSAL: u8 = 1;
const SQLI: u8 = 2;
const XSS: u8 = 4;
const CMDI: u8 = 8;
const JNDI: u8 = 16;

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probed(u8);

impl Probed {
    pub(crate) fn merge(&mut self, other: Probed) {
        self.0 |= other.0;
    }

    /// The names, written over `names`.
    pub(crate) fn names(self, names: &mut Vec<&'static str>) {
        names.clear();
        names.extend(CLASSES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name));
    }
}

/// Where a text stood: an ampersand separates the parameters of a query, and a semicolon the parts of a user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// Signatures in small letters, each of one class, over text with single blanks; the last says where it counts.
#[rustfmt::skip]
static SIGNATURES: &[(u8, &str, bool)] = &[
    (TRAVERSAL, r"\.\.+[/\\]|[/\\]\.\.$|\.\.;/|\.\.%c0%af|%c0%ae|%uff0e|\.\.0x2f|\.\.%5c|\.\.%2f", true),
    (TRAVERSAL, r"/etc/(?:passwd|shadow|group|hosts\b|issue|fstab|ssh)|etcpasswd|/proc/(?:self|version|net|sys|cpuinfo|\d+/)|(?:win|boot|system)\.ini\b|[/\\]windows[/\\]|web-inf[/\\]|\bc:[/\\]|ntuser\.dat|/\.ssh/|\.htpasswd", true),
    (SQLI, r"\bunion\b[ (]*(?:all|distinct)?[ (]*select\b", true),
    (SQLI, r"\bselect\b[ (]*(?:\*|top \d|distinct\b|count ?\(|null\b|\d|'|@@|char ?\(|chr ?\(|case\b|concat|group_concat|sleep|version|user ?\(|database ?\(|[a-z_0-9.@$]+ ?[,(|]|[a-z_0-9.]+ from [a-z_0-9.$]+ ?(?:where\b|;|--|\)|,|$))", true),
    (SQLI, r#"['"`)\d](?: |/\*\*/)*\)*(?: |/\*\*/)*(?:or|and|xor|having|\|\||&&)(?: |/\*\*/|\()*(?:not |!)?\(* ?(?:\d+|'[^']*'?|"[^"]*"?|\w+ ?\(|\(|exists\b|\w+ ?(?:=|<>|like|is|in)\b?) ?(?:=|<|>|!|like|in\b|between|rlike|regexp|is\b|\(|\)|\w|\*|--|#)?"#, true),
    (SQLI, r#"['"] ?\)* ?(?:--|#|/\*|;%00)|['"] ?; ?\w|\d ?(?:--|#) ?$|\*/|/\*!?\d{5}"#, false),
    (SQLI, r"; ?(?:drop|delete|insert|update|alter|create|exec|execute|declare|shutdown|truncate|select|waitfor|begin|if|set|copy|merge|grant|call) ?[ (@]", false),
    (SQLI, r"\b(?:sleep|benchmark|pg_sleep|extractvalue|updatexml|load_file|randomblob|json_extract|make_set|elt|generate_series|regexp_substring|row_number|iif|xmltype|dbms_[a-z_.]+|utl_[a-z_.]+|ctxsys[a-z_.]+|receive_message|xp_[a-z]+|sp_[a-z]+|quarter|crypt_key|char_length|like_?) ?\(|waitfor delay|xp_cmdshell|master\.\.|sysobjects|information_schema|rdb\$|msysaccessobjects|all_users|pg_catalog|@@version|into (?:out|dump)file|procedure analyse", true),
    (SQLI, r"\b(?:char|chr|ascii|substr|substring|mid|ord|unhex|hex|concat|convert|cast|nvl|ifnull|coalesce) ?\( ?(?:\(|select|\d+ ?[),]|'|@|char|chr|database|user|version|password|table)", true),
    (SQLI, r#"(?:['")`\d]|^|=) ?(?:order|group) by (?:\d+|\(|[a-z]+ ?(?:--|#))|\bhaving \d|insert into \S+ ?(?:\(|values|select)|\bdrop (?:table|database)\b|\bdeclare @|alter (?:database|table|login)|delete from \w+ ?(?:where|;|--|$)|\bupdate \w+ set \w+ ?=|case when\b|\b(?:rlike|regexp|procedure|not like|is null|sounds like)\b ?[\(\d'"]|\bwhere \d+ ?=|\bwhere \w+ ?(?:=|like|in) ?['(\d]|\bexec(?:ute)? (?:master|xp_|sp_|immediate)"#, true),
    (SQLI, r#"^\W*\d*'|\w' ?(?:=|<|>|\+|\|\||\)|,|\*|/|-|%|&|\^|is|in|like|or|and|div|mod|limit|between|collate|union|into|for|procedure|using|group|order|having|not)\b? ?[^ ]|' ?(?:\|\||\+) ?'|'='|"=""#, false),
    (XSS, r"<[ /]*script|javascript ?:|vbscript ?:|data ?: ?text/html|livescript:", true),
    (XSS, r#"<[a-z!/?%][^>]{0,300}[ /"'`+]on[a-z]{3,30} ?=|["'`][^<>]{0,80}\bon[a-z]{3,25} ?= ?["'`]?[a-z(]"#, true),
    (XSS, r"<(?:svg|img|image|iframe|frame|frameset|object|embed|video|audio|body|math|details|marquee|link|meta|base|isindex|applet|style|form|input|button|xml|bgsound|layer|table|xss|html|a|b|div|p|br|h1|plaintext|listing|comment|!--|!\[|\?|x|custom[a-z-]*|textarea|keygen|source|select|title|noscript|template|animate|set)[ />:=\x09]", true),
    (XSS, r"\b(?:alert|prompt|confirm|eval|settimeout|setinterval|fromcharcode|atob|expression|execscript|print) ?[(`]|document ?[.\[](?:cookie|domain|write|location|body|url)|window ?[.\[]|srcdoc ?=|\.innerhtml|\bxlink:href|constructor ?\(|&#x?0*(?:3c|60)\b|-moz-binding|@import|open\(\)>|string\.fromchar|__proto__", true),
    (CMDI, r"(?:[;|&`\n]|\$\() ?(?:/?(?:usr/)?s?bin/)?(?:cat|ls|id|whoami|uname|wget|curl|nc|ncat|netcat|bash|sh|zsh|ping|sleep|echo|dir|type|net|netstat|ipconfig|ifconfig|nslookup|dig|python\d?|perl|php|ruby|powershell|cmd|getent|rm|cp|mv|chmod|touch|kill|ps|env|system|ver|head|tail|grep|pwd|reg|printf|tee|awk|sed|tftp|ftp|telnet|sudo|su|iwr|uptime|hostname|lsof|which)(?: |\+|/|\\|<|>|\$|;|\||&|'|\x22|\{|\)|`|$)", false),
    (CMDI, r"\$\( ?[a-z/]|`[a-z/][^`]*`|/bin/(?:[a-z]{0,3}sh|cat|ls|ps|id|ping|echo|nc|uname|rm)\b|\(\) ?\{|\bcmd(?:\.exe)? ?/[ckr]|powershell|\$\{?ifs|<!--#(?:exec|include|echo)|\bwget (?:-|http)|\bcurl (?:-|http)|nc(?:\.exe)? -[a-z]*[elp]|/dev/tcp/|\| ?(?:ba)?sh\b|system32", true),
    (JNDI, r"\$\{[^}]{0,60}jndi|jndi:(?:ldaps?|rmi|dns|iiop|corba|nis|nds|http)|\$\{(?:lower|upper|env|sys|date|java|main|ctx|k8s|docker|::-|[a-z]*:-)[^}]{0,60}\}.{0,120}(?:ldap|rmi|dns|\$\{|://)|\$\{\$\{", true),
];

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let set = RegexSetBuilder::new(SIGNATURES.iter().map(|(_, pattern, _)| *pattern))
        .unicode(false)
        .size_limit(32 << 20)
        .dfa_size_limit(16 << 20)
        .build();
    set.expect("the signatures are a fixed list of patterns")
});

/// Words that attacks without special characters are made of.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = [
        "..",
        " or ",
        " and ",
        "union",
        "select",
        "having",
        "order by",
        "group by",
        "/etc/",
        "javascript:",
        "etcpasswd",
        " like ",
        "waitfor",
        "drop ",
        "jndi",
        "system32",
        "web-inf",
        "win.ini",
        "/proc/",
        ".ssh/",
        "alert",
        "--",
        "on",
    ];
    AhoCorasick::new(words).expect("the words are a fixed list")
});

/// Files that only an attack asks for; they need no special character.
static FILES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let files = ["/etc/", "/proc/", ".ini", "/.ssh", "-INF/", "-inf/"];
    AhoCorasick::new(files).expect("the files are a fixed list")
});

/// Looks for attacks, reusing its buffers.
#[derive(Default)]
pub(crate) struct Prober {
    view: View,
    next: View,
    plain: String,
}

/// What each byte is to attacks: one they need, an escape or a blank, the first of a file's name.
const NEEDED: u8 = 1;
const ESCAPED: u8 = 2;
const FILE: u8 = 4;

static BYTES: [u8; 256] = {
    let mut table = [0u8; 256];
    let needed = b"'\"<>;|$()`*{}\\!\0\n";
    let mut i = 0;
    while i < needed.len() {
        table[needed[i] as usize] = NEEDED;
        i += 1;
    }
    (table[b'%' as usize], table[b'+' as usize], table[b' ' as usize], table[b'&' as usize]) =
        (ESCAPED, ESCAPED, ESCAPED, 0);
    (table[b'/' as usize], table[b'.' as usize]) = (FILE, FILE);
    table
};

impl Prober {
    /// The classes of attack in `text`.
    #[inline]
    pub(crate) fn of(&mut self, text: &str, place: Place) -> Probed {
        let bytes = text.as_bytes();
        let flags = bytes.iter().fold(0, |flags, &b| flags | BYTES[usize::from(b)]);
        if flags & (NEEDED | ESCAPED) == 0 && !(flags & FILE != 0 && is_told_file(bytes)) {
            return Probed::default();
        }
        self.search(text, place)
    }

    fn search(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = self.search_part(&text[..floor(text, PROBE_BYTES_MAX)], place);
        // What stands before an attack does not hide it.
        if text.len() > PROBE_BYTES_MAX {
            let from = (text.len() - PROBE_BYTES_MAX..).find(|at| text.is_char_boundary(*at));
            probed.merge(self.search_part(&text[from.unwrap_or(text.len())..], place));
        }
        probed
    }

    fn search_part(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = Probed::default();
        if place == Place::Query {
            // An ampersand between parameters is no command.
            for parameter in text.split('&').filter(|parameter| is_suspect(parameter.as_bytes())) {
                probed.merge(self.layers(parameter, place));
            }
            return probed;
        }
        self.layers(text, place)
    }

    fn layers(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = self.signatures(text, place);
        let mut view = std::mem::take(&mut self.view);
        let mut next = std::mem::take(&mut self.next);
        let mut undone = view.undo(text, None);
        for _ in 0..PROBE_LAYERS_MAX {
            if !undone {
                break;
            }
            probed.merge(self.signatures(&view.text, place));
            undone = next.undo(&view.text, None);
            std::mem::swap(&mut view, &mut next);
        }
        (self.view, self.next) = (view, next);
        probed
    }

    /// What the signatures say of one layer.
    fn signatures(&mut self, text: &str, place: Place) -> Probed {
        self.plain.clear();
        let mut blank = false;
        for c in text.chars() {
            let c = if matches!(c, '+' | '\t' | '\r' | '\u{b}' | '\u{c}' | '\u{a0}') {
                ' '
            } else {
                c.to_ascii_lowercase()
            };
            if !(blank && c == ' ') {
                self.plain.push(c);
            }
            blank = c == ' ';
        }
        if place == Place::Path && self.plain.contains("('") {
            without_keys(&mut self.plain);
        }
        // In a query the name of the parameter is no part of the attack.
        let from = if place == Place::Query { self.plain.find('=').map_or(0, |i| i + 1) } else { 0 };
        let value = &self.plain[from..];
        if !is_needed(value.as_bytes()) && !WORDS.is_match(&self.plain) {
            return Probed::default();
        }
        let mut probed = Probed::default();
        for text in [value, &self.plain[..]].into_iter().take(1 + usize::from(from > 0)) {
            for place_of in SET.matches(text.as_bytes()) {
                let (class, _, everywhere) = SIGNATURES[place_of];
                if everywhere || place != Place::Header {
                    probed.0 |= class;
                }
            }
        }
        probed
    }
}

/// Keys of one path that are looked at.
const KEYS_MAX: usize = 8;

/// Takes the quotes off the keys of OData: `/customers('alfki')/orders`. A key is one word, and ends its segment.
fn without_keys(text: &mut String) {
    let mut from = 0;
    for _ in 0..KEYS_MAX {
        let Some(open) = text[from..].find("('").map(|at| from + at) else { return };
        from = open + 2;
        let key =
            text[from..].bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')).count();
        let behind = &text[from + key..];
        let is_named = text[..open].ends_with(|c: char| c.is_ascii_alphanumeric());
        let ends = behind.strip_prefix("')").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if key > 0 && is_named && ends {
            text.replace_range(from + key..from + key + 1, "");
            text.replace_range(open + 1..open + 2, "");
        }
    }
}

/// Is there a `..`, or a file that only an attack asks for?
fn is_told_file(bytes: &[u8]) -> bool {
    let mut marks = memchr::memchr2_iter(b'/', b'.', bytes);
    let is_begun = marks.any(|at| {
        matches!(
            &bytes[at..],
            [b'.', b'.', ..]
                | [b'.', b'i', b'n', ..]
                | [b'/', b'e', b't', ..]
                | [b'/', b'p', b'r', ..]
                | [b'/', b'.', b's', ..]
                | [b'/', b'W' | b'w', b'E' | b'e', ..]
        )
    });
    is_begun && (memchr::memmem::find(bytes, b"..").is_some() || FILES.is_match(bytes))
}

fn is_suspect(bytes: &[u8]) -> bool {
    bytes.iter().any(|&b| BYTES[usize::from(b)] & (NEEDED | ESCAPED) != 0)
        || memchr::memmem::find(bytes, b"..").is_some()
}

fn is_needed(bytes: &[u8]) -> bool {
    bytes.iter().any(|&b| BYTES[usize::from(b)] & NEEDED != 0)
}
