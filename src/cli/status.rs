//! `gatewatch status`: how the running service is, as one screen.

pub(super) mod screen;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::{Failure, output, shell, usage};
use crate::app;
use crate::config::{Config, Listen, ObserveSection};
use crate::observe::Status;

/// Show how the running service is: sources, detection, response, and warnings with what to do about them.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch status                                   the service on this machine, at 127.0.0.1:9477
  gatewatch status --config /etc/gatewatch/gatewatch.yaml
  gatewatch status --url http://192.0.2.10:9477 --json
  gatewatch status --watch

Exit status 1 also when nothing answers there, and when the service is not healthy (as /healthz).")]
pub struct Args {
    /// The configuration of the service, which says where it listens (observe.listen).
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Where it listens [default: $GATEWATCH_OBSERVE_LISTEN, or http://127.0.0.1:9477].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The status as JSON, as the service tells it.
    #[arg(long)]
    json: bool,
    /// Show it again every two seconds, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// How long an answer may take, and how large it may be.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 16 << 20;
const AGAIN_EVERY: Duration = Duration::from_secs(2);
/// Clears a terminal.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub fn run(args: &Args) -> Result<(), Failure> {
    let base = base(args).map_err(usage)?;
    let runtime = app::runtime()?;
    if !args.watch {
        return show(args, &runtime.block_on(fetch(&base))?, "");
    }
    runtime.block_on(async {
        let mut beat = tokio::time::interval(AGAIN_EVERY);
        let before = if std::io::stdout().is_terminal() { CLEAR } else { "" };
        loop {
            beat.tick().await;
            show(args, &fetch(&base).await?, before)?;
        }
    })
}

/// The address without a path.
fn base(args: &Args) -> anyhow::Result<reqwest::Url> {
    let text = match (&args.url, &args.config) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => address(Config::load(file)?.observe.listen()?)
            .ok_or_else(|| anyhow!("{}: observe.listen is off: the service cannot be asked", file.display()))?,
        (None, None) => address(ObserveSection::default().listen()?)
            .ok_or_else(|| anyhow!("GATEWATCH_OBSERVE_LISTEN is off; name the address with --url"))?,
    };
    let expected = "expected an address such as http://127.0.0.1:9477";
    let url = reqwest::Url::parse(&text).map_err(|error| anyhow!("--url {text:?}: {error}; {expected}"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(anyhow!("--url {text:?}: {expected}"));
    }
    Ok(url)
}

/// Where to ask a service that listens there: one that listens on all addresses is asked on loopback.
fn address(listen: Listen) -> Option<String> {
    let Listen::At(address) = listen else { return None };
    let address = match address {
        SocketAddr::V4(at) if at.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], at.port())),
        SocketAddr::V6(at) if at.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, at.port())),
        address => address,
    };
    Some(format!("http://{address}"))
}

async fn fetch(base: &reqwest::Url) -> anyhow::Result<String> {
    let mut url = base.clone();
    url.set_path("/status");
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
    let mut response = client.get(url).send().await.map_err(|error| {
        let why = if error.is_timeout() { "does not answer" } else { "nothing answers" };
        let program = shell::program();
        anyhow!(
            "{base}: {why}: is the service running, and is this where it listens? observe.listen in its configuration says \
             where; `{program} status --config FILE` takes it from there, or name it with --url"
        )
    })?;
    if !response.status().is_success() {
        return Err(anyhow!("{base}: answers {}; expected a Gatewatch service", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.with_context(|| base.to_string())? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(anyhow!("{base}: answers more than {ANSWER_BYTES_MAX} bytes; expected a Gatewatch service"));
        }
    }
    String::from_utf8(body).map_err(|_| anyhow!("{base}: does not answer text; expected a Gatewatch service"))
}

fn show(args: &Args, answer: &str, before: &str) -> Result<(), Failure> {
    let status: Status =
        serde_json::from_str(answer).context("what answers there is not a Gatewatch service of this version")?;
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&status)?),
        false => screen::render(&status),
    };
    output::stdout(format!("{before}{text}").as_bytes())?;
    match status.unhealthy {
        Some(why) if !args.watch => Err(anyhow!("the service is not healthy: {why}").into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_asked_on_loopback() {
        let asked = |text: &str| address(text.parse().expect("an address"));
        assert_eq!(asked("0.0.0.0:9000").as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(asked("[::]:9000").as_deref(), Some("http://[::1]:9000"));
        assert_eq!(asked("192.0.2.1:9000").as_deref(), Some("http://192.0.2.1:9000"));
        assert_eq!(asked("off"), None);
    }
}
