//! The signatures of attacks, by class, over text in small letters with single blanks.
//!
//! Promises: each signature says of which class it is and where it counts; linear time, whatever the text is. A word alone is no attack:
//! what a person may search for (`select all`, `O'Brien`, `drop table lamp`, a line of code in a question) needs a context
//! that only a grammar has, such as a comparison behind a quote, a command behind a separator, an argument behind a command.
//! Never: a pattern whose decision hangs on single digits between words (`redact/form.rs` searches texts of one form once).

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};

use super::{
    CMDI, CRLF, DESERIALISATION, EXPLOIT, GRAPHQL, JNDI, LDAPI, NOSQLI, POLLUTION, Place, SQLI, SSRF, TEMPLATE,
    TRAVERSAL, XSS, XXE, words,
};

/// Where a signature counts: in the path, in the query, in headers.
const P: u8 = 1;
const Q: u8 = 2;
const H: u8 = 4;
const PQ: u8 = P | Q;
const ALL: u8 = P | Q | H;

/// What begins a command behind a separator: names that are no words of a language, and others with what only a command has behind it.
const COMMAND: &str = r#"(?:/?(?:usr/)?(?:local/)?s?bin/)?(?:(?:whoami|uname|wget|netcat|ncat|ipconfig|ifconfig|nslookup|netstat|getent|chmod|chown|printenv|tftp|lsof|xargs|iwr|certutil|bitsadmin|mkfifo|busybox)(?:\.exe)?(?:\W|$)|(?:cat|ls|id|nc|bash|sh|zsh|ksh|dash|ping|sleep|echo|dir|type|net|dig|host|python[\d.]*|perl|php|ruby|node|powershell|cmd|rm|cp|mv|touch|kill|ps|env|head|tail|grep|pwd|reg|printf|tee|awk|sed|ftp|telnet|sudo|su|curl|time|set|find|sort|more|less|nl|tac|base64|exec|eval|source|export|uptime|hostname|which|system|ver|w|who)(?:\.exe)? ?(?:[-/$<>|;&`'"{\\~%]|\.[ ./]|\d+(?:\.\d|$| ?[;&|])|https?:|phpinfo|[a-z]:[/\\ ]))"#;

fn table() -> Vec<(u16, String, u8)> {
    let mut table: Vec<(u16, String, u8)> =
        SIGNATURES.iter().map(|(class, pattern, places)| (*class, (*pattern).to_string(), *places)).collect();
    table.push((CMDI, format!(r"(?:[;|`\n]|&&?|\$\() ?{COMMAND}"), PQ));
    table.push((CMDI, format!(r"(?:\$\(|`) ?{COMMAND}"), H));
    table
}

