//! The API of the invented business: one table of endpoints with how often they are called, how long they take and how
//! much they return. Everything the traffic asks for, except what attackers guess, is a row here.
//!
//! Never: holds state.

use super::chance::Chance;

/// What an endpoint does; decides its query string, its ordinary errors and its success status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Item,
    Search,
    Create,
    Change,
    Delete,
    Export,
    Login,
    Refresh,
    /// Called without a credential: health, documentation, inbound webhooks.
    Open,
    /// In the table for the planted stories alone: ordinary traffic never calls it.
    Story,
}

pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// `{n}` stands for a number, `{u}` for a UUID, `{h}` for twelve hexadecimal digits.
    pub(super) path: &'static str,
    pub(super) service: &'static str,
    pub(super) kind: Kind,
    /// Share of ordinary calls, in no unit.
    pub(super) weight: u32,
    pub(super) latency_ms: u32,
    pub(super) response_bytes: u32,
}

const fn row(
    method: &'static str,
    path: &'static str,
    service: &'static str,
    kind: Kind,
    weight: u32,
    latency_ms: u32,
    response_bytes: u32,
) -> Endpoint {
    Endpoint { method, path, service, kind, weight, latency_ms, response_bytes }
}

use Kind::{Change, Create, Delete, Export, Item, List, Login, Open, Refresh, Search, Story};

#[rustfmt::skip]
pub(super) static ENDPOINTS: &[Endpoint] = &[
    row("POST", "/v1/auth/login", "auth", Login, 0, 140, 900),
    row("POST", "/v1/auth/refresh", "auth", Refresh, 60, 35, 850),
    row("POST", "/v1/auth/logout", "auth", Change, 12, 15, 120),
    row("GET", "/v1/users/me", "users", List, 160, 14, 780),
    row("GET", "/v1/users", "users", List, 40, 32, 6_400),
    row("GET", "/v1/users/{n}", "users", Item, 70, 18, 950),
    row("POST", "/v1/users", "users", Create, 4, 60, 700),
    row("PATCH", "/v1/users/{n}", "users", Change, 8, 45, 720),
    row("DELETE", "/v1/users/{n}", "users", Delete, 1, 50, 0),
    row("GET", "/v1/users/{n}/permissions", "users", Item, 18, 16, 600),
    row("GET", "/v1/teams", "users", List, 24, 22, 2_300),
    row("GET", "/v1/teams/{n}/members", "users", Item, 16, 26, 3_100),
    row("GET", "/v1/orders", "orders", List, 170, 42, 14_000),
    row("GET", "/v1/orders/{h}", "orders", Item, 210, 24, 2_100),
    row("POST", "/v1/orders", "orders", Create, 46, 90, 1_100),
    row("PATCH", "/v1/orders/{h}", "orders", Change, 36, 70, 1_200),
    row("POST", "/v1/orders/{h}/cancel", "orders", Change, 6, 80, 600),
    row("GET", "/v1/orders/{h}/items", "orders", Item, 84, 28, 3_800),
    row("POST", "/v1/orders/{h}/items", "orders", Create, 18, 55, 800),
    row("GET", "/v1/orders/{h}/history", "orders", Item, 22, 34, 2_700),
    row("GET", "/v1/invoices", "billing", List, 64, 48, 11_000),
    row("GET", "/v1/invoices/{n}", "billing", Item, 80, 25, 2_400),
    row("GET", "/v1/invoices/{n}/pdf", "billing", Item, 34, 160, 86_000),
    row("POST", "/v1/invoices", "billing", Create, 14, 95, 1_300),
    row("POST", "/v1/invoices/{n}/send", "billing", Change, 10, 120, 300),
    row("GET", "/v1/payments", "billing", List, 30, 46, 8_200),
    row("GET", "/v1/payments/{u}", "billing", Item, 36, 22, 1_250),
    row("POST", "/v1/payments", "billing", Create, 12, 310, 900),
    row("POST", "/v1/payments/{u}/refund", "billing", Change, 2, 280, 650),
    row("GET", "/v1/customers", "crm", List, 90, 40, 12_500),
    row("GET", "/v1/customers/{u}", "crm", Item, 130, 20, 1_700),
    row("POST", "/v1/customers", "crm", Create, 16, 65, 900),
    row("PATCH", "/v1/customers/{u}", "crm", Change, 22, 58, 950),
    row("GET", "/v1/customers/{u}/notes", "crm", Item, 40, 24, 2_900),
    row("POST", "/v1/customers/{u}/notes", "crm", Create, 14, 40, 500),
    row("GET", "/v1/contacts", "crm", List, 34, 36, 7_800),
    row("GET", "/v1/contacts/{n}", "crm", Item, 48, 18, 1_100),
    row("GET", "/v1/products", "catalog", List, 76, 30, 16_000),
    row("GET", "/v1/products/{n}", "catalog", Item, 96, 15, 2_200),
    row("PATCH", "/v1/products/{n}", "catalog", Change, 8, 50, 900),
    row("GET", "/v1/products/{n}/stock", "catalog", Item, 60, 12, 300),
    row("GET", "/v1/price-lists", "catalog", List, 14, 33, 9_400),
    row("GET", "/v1/documents", "documents", List, 38, 38, 6_900),
    row("GET", "/v1/documents/{u}", "documents", Item, 44, 21, 1_500),
    row("GET", "/v1/documents/{u}/content", "documents", Item, 26, 140, 120_000),
    row("POST", "/v1/documents", "documents", Create, 10, 180, 800),
    row("DELETE", "/v1/documents/{u}", "documents", Delete, 2, 48, 0),
    row("GET", "/v1/search", "search", Search, 88, 85, 9_800),
    row("POST", "/v1/search/saved", "search", Create, 3, 44, 500),
    row("GET", "/v1/reports", "reports", List, 22, 40, 4_200),
    row("GET", "/v1/reports/{n}", "reports", Item, 20, 220, 24_000),
    row("POST", "/v1/exports", "exports", Create, 4, 75, 420),
    row("GET", "/v1/exports/{u}", "exports", Item, 9, 18, 520),
    row("GET", "/v1/exports/{u}/download", "exports", Export, 5, 900, 240_000),
    row("GET", "/v1/notifications", "notify", List, 110, 16, 2_600),
    row("POST", "/v1/notifications/read", "notify", Change, 30, 20, 90),
    row("GET", "/v1/webhooks", "webhooks", List, 6, 24, 1_900),
    row("POST", "/v1/webhooks", "webhooks", Create, 1, 52, 600),
    row("POST", "/v1/webhooks/{h}/test", "webhooks", Change, 2, 240, 300),
    row("GET", "/v1/settings", "settings", List, 28, 14, 3_300),
    row("PATCH", "/v1/settings", "settings", Change, 3, 42, 3_300),
    row("GET", "/v1/audit-events", "settings", List, 8, 64, 18_000),
    row("POST", "/v1/inbound/payments", "billing", Open, 40, 30, 60),
    row("GET", "/status", "edge", Open, 60, 2, 90),
    row("GET", "/docs/openapi.json", "edge", Open, 4, 6, 64_000),
    row("GET", "/v1/shipments", "logistics", Story, 0, 38, 5_600),
    row("POST", "/v1/imports", "imports", Story, 0, 85, 700),
    row("GET", "/v1/jobs/{u}/result", "jobs", Story, 0, 16, 1_400),
    row("GET", "/v1/tax-tables/{n}", "billing", Story, 0, 30, 8_800),
];

