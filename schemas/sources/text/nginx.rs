//! A `log_format` of nginx, as it stands in nginx.conf, as a form of lines. The fields are named after its variables, so
//! the mapping of `nginx_json` reads them.
//!
//! Promises: variables that a client can write are texts; nginx escapes quotes in them (`escape=default` and
//! `escape=json`), so what stands in quotes cannot end early. A variable without a value, for which `escape=json` writes
//! nothing, costs no line; but who and when is never nothing.
//! Never: reads a file; the caller does.

use super::class::Class;
use super::form::{Field, Form, Part};

/// Reads `log_format main escape=json '...' '...';`, or only the texts, or one text without quotes. Of several forms the first is
/// the one that lines mostly fit; the last are those of lines that have nothing at an end.
pub(crate) fn forms(text: &str) -> Result<Vec<Form>, String> {
    let form = form(text)?;
    // A host is one word, but for one that nginx refused and logs all the same.
    let is_loose = |field: &Field| &*field.name == "http_host" && field.class == Class::Phrase && !field.quoted;
    let mut usual = form.clone();
    for part in &mut usual.parts {
        if let Part::Field(field) = part
            && is_loose(field)
        {
            field.class = Class::Name;
        }
    }
    note_names(&mut usual.parts);
    note_empty(&mut usual.parts, text.contains("escape="));
    let without_ends = form.without_ends(|field| !is_always_there(field));
    let mut forms = if usual == form { vec![form] } else { vec![usual, form] };
    forms.extend(without_ends);
    Ok(forms)
}

fn form(text: &str) -> Result<Form, String> {
    let format = joined(text.trim())?;
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = format.as_str();
    while !rest.is_empty() {
        let dollar = rest.find('$').unwrap_or(rest.len());
        let (literal, variable) = rest.split_at(dollar);
        if !literal.is_empty() {
            match parts.last_mut() {
                Some(Part::Literal(before)) => *before = format!("{before}{literal}").into(),
                _ => parts.push(Part::Literal(literal.into())),
            }
        }
        let Some((name, after)) = variable.strip_prefix('$').map(name) else { break };
        if name.is_empty() {
            return Err("log_format: expected the name of a variable behind $".to_string());
        }
        let (name, after) = target(name, after);
        match parts.last_mut() {
            // What a client asked of a host begins with a slash.
            Some(Part::Field(host))
                if matches!(&*host.name, "host" | "http_host" | "server_name") && name == "request_uri" =>
            {
                host.class = Class::Authority;
            }
            Some(Part::Field(port)) if &*port.name == "server_port" && name == "request_uri" => {}
            Some(Part::Field(_)) => {
                return Err(format!("log_format: expected something between ${name} and the variable before it"));
            }
            _ => {}
        }
        parts.push(Part::Field(Field::new(name, class(name))));
        rest = after;
    }
    let has =
        |names: &[&str]| parts.iter().any(|part| matches!(part, Part::Field(field) if names.contains(&&*field.name)));
    if !has(&["time_local", "time_iso8601", "msec"]) {
        return Err("log_format: expected $time_local, $time_iso8601 or $msec in it".to_string());
    }
    if !has(&["remote_addr", "realip_remote_addr", "http_x_forwarded_for", "proxy_add_x_forwarded_for"]) {
        return Err("log_format: expected $remote_addr in it".to_string());
    }
    if !has(&["request", "request_uri"]) {
        for part in &mut parts {
            match part {
                Part::Field(field) if &*field.name == TARGET_IN_PARTS => {
                    (field.name, field.in_parts) = ("request_uri".into(), true);
                }
                _ => {}
            }
        }
    }
    note_names(&mut parts);
    note_empty(&mut parts, text.contains("escape="));
    Ok(Form::of(parts))
}

/// A name ends with a blank. Of another sign behind it nginx takes no notice: it may be in the name.
fn note_names(parts: &mut [Part]) {
    for i in 0..parts.len() {
        let before = i == 0 || matches!(&parts[i - 1], Part::Literal(text) if text.ends_with(' '));
        let behind = parts.get(i + 1).is_none_or(|part| matches!(part, Part::Literal(text) if text.starts_with(' ')));
        if let Part::Field(field) = &mut parts[i]
            && field.class == Class::Name
            && !(before && behind)
        {
            field.class = Class::Phrase;
        }
    }
}