#[rustfmt::skip]
static SIGNATURES: &[(u16, &str, u8)] = &[
    // Out of the folder, and files of the system that nobody serves.
    (TRAVERSAL, r"(?:^|[=/\\:;, ?&(])\.\.+[/\\]|\.\.[/\\]+\.\.|[/\\]\.\.$|\.\.;/|\.\.%c0%af|%c0%ae|%uff0e|\.\.0x2f|\.\.0x5c|0x2e0x2e|(?:/\.//?){2}|%00\.?[a-z]{2,5}$|\.[a-z]{2,5}%00", ALL),
    (TRAVERSAL, r"/etc/(?:passwd|shadow|group|hosts\b|issue|fstab|ssh|[a-z]*[\[?*])|etcpasswd|\betc[/\\]passwd|/proc/(?:self|version|net|sys|cpuinfo|\d+/)|\b(?:win|boot|system)\.ini\b|[/\\]windows[/\\]|web-inf[/\\]|\b[a-z]:[/\\]+(?:windows|winnt|inetpub|boot|users|program|xampp)|ntuser\.dat|/\.ssh/|\.htpasswd", ALL),
    // SQL: a statement, or a comparison behind the end of a value.
    (SQLI, r"\bunion\b[ (]*(?:all|distinct)?[ (]*select\b", ALL),
    (SQLI, r"\bselect\b[ (]*(?:\*|count ?\(|null\b ?[,)]|'|@@|char ?\(|chr ?\(|case when|(?:group_)?concat ?\(|(?:sleep|version|user|database|pg_sleep) ?\(|[a-z_]+ ?\( ?(?:\)|['\d@*(]|\w{2,} ?[,)(])|top \d+ .{1,80}\bfrom\b|distinct .{1,80}\bfrom\b|\d+ ?(?:,|--|#|\)|;|from\b|union\b|where\b|limit\b)|[a-z_0-9.@$]+ ?,.{0,200}\bfrom\b|[a-z_0-9.]+ from [a-z_0-9.$]+ ?(?:where ?\w+ ?(?:=|<|>|like|in|is)|;|--|\)|,))", ALL),
    // The first quote of a value ends what it was put into; in a filter (`name='a' or name='b'`) the first one begins something.
    (SQLI, r#"(?:^[^'"]*['"]|[`%\]])(?: |/\*\*/)*\)*(?: |/\*\*/)*(?:(?:or|and|xor|having)(?:\b|\d)|\|\||&&)(?: |/\*\*/|\(|\+|-|~|!)*(?:not |!)?\(* ?(?:\d+|'[^']*'?|"[^"]*"?|[\w@.`]+)\)* ?(?:=|<|>|!=|like ?['"(]|in ?\(|between \w+ and|rlike|regexp|sounds like|is (?:not )?null|\(|\* ?\d|--|#|;|/\*)"#, ALL),
    (SQLI, r#"[)\d](?: |/\*\*/)*\)*(?: |/\*\*/)*(?:(?:or|and|xor|having)(?:\b|\d)|\|\||&&)(?: |/\*\*/|\(|\+|-|~|!)*(?:not |!)?\(* ?(?:(?:\d+|'[^']*'?|"[^"]*"?|@@?\w+|\w+ ?\( ?\)|0x[0-9a-f]+)\)* ?(?:=|<|>|!=|like ?['"(]|in ?\(|between \w+ and|rlike|regexp|is (?:not )?null|\* ?\d|--|#|;|/\*)|exists ?\(|not exists|[\w.]+ ?(?:like ['"]|in ?\( ?(?:select|\d)|is null))"#, ALL),
    (SQLI, r#"^[^'"]*['"]\)* ?(?:or|and|xor|\|\||&&)[ (]*(?:not[ (]*)?(?:'[^']*'|"[^"]*"|\w+) ?(?:=|<|>|!|like|in\b|is\b|between|\+|-|\*|/|\|\|)|['"]\)* ?(?:or|and) (?:true|false|exists ?\(|not exists)|' ?(?:or|and|\|\||&&) '[^']*$|['"]\)* ?(?:or|and|xor|\|\||&&)[ (]*'?\d+'? ?(?:=|<|>|!=) ?'?\d"#, ALL),
    (SQLI, r#"[a-z_)]['"]\)* ?(?:--|#)|\d'\)* ?(?:--|#)|'\)* ?(?:--|/\*|;%00|; ?--)|^\W*'\)* ?(?:--|;)|/\*!\d{5}|\w/\*[^*]{0,40}\*/ ?[\w('@]"#, PQ),
    (SQLI, r#"; ?(?:drop (?:table|database|user|view|index|procedure|schema)|delete from|insert into|update \w+ set|alter (?:table|database|user|login)|create (?:table|user|function|procedure|database|or)|exec(?:ute)? ?(?:\(|@|xp_|sp_|master|immediate|')|declare @|shutdown\b|truncate table|select\b|waitfor|begin (?:declare|dbms|null)|set @|copy \w+ (?:from|to)|grant \w+ |merge into|call \w+ ?\(|if ?\()"#, PQ),
    (SQLI, r"\b(?:sleep ?\( ?\d|benchmark ?\( ?\d|(?:pg_sleep|extractvalue|updatexml|load_file|randomblob|json_extract|make_set|generate_series|regexp_substring|xmltype|receive_message|crypt_key|char_length|jsonb?_[a-z_]+|lo_get|lo_import|query_to_xml|database_to_xml|dbms_[a-z_.]+|utl_[a-z_.]+|ctxsys[a-z_.]+) ?\()|waitfor delay|xp_cmdshell|\bxp_[a-z]+|master\.\.|sysobjects|information_schema|rdb\$|msysaccessobjects|from all_users|pg_catalog\.|sqlite_master|@@version|into (?:out|dump)file|procedure analyse", ALL),
    (SQLI, r"\b(?:char|chr|ascii|substr|substring|mid|ord|unhex|hex|concat|convert|cast|nvl|ifnull|coalesce|elt|iif|row_number) ?\( ?(?:\(|select|\d+ ?[),]|'|@|char|chr|database|user|version|password|table)", ALL),
    (SQLI, r#"(?:['")`\d]|^|=) ?(?:order|group) by (?:\d+|\(|[a-z]+ ?(?:--|#))|\bhaving \d+ ?[=<>]|\bhaving (?:count|sum|min|max|avg) ?\(|insert into \S+ ?(?:\(|values|select)|(?:^|['")\d] ?)drop (?:table|database)\b|\bdeclare @|alter (?:database|table|login) \w|delete from \w+ ?(?:where|;|--|$)|\bupdate \w+ set \w+ ?=|case when\b.{1,80}\bthen\b|\b(?:rlike|regexp)\b ?[\(\d'"]|\bwhere \d+ ?=|\bwhere \w+ ?(?:=|like|in) ?['(\d]|\bexec(?:ute)? ?(?:master|xp_|sp_|immediate)|::(?:int|jsonb?|text)\b|^[x0]?or '"#, ALL),
    (SQLI, r#"' ?(?:=|<>|!=|<|>|\|\||\+|-|&|\^|%|div|mod|like|rlike) ?['(]|'='|" ?= ?"|\w' (?:union|like '|between \w+ and|in ?\(|is (?:not )?null|limit \d|into (?:outfile|dumpfile|@)|procedure|group by|order by|having|collate|using|for update|as \w+ ?(?:from|,))|' ?(?:=|<>|!=|<=>|\|\||\+|\*|\^|&) ?(?:\d|@|\w+ ?\(|\(|true|false|null)|'[ )]*(?:like|between|in|rlike|regexp|collate|is)\b ?['(\d]"#, PQ),
    // Script: what runs, not what is only markup.
    (XSS, r"<[ /]*script|vbscript ?:|data ?: ?text/html|livescript:|javascript ?: ?(?:[a-z_.]+ ?[(`=\[]|//|/\*|\d|%|['(\[\\]|void|document|window|this)|(?:^|=|\(|['\x22])javascript:[^ ]|\(javascript", ALL),
    (XSS, r#"(?:<[a-z!/?%][^>]{0,300}[ /"'`+\x0c]|["'`][^<>]{0,80}[ /"'`\x0c]|^|^["'`]|["'`] ?)on(?:abort|activate|after|anim|app|audio|auto|back|before|begin|blur|bounce|cancel|canplay|cell|change|click|close|command|content|context|control|copy|cue|cut|data|dbl|deact|drag|drop|duration|emptied|end|error|filter|finish|focus|form|fullscreen|got|hash|help|input|invalid|key|layout|load|lose|media|message|mouse|move|ms|offline|online|orientation|page|paste|pause|play|pointer|pop|progress|property|rate|ready|repeat|reset|resize|reverse|row|scroll|search|seek|select|show|slot|sort|stalled|start|stop|storage|submit|suspend|sync|time|toggle|touch|track|transition|undo|unhandled|unload|url|volume|waiting|webkit|wheel|zoom)[a-z]{0,24} ?= ?["'`({a-z\\/]"#, ALL),
    (XSS, r#"<[a-z!/?%][^>]{0,300}[ /"'`+\x0c]on[a-z]{3,30} ?="#, ALL),
    (XSS, r"<(?:svg|iframe|frame|frameset|object|embed|applet|isindex|xml|xss|x|bgsound|layer|vmlframe|base|meta|link|style|math|marquee|listing|plaintext|noscript|comment|xsl:?[a-z]*|handler|listener|animate|set|details|keygen)[ />:=\x09]|<(?:img|image|video|audio|body|input|button|form|table|div|a|p|td|br)[ /][^>]{0,300}(?:\bon[a-z]{4,}|javascript|vbscript|expression|dynsrc|lowsrc|formaction|srcdoc|style ?=|xlink|data:)|<!--[^>]{0,20}(?:\[if|`|<)|<!\[(?:cdata|if)|<\?(?:import|xml-style)|<!(?:doctype|entity|attlist)", ALL),
    (XSS, r#"\b(?:alert|prompt|confirm)\)?(?:\.(?:call|apply|bind)|\[[^\]]{0,20}\])? ?(?:`|\( ?(?:\)|\d|['"`/\\&@#,]|document|self|window|this|location|null|string|top|parent|origin|name|xss|\w+\.))|\b(?:eval|settimeout|setinterval|atob|btoa|expression|execscript|fetch|print|ead|find)\)?\((?:\)|\d|['"`/\\&@]|document|location|string|name|atob|this|window|[a-z]+[.(])|\((?:alert|prompt|confirm|eval|print)\)|fromcharcode|document ?[.\[] ?['"]?(?:cookie|domain|write|location|body|url)|window ?[.\[] ?['"]?(?:location|name|open|alert)|srcdoc ?=|\.innerhtml|\bxlink:href|-moz-binding|@import ?(?:url|['"])|open\(\)>|'(?:ale|pro|con|fet|ev)'\+'"#, ALL),
    (XSS, r"&#x?0*(?:3c|60)\b|constructor(?:\.constructor)?\(|reflect\.\w+\.call|[ /\x22']style ?= ?['\x22]?[^'\x22]{0,80}(?:expression|url\(|behavior|binding)", ALL),
    // Commands and code.
    (CMDI, r#"^[;|&] ?(?:id|ls|ps|env|dir|set|uptime|pwd|w|who|ver|hostname)(?:[;|&#]|$)|(?:;|&&|\|\|) ?(?:id|ls|ps|env|dir|pwd|uptime|hostname)$"#, PQ),
    (CMDI, r#"/bin/(?:[a-z]{0,3}sh|cat|ls|ps|id|ping|echo|nc|uname|rm|wget|curl|python)\b|\$\( ?(?:id|ls|ps|env|pwd|who|uname|hostname|whoami|date|cat)\)|\(\) ?\{ ?(?::|_|[a-z]+ ?=>|\() ?;?|^\(\) ?\{|\bcmd(?:\.exe)? ?/[ckr]\b|powershell(?:\.exe)? +(?:-[a-z]|/[a-z]|\(|iex|&)|powershell\.exe|\$\{?ifs\b|<!--# ?(?:exec|include|echo|printenv)|\bwget (?:-|https?:)|\bcurl (?:-[a-z]|https?:)|\bnc(?:\.exe)? -[a-z]*[elp]|/dev/tcp/|\| ?(?:ba)?sh\b ?(?:$|[;|&-])|[/\\]system32[/\\]|%systemroot%|\bcat /(?:etc|proc|var|root|flag)|\bchmod \+?[0-7x]|\brm -rf?\b|\bbash -[ci]\b|\bping(?:\.exe)? -[cnit] ?\d|\bfor /[flrd] |\bset /[ap] |\{,[a-z$/'?]|\bsh -[ic]\b|\bdd if=|/[?*]{2,}/[a-z?*]|^/bin/\w"#, ALL),
    (CMDI, r#"<\? ?(?:php|=)|\b(?:system|passthru|shell_exec|proc_open|popen|assert|eval|exec|call_user_func|create_function|file_get_contents|file_put_contents|base64_decode|preg_replace|unserialize|pcntl_exec)\)?\( ?(?:['"$`]|base64|chr|\w+\()|phpinfo\(|\$_(?:get|post|request|cookie|server|files|env|session)\b ?[\[{]|php://(?:input|filter|memory|temp)|\b(?:phar|expect|zip|compress\.\w+|glob|ogg|rar|ssh2\.\w+|zlib)://|allow_url_include|auto_prepend_file|require\( ?['"](?:child_process|fs|net|http)|["'`]child_process|process\.(?:mainmodule|binding|env)\b|global\.process|\.(?:execsync|spawnsync)\(|os\.(?:system|popen)\(|subprocess\.|while\( ?(?:!|true|1\)|this|[+-]?infinity)|__import__\(|^class[.\[]{1,2}(?:module|classloader)"#, ALL),
    // Look-ups of a logging library.
    (JNDI, r"\$\{[^}]{0,60}jndi|jndi:(?:ldaps?|rmi|dns|iiop|corba|nis|nds|http)|\$\{(?:lower|upper|env|sys|date|java|main|ctx|k8s|docker|::-|[a-z]*:-)[^}]{0,60}\}.{0,120}(?:ldap|rmi|dns|\$\{|://)|\$\{\$\{", ALL),
    // What is put into nothing but an attack: a file of the system three folders up, Text4Shell, a command without blanks.
    (TRAVERSAL | EXPLOIT, r"(?:\.\.[/\\]+){3,}(?:[a-z0-9_.-]+[/\\]+){0,3}(?:etc[/\\](?:passwd|shadow|group|hosts)|bin[/\\](?:ba)?sh|win\.ini|boot\.ini|proc[/\\]self)\b", PQ),
    (TEMPLATE | EXPLOIT, r"\$\{(?:script:(?:js|javascript|groovy|jexl|ecmascript)|dns:(?:address|canonicalname)|url:utf-?8)[:|]", ALL),
    (CMDI | EXPLOIT, r"\$\(echo\$\{ifs\}", ALL),
    (NOSQLI, r#"\$where\b|\$(?:or|and|nor) ?["']? ?: ?\[|^['"]?; ?(?:var|let|while|do|return)\b ?[\w({]|["']?\$(?:function|accumulator|expr)["']? ?: ?[{"']|(?:user|login|mail|pass|pwd|token|secret|otp|pin|code|auth|key)\w*\]?\[\$(?:ne|eq|gt|gte|lt|lte|in|nin|regex|exists|not|or|and|type)\]|\[\$(?:ne|gt|gte|nin)\]=(?:-?[01]|null|undefined)?$|\[\$(?:regex|exists|where|func)\]|\{ ?["']?\$(?:ne|gt|gte|nin|regex|exists)["']? ?: ?(?:["']["']|null|-?1|["']\.\*|["']\^|true|undefined)"#, PQ),
    (NOSQLI, r#"\bthis\.(?:password|passwd|username|constructor|\w+\.match)|\bdb\.\w+\.(?:find|insert|drop|remove|update|getcollection)|\bdb\.(?:getcollection|dropdatabase|injection)|'; ?return[ (]|' ?\|\| ?'?\w*'? ?==|' ?&& ?this\.|true, ?\$where|; ?sleep\(\d"#, PQ),
    (LDAPI, r"\*\)\([|&!]?|\)\([|&!]? ?\(?[a-z][a-z-]+ ?[~<>]?=|^\(?[&|!]\(!?[a-z]+ ?[~<>]?=|\([&|!] ?\(!?\(?[a-z]+ ?[~<>]?=|\(objectclass ?=|\(\|\(|:2\.5\.13\.\d+:=|:1\.2\.840\.113556\.1\.4\.\d+:=|\)&\([a-z]+=", PQ),
    (SSRF, r"(?:https?|ftps?|irc|ws)?:?/{0,2}(?:[^/ @]{1,60}@)?(?:169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200|\[fd00:ec2::254\]|192\.0\.0\.192|instance-data\b)|https?:/{0,2}(?:0x[0-9a-f]{6,10}|\d{8,10}(?:[/:?#]|$)|(?:0x[0-9a-f]{1,2}\.){1,3}0x|0[0-7]{2,3}\.0[0-7]{2,3}|\d{1,3}\.\d{5,8}\b|\[(?:::|::ffff:|fe80|fd00|0+:0+)[^\]]*\]|(?:localtest\.me|lvh\.me|\S{1,60}\.(?:nip|sslip|xip)\.io))|^(?:url:)?file:/", Q),
    (SSRF, r"\b(?:gopher|dict|tftp|netdoc|jar:https?|jar:file|smb|sftp|ldaps?|rmi)://|\.(?:oastify\.com|burpcollaborator\.net|oast\.(?:pro|live|site|online|fun|me)|interact\.sh|interactsh\.com|dnslog\.cn|ceye\.io|canarytokens\.com|bxss\.me|pipedream\.net)\b|/latest/(?:meta-data|user-data|dynamic/instance)|/computemetadata/v1", ALL),
    (TEMPLATE, r#"\{\{ ?(?:\d+ ?[*+-] ?'?\d|config ?\}|config\.(?:items|__|secret)|self\.|request(?:\.application|\||\[|\.__)|['"\[(]|lipsum|cycler|joiner|range\.|_self|settings\.secret|constructor|\$on|.{0,60}(?:__|\|attr|\|filter|\|map))|[$#*%@]\{+ ?(?:\d+ ?[*+-] ?\d|t ?\(|script:|url:|dns:|base64(?:de|en)coder:|file:|const:|java:|urlencoder:|runtime|require|process\.|this\.|class\.|applicationscope|pagecontext|['"][^}]{0,40}['"]?\.(?:class|getclass)|new |facescontext|sessionscope)|<%[=@ ]|<#assign|%\{ ?[(#'"]|\{% ?(?:if|for|import|include|set|debug|extends|block)\b|@\{ ?\[|@\(\d+ ?[*+] ?\d+\)|\[\[\$\{|\$smarty\.|\{php\}|\$\{@|#set ?\(\$"#, ALL),
    (TEMPLATE, r"__(?:class|mro|subclasses|globals|builtins|bases|init)__|\.getclass\(|freemarker\.template|\$class\.inspect|java\.lang\.(?:runtime|process|class|system|thread)|getruntime\(|processbuilder|\(?#_memberaccess|@java\.|com\.opensymphony|\bognl\.|#context\[|javax\.script|scriptenginemanager|#attr\[|#application\[", ALL),
    (DESERIALISATION, r#"^ro0ab[a-z0-9+/]|\baced0005|^aaeaaad/{4}|\b[oc]:\+?\d+:"[\w\\]+":\d+:\{|\ba:\d+:\{(?:i|s):\d+|!!(?:python|java|javax|com\.sun|ruby)\b[/.]?|!ruby/(?:object|hash)|_\$\$nd_func\$\$_|\bcos\nsystem|c__builtin__|"\$type" ?: ?"[\w.]+,|"@(?:type|class)" ?: ?"(?:com\.|org\.|java|sun\.)|objectdataprovider|ysoserial|jdbcrowsetimpl|templatesimpl|<java [^>]{0,60}class="#, ALL),
    (POLLUTION, r#"__proto__|\bconstructor[\]"'.\[ ]{1,4}prototype\b"#, ALL),
    (CRLF, r"\n+ ?(?:(?:set-cookie2?|location|content-(?:type|length|disposition|security-policy)|x-[a-z-]{2,40}|link|refresh|access-control-[a-z-]+|transfer-encoding|status|host|bcc|cc|remote-addr|referer|user-agent|cookie) ?:|http/[0-9.]+ \d|rcpt to|mail from|quit\b|data$|[a-z]\d{2,4} [a-z]+|[a-z]+ /[^ ]* http/)|%e5%98%8[ad]%e5%98%8[ad]|\x1b\[", ALL),
    (CRLF, r"\n", P),
    (CRLF, r"\n ?(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3} |\[?\d{4}-\d\d-\d\d|\[?(?:info|warn|error|debug|fatal)\]? ?[:\-|])", Q),
    (GRAPHQL, r"\b__schema\b|\b__type ?\(|introspectionquery", PQ),
    (XXE, r#"<!entity|<!doctype[^>\[]{0,200}\[|<!element|<!doctype[^>]{0,200} (?:system|public) ["']|<xi:include|xmlns:xi="#, ALL),
];

/// A signature that is built when a text first may hold it.
struct Signature {
    class: u16,
    places: u8,
    pattern: String,
    search: OnceLock<Regex>,
}

impl Signature {
    fn is_in(&self, text: &[u8]) -> bool {
        let search = self.search.get_or_init(|| {
            let search =
                RegexBuilder::new(&self.pattern).unicode(false).size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX).build();
            search.expect("the signatures are a fixed list of patterns")
        });
        search.is_match(text)
    }
}

/// Bytes of one compiled signature, and of the automaton that a search builds of it as it goes.
const SIZE_MAX: usize = 16 << 20;
const CACHE_MAX: usize = 1 << 20;

struct Table {
    signatures: Vec<Signature>,
    /// The words of which a text has one where a signature matches, and the signatures that each stands for.
    words: AhoCorasick,
    of_words: Vec<u64>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut signatures = Vec::new();
    let mut of_words: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for (at, (class, pattern, places)) in table().into_iter().enumerate() {
        let words = words::required(&pattern).expect("the signatures are a fixed list of patterns");
        assert!(at < 64 && !words.is_empty(), "a signature that any text may hold: {pattern}");
        for word in words {
            *of_words.entry(word).or_default() |= 1 << at;
        }
        signatures.push(Signature { class, places, pattern, search: OnceLock::new() });
    }
    let words = AhoCorasick::builder().ascii_case_insensitive(true).build(of_words.keys());
    Table { signatures, words: words.expect("the words are a fixed list"), of_words: of_words.into_values().collect() }
});

/// The classes whose signatures are in `text`, which stood at `place`.
pub(super) fn classes(text: &str, place: Place) -> u16 {
    let here = match place {
        Place::Path => P,
        Place::Query => Q,
        Place::Header => H,
    };
    let table = &*TABLE;
    let mut may = 0;
    for hit in table.words.find_overlapping_iter(text) {
        may |= table.of_words[hit.pattern().as_usize()];
    }
    let mut classes = 0;
    while may != 0 {
        let signature = &table.signatures[may.trailing_zeros() as usize];
        may &= may - 1;
        if signature.places & here != 0
            && classes & signature.class != signature.class
            && signature.is_in(text.as_bytes())
        {
            classes |= signature.class;
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::string::bytes_regex_parsed;
    use proptest::test_runner::TestRunner;
    use regex_syntax::ParserBuilder;
    use regex_syntax::hir::{Hir, HirKind};

    use super::*;

    /// The pattern without what looks around, which no generator follows.
    fn without_looks(hir: &Hir) -> Hir {
        let all = |parts: &[Hir]| parts.iter().map(without_looks).collect();
        match hir.kind() {
            HirKind::Look(_) => Hir::empty(),
            HirKind::Capture(capture) => without_looks(&capture.sub),
            HirKind::Concat(parts) => Hir::concat(all(parts)),
            HirKind::Alternation(parts) => Hir::alternation(all(parts)),
            HirKind::Repetition(repetition) => {
                let mut repetition = repetition.clone();
                repetition.sub = Box::new(without_looks(&repetition.sub));
                // A few are enough.
                repetition.max = Some(repetition.max.unwrap_or(u32::MAX).min(repetition.min + 3));
                Hir::repetition(repetition)
            }
            _ => hir.clone(),
        }
    }

    #[test]
    fn what_a_signature_matches_holds_a_word_of_it() {
        let mut runner = TestRunner::deterministic();
        let table = &*TABLE;
        for (at, signature) in table.signatures.iter().enumerate() {
            let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(&signature.pattern).unwrap();
            let texts = bytes_regex_parsed(&without_looks(&hir)).expect(&signature.pattern);
            for _ in 0..300 {
                let text = texts.new_tree(&mut runner).unwrap().current();
                let hits = table.words.find_overlapping_iter(&text);
                let may = hits.fold(0, |all, hit| all | table.of_words[hit.pattern().as_usize()]);
                assert_eq!(may >> at & 1, 1, "{}: {:?}", signature.pattern, String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn of_ordinary_texts_few_signatures_look() {
        for (text, most) in [
            ("q=blue shoes", 1),
            ("name=o'brien", 2),
            ("filter={\"a\":1}", 4),
            ("range=2024-01-01 to 2024-02-01", 1),
            ("mozilla/5.0 (x11; linux x86_64; rv:128.0) gecko/20100101 firefox/128.0", 3),
        ] {
            let hits = TABLE.words.find_overlapping_iter(text);
            let may = hits.fold(0, |all: u64, hit| all | TABLE.of_words[hit.pattern().as_usize()]);
            assert!(may.count_ones() <= most, "{text}: {may:b}");
        }
    }
}
