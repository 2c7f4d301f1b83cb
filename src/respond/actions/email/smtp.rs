//! One mail over SMTP (RFC 5321), encrypted from the first byte or by STARTTLS (RFC 3207), behind a login (RFC 4954).
//!
//! Promises: a session is one future, so that giving it up closes its connection, whatever the server does meanwhile; what is
//! read of a reply is bounded. What a server refuses for good is told apart from what passes.
//! Never: goes on in the clear where encryption was asked for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::respond::action::scrub;
use crate::respond::config::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a line of a reply, and lines of one.
const LINE_BYTES_MAX: u64 = 4 * 1024;
const LINES_MAX: usize = 100;

/// How a mail gets to its server.
pub struct Route {
    pub host: String,
    pub port: u16,
    pub encryption: super::Encryption,
    pub tls: TlsConnector,
    pub login: Option<(Secret, Secret)>,
}

/// Why a mail was not taken.
#[derive(Debug)]
pub enum Failure {
    /// It may be later.
    Passing(String),
    /// It never will.
    Final(String),
}

/// Encryption that trusts the system's certificates and these.
pub fn connector(more: Option<&Secret>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = more {
        let wrong = || "expected certificates in PEM".to_owned();
        let certificates = CertificateDer::pem_slice_iter(pem.reveal().as_bytes());
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|_| wrong())?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(wrong());
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Route {
    /// Hands over one mail; what the server said to it.
    pub async fn send(&self, from: &str, to: &[String], mail: &[u8]) -> Result<String, Failure> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).flatten().map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let mut session = match self.encryption {
            super::Encryption::Tls => Session::new(Box::new(self.encrypt(stream).await?)),
            super::Encryption::Starttls | super::Encryption::None => Session::new(Box::new(stream)),
        };
        session.expect(220).await?;
        let mut offers = session.greet().await?;
        if self.encryption == super::Encryption::Starttls {
            if !offers.iter().any(|offer| offer == "STARTTLS") {
                return Err(Failure::Final("the server does not offer STARTTLS".to_owned()));
            }
            session.ask("STARTTLS", 220).await?;
            // What came before the change counts for nothing, not even what is read already.
            session = Session::new(Box::new(self.encrypt(session.stream.into_inner()).await?));
            offers = session.greet().await?;
        }
        if let Some((user, password)) = &self.login {
            session.log_in(&offers, user.reveal(), password.reveal()).await?;
        }
        session.ask(&format!("MAIL FROM:<{from}>"), 250).await?;
        for address in to {
            session.ask(&format!("RCPT TO:<{address}>"), 250).await?;
        }
        session.ask("DATA", 354).await?;
        session.write(&stuffed(mail)).await?;
        let said = session.expect(250).await?;
        // The mail is taken; what the server makes of this changes nothing.
        let _ = session.write(b"QUIT\r\n").await;
        Ok(said.join(" "))
    }

    async fn encrypt<S: Stream>(&self, stream: S) -> Result<TlsStream<S>, Failure> {
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| Failure::Final(format!("`{}` is no name of a server", scrub(&self.host))))?;
        self.tls.connect(name, stream).await.map_err(broken)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

impl Session {
    fn new(stream: Box<dyn Stream>) -> Session {
        Session { stream: BufReader::new(stream) }
    }

    /// What the server offers, in capital letters.
    async fn greet(&mut self) -> Result<Vec<String>, Failure> {
        let offers = self.ask(&format!("EHLO {}", ClientId::default()), 250).await?;
        Ok(offers.into_iter().skip(1).map(|offer| offer.to_ascii_uppercase()).collect())
    }

    async fn log_in(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), Failure> {
        let ways = || offers.iter().filter_map(|offer| offer.strip_prefix("AUTH ")).flat_map(str::split_whitespace);
        if ways().any(|way| way == "PLAIN") {
            let words = STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(&format!("AUTH PLAIN {words}"), 235).await?;
        } else if ways().any(|way| way == "LOGIN") {
            self.ask("AUTH LOGIN", 334).await?;
            self.ask(&STANDARD.encode(user), 334).await?;
            self.ask(&STANDARD.encode(password), 235).await?;
        } else {
            return Err(Failure::Final("the server offers no login by PLAIN or LOGIN".to_owned()));
        }
        Ok(())
    }

    async fn ask(&mut self, command: &str, wanted: u16) -> Result<Vec<String>, Failure> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.expect(wanted).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// The lines of the next reply, the first with its code. Any success stands for another: 251 for 250.
    async fn expect(&mut self, wanted: u16) -> Result<Vec<String>, Failure> {
        let (code, lines) = self.reply().await.map_err(broken)?;
        match code {
            _ if code / 100 == wanted / 100 => Ok(lines),
            500..600 => Err(Failure::Final(scrub(&lines.join(" ")))),
            _ => Err(Failure::Passing(scrub(&lines.join(" ")))),
        }
    }

    async fn reply(&mut self) -> io::Result<(u16, Vec<String>)> {
        let strange = || io::Error::new(io::ErrorKind::InvalidData, "the server's reply is not SMTP");
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut line = Vec::new();
            (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(line.strip_suffix(b"\n").ok_or_else(strange)?).into_owned();
            let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(strange)?;
            let text = line.get(4..).unwrap_or_default().trim_end();
            lines.push(if lines.is_empty() { format!("{code} {text}") } else { text.to_owned() });
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, lines));
            }
        }
        Err(strange())
    }
}

/// A network that fails passes; so does a certificate that is not trusted, once it is replaced.
fn broken(error: io::Error) -> Failure {
    Failure::Passing(scrub(&error.to_string()))
}

/// A mail as it goes over the wire: a line that begins with a dot has one more, and a dot alone ends it.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(mail.len() + 16);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            bytes.push(b'.');
        }
        bytes.extend_from_slice(line);
    }
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b".\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::stuffed;

    #[test]
    fn no_line_of_a_mail_ends_it() {
        assert_eq!(stuffed(b"a\r\n.\r\n.b"), b"a\r\n..\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(b"a\r\n"), b"a\r\n.\r\n");
    }
}