/// Notes which fields may be nothing. For a number that is not there nginx writes a dash, unless told to escape otherwise; so several
/// blanks before one are one.
fn note_empty(parts: &mut [Part], is_escaped: bool) {
    for i in 1..parts.len().saturating_sub(1) {
        let is_told = matches!((&parts[i - 1], &parts[i + 1]),
            (Part::Literal(before), Part::Literal(after)) if tells_nothing(before, after));
        let behind_blank = matches!(&parts[i - 1], Part::Literal(before) if before.ends_with(' '));
        if let Part::Field(field) = &mut parts[i] {
            let is_dash = field.class.is_number() && behind_blank && !is_escaped;
            field.may_be_empty = is_told && !is_dash && !field.class.is_free() && !is_always_there(field);
        }
    }
}

/// A path with its query, which counts as the target where no variable has the one that was asked for: `$uri` may be another.
const TARGET_IN_PARTS: &str = "uri_is_args_args";

/// `$uri$is_args$args` is one field.
fn target<'t>(path: &'t str, after: &'t str) -> (&'t str, &'t str) {
    let next = |after: &'t str| after.strip_prefix('$').map(name);
    let query = match (path, next(after)) {
        ("uri" | "document_uri", Some(("is_args", behind))) => next(behind),
        _ => None,
    };
    match query {
        Some(("args" | "query_string", behind)) => (TARGET_IN_PARTS, behind),
        _ => (path, after),
    }
}

/// Do the signs around a variable show that there is nothing, when there is? The same sign on both sides does (quotes, blanks, bars),
/// and those of a member in JSON.
fn tells_nothing(before: &str, after: &str) -> bool {
    let is_value = before.trim_end().ends_with(':') && after.starts_with([',', '}']);
    let sign = before.chars().next_back().filter(|sign| !sign.is_alphanumeric() && *sign != '-');
    is_value || (sign.is_some() && after.chars().next() == sign)
}

/// Who, when, and how it was answered: nginx always has these.
fn is_always_there(field: &Field) -> bool {
    matches!(field.class, Class::Address | Class::Client | Class::Clf | Class::Rfc3339 | Class::Status)
        || &*field.name == "msec"
}