impl Endpoint {
    /// The row of this method and path; the stories name their endpoints this way.
    pub(super) fn named(method: &str, path: &str) -> &'static Endpoint {
        ENDPOINTS.iter().find(|e| e.method == method && e.path == path).expect("a story names a row of the table")
    }

    /// Appends the path with fresh identifiers.
    pub(super) fn path_into(&self, chance: &mut Chance, out: &mut String) {
        let mut rest = self.path;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            identifier(rest.as_bytes()[at + 1], chance.bits(), out);
            rest = &rest[at + 3..];
        }
        out.push_str(rest);
    }

    /// Appends the query string this endpoint is usually called with, without the question mark.
    pub(super) fn query_into(&self, chance: &mut Chance, out: &mut String) {
        use std::fmt::Write;
        let written = match self.kind {
            List if self.weight > 20 && chance.in_ten_thousand(6_000) => {
                write!(out, "page={}&limit={}", 1 + chance.below(12), chance.pick(&[20, 50, 100]))
            }
            Search => {
                let word = chance.pick(&["invoice", "annual+plan", "overdue", "berlin", "spare+parts", "renewal"]);
                write!(out, "q={word}&limit=25")
            }
            Export => write!(out, "format={}&from=2025-12-01", chance.pick(&["csv", "xlsx", "json"])),
            _ => Ok(()),
        };
        debug_assert!(written.is_ok(), "a String takes any text");
    }

    /// Status of a call that succeeds.
    pub(super) fn success(&self) -> u16 {
        match self.kind {
            Create => 201,
            Delete => 204,
            _ => 200,
        }
    }

    /// Status of an ordinary call: 2 to 4 % client errors, 0.3 % server errors over the whole.
    pub(super) fn ordinary_status(&self, chance: &mut Chance) -> u16 {
        let draw = chance.below(10_000);
        match draw {
            0..12 => return 500,
            12..20 => return 502,
            20..26 => return 503,
            26..30 => return 504,
            30..50 => return 429,
            _ if self.kind == Open => return 200,
            50..85 => return 401,
            85..115 => return 403,
            _ => {}
        }
        match (self.kind, draw) {
            (Item | Export | Delete, 115..330) => 404,
            (Create | Change, 115..225) => 400,
            (Create | Change, 225..375) => 422,
            (Create | Change, 375..415) => 409,
            (Search, 115..175) | (List, 115..145) => 400,
            (List | Item, 500..900) => 304,
            _ => self.success(),
        }
    }
}

/// Appends one identifier of the given kind, made from `bits`.
fn identifier(kind: u8, bits: u64, out: &mut String) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let digits = |out: &mut String, bits: u64, n: u32| {
        (0..n).for_each(|i| out.push(char::from(HEX[(bits >> (4 * i)) as usize & 15])));
    };
    match kind {
        b'n' => {
            let mut number = 100_000 + bits % 8_900_000;
            let mut text = [0u8; 8];
            let mut at = text.len();
            while number > 0 {
                at -= 1;
                text[at] = b'0' + (number % 10) as u8;
                number /= 10;
            }
            text[at..].iter().for_each(|&digit| out.push(char::from(digit)));
        }
        b'h' => digits(out, bits, 12),
        _ => {
            digits(out, bits, 8);
            out.push('-');
            digits(out, bits >> 32, 4);
            out.push_str("-4");
            digits(out, bits >> 7, 3);
            out.push_str("-8");
            digits(out, bits >> 48, 3);
            out.push('-');
            digits(out, bits.wrapping_mul(0x9e37_79b9_7f4a_7c15), 12);
        }
    }
}