/// The name of the variable that begins here, `name` or `{name}`, and what follows it.
fn name(text: &str) -> (&str, &str) {
    if let Some((name, after)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, after);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// The texts of the directive as one.
fn joined(text: &str) -> Result<String, String> {
    let text = match text.strip_prefix("log_format") {
        Some(rest) => rest.find(['\'', '"']).map(|at| &rest[at..]).ok_or("log_format: expected a text in quotes")?,
        None => text,
    };
    let text = text.trim().trim_end_matches(';').trim();
    // Without the directive, a quote at the start may belong to the format itself (`"$http_x_forwarded_for" ...`).
    let is_list = text.starts_with('\'')
        || (text.starts_with('"')
            && text[1..].starts_with(['{', '$'])
            && text.ends_with('"')
            && text.matches('"').count() == 2);
    if !is_list {
        return Ok(text.to_string());
    }
    let mut format = String::new();
    let mut chars = text.chars();
    while let Some(quote) = chars.next() {
        if quote.is_whitespace() {
            continue;
        }
        if quote != '\'' && quote != '"' {
            return Err("log_format: expected texts in quotes, with nothing but blanks between them".to_string());
        }
        loop {
            match chars.next().ok_or("log_format: expected a closing quote")? {
                c if c == quote => break,
                '\\' => format.extend(chars.next()),
                c => format.push(c),
            }
        }
    }
    Ok(format)
}

/// What the values of a variable look like.
fn class(name: &str) -> Class {
    match name {
        // There always is one.
        "remote_addr" | "realip_remote_addr" => Class::Client,
        "server_addr" => Class::Address,
        "time_local" => Class::Clf,
        "time_iso8601" => Class::Rfc3339,
        "msec" | "request_time" | "gzip_ratio" | "upstream_status" | "upstream_response_length" => Class::Number,
        "upstream_bytes_sent" | "upstream_bytes_received" => Class::Number,
        _ if name.starts_with("upstream_") && name.ends_with("_time") => Class::Number,
        "status" => Class::Status,
        "body_bytes_sent" | "bytes_sent" | "request_length" | "connection" | "connection_requests" | "pid" => {
            Class::Count
        }
        "server_port" | "remote_port" | "connection_time" => Class::Number,
        "request_id" => Class::Hex,
        "request_method" | "server_protocol" | "scheme" | "pipe" | "ssl_protocol" | "hostname" | "nginx_version" => {
            Class::Word
        }
        "upstream_addr" | "upstream_cache_status" | "proxy_upstream_name" | "proxy_alternative_upstream_name" => {
            Class::Blob
        }
        // What nginx has looked at, or was told: neither `$http_host` nor `$ssl_server_name` is.
        "host" | "server_name" => Class::Name,
        // nginx escapes quotes in everything that it writes.
        _ => Class::Phrase,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_read_as_it_stands() {
        let directive = "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '\n    '$status $body_bytes_sent ${request_time}s';";
        let expected = Form::parse(
            "<remote_addr:client> - <remote_user:phrase> [<time_local:clf>] \"<request:phrase>\" <status:status> <body_bytes_sent:count> <request_time:number>s",
        );
        assert_eq!(form(directive), expected);
        let plain = "\"$http_x_forwarded_for\" $remote_addr [$time_local] \"$request\" $status";
        assert_eq!(form(plain).map(|form| form.quotes), Ok(4));
        let json = "log_format j escape=json '{\"t\":$msec,\"ip\":\"$remote_addr\",\"u\":\"$request_uri\"}';";
        assert_eq!(form(json).map(|form| form.fields().count()), Ok(3));
    }

    #[test]
    fn who_and_when_is_never_nothing() {
        let format = r#"'{"t":$msec,"i":"$time_iso8601","ip":"$remote_addr","s":$status,"rt":$request_time,"us":"$upstream_status","id":"$request_id","m":"$request_method","h":"$http_host","a":"$http_user_agent","n":$connection }'"#;
        let form = form(format).expect("a form");
        let empty: Vec<&str> = form.fields().filter(|field| field.may_be_empty).map(|field| &*field.name).collect();
        assert_eq!(empty, ["request_time", "upstream_status", "request_id", "request_method"]);
    }

    #[test]
    fn a_host_that_nginx_refused_may_hold_anything() {
        let classes = |format: &str| -> Vec<Vec<Class>> {
            let forms = forms(format).expect("a form");
            forms
                .iter()
                .filter(|form| !form.lacks.any())
                .map(|form| form.fields().map(|field| field.class).collect())
                .collect()
        };
        let bare = classes("'$http_host $remote_addr [$time_local] $status'");
        let rest = [Class::Client, Class::Clf, Class::Status];
        assert_eq!(bare, [[&[Class::Name][..], &rest].concat(), [&[Class::Phrase][..], &rest].concat()]);
        let quoted = classes("'\"$http_host\" $remote_addr [$time_local] $status'");
        assert_eq!(quoted, [[&[Class::Phrase][..], &rest].concat()]);
    }

    #[test]
    fn a_line_may_have_nothing_at_its_ends() {
        let ends = |format: &str| -> Vec<Form> { forms(format).expect("a form").into_iter().skip(1).collect() };
        let named = |form: &Form| form.fields().map(|field| field.name.to_string()).collect::<Vec<_>>();
        let names: Vec<Vec<String>> =
            ends("'$host $remote_addr [$time_local] $status $http_user_agent'").iter().map(named).collect();
        assert_eq!(
            names,
            [
                &["host", "remote_addr", "time_local", "status"][..],
                &["remote_addr", "time_local", "status", "http_user_agent"],
                &["remote_addr", "time_local", "status"]
            ]
        );
        assert_eq!(ends("'$remote_addr [$time_local] \"$request\" $status'"), []);
        assert_eq!(ends("'$status $remote_addr [$time_local]'"), []);
    }

    #[test]
    fn a_target_may_be_in_parts() {
        let named = |format: &str| -> Vec<(String, Class)> {
            form(format).expect("a form").fields().skip(2).map(|field| (field.name.to_string(), field.class)).collect()
        };
        let field = |name: &str, class| (name.to_string(), class);
        assert_eq!(
            named("'$remote_addr $msec https://$host$request_uri $uri$is_args$args;'"),
            [
                field("host", Class::Authority),
                field("request_uri", Class::Phrase),
                field("uri_is_args_args", Class::Phrase)
            ]
        );
        let alone = named("'$remote_addr $msec $request_method $uri$is_args$args $status'");
        assert_eq!(alone[1], field("request_uri", Class::Phrase));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (bad, expected) in [
            ("'$status'", "$time_local"),
            ("'$time_local $status'", "$remote_addr"),
            ("'$remote_addr$msec'", "something between"),
            ("'$remote_addr $msec", "closing quote"),
            ("'$remote_addr $msec' x", "nothing but blanks"),
            ("'$remote_addr $ $msec'", "name of a variable"),
            ("log_format main", "text in quotes"),
        ] {
            let error = form(bad).expect_err(bad);
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
