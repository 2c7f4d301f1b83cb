//! Messages over TCP and UDP on loopback: what is handed over, when the end of a connection is an answer, and when it is
//! a reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream, UdpSocket as StdUdp};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::ingest::Source;
use crate::ingest::network::Networks;
use crate::ingest::push::PushSource;
use crate::ingest::spool::{self, SpoolConfig, SpoolKey};
use crate::ingest::testing::{Told, clock, next, nothing};

struct Setup {
    tcp: SocketAddr,
    udp: SocketAddr,
    source: PushSource<Listening>,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Setup {
    fn new(change: impl FnOnce(&mut SyslogConfig)) -> Setup {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let spool_config = SpoolConfig {
            folder: folder.path().join("edge"),
            source: "edge".to_owned(),
            key: SpoolKey { id: "p1".to_owned(), bytes: [3; 32] },
            bytes_max: 1 << 20,
            idle_after: Duration::from_secs(5),
        };
        let (clock, _) = clock();
        let (spool, source) =
            spool::open(spool_config, nothing().as_ref(), ReadLimits::default(), clock.clone()).expect("a spool");
        let tcp = StdListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let udp = StdUdp::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let mut config = SyslogConfig {
            udp: Some(udp),
            tcp: Some(tcp),
            tls: None,
            message_max: 1000,
            connections_max: 8,
            first_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(600),
            allow: Networks::default(),
        };
        change(&mut config);
        let inlet = Inlet { source: "edge".into(), config, limits: ReadLimits::default(), clock, spool };
        let listening = listen(runtime.handle(), inlet).expect("listens");
        let mut source = PushSource::new(listening, source);
        assert_eq!(next(&mut source), Told::Opened(0));
        Setup { tcp, udp, source, _folder: folder, _runtime: runtime }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("settable");
        stream
    }
}

#[test]
fn the_end_of_a_connection_is_answered_when_all_is_on_disk() {
    let mut setup = Setup::new(|_| {});
    let mut stream = setup.connect();
    stream.write_all(b"<190>one\n12 <190>two\nlin<190>three, without an end").expect("written");
    stream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(stream.read(&mut [0; 1]).expect("ended well"), 0);
    // Of the counted one each line is a record.
    assert_eq!(next(&mut setup.source), Told::Records(0, 4, 8 + 8 + 3 + 26, 4));
}

#[test]
fn every_other_end_is_a_reset() {
    let mut setup = Setup::new(|config| config.idle_timeout = Duration::from_millis(200));
    for wrong in [&b"8 <190>one!!"[..], b"40 <190>cut"] {
        let mut stream = setup.connect();
        stream.write_all(wrong).expect("written");
        // The first one may have been reset by now.
        let _reset = stream.shutdown(Shutdown::Write).is_err();
        assert_eq!(stream.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    }
    // What came whole before the fault is kept.
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 8, 1));
    let mut silent = setup.connect();
    silent.write_all(b"<190>one").expect("written");
    assert_eq!(silent.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);

    let mut setup = Setup::new(|_| {});
    let mut open = setup.connect();
    open.write_all(b"<190>one\n<190>half").expect("written");
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 8, 1));
    drop(setup.source);
    assert_eq!(open.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_full_spool_stops_the_reading_until_there_is_room() {
    let mut setup = Setup::new(|_| {});
    let mut stream = setup.connect();
    let line = format!("<190>{}\n", "x".repeat(894));
    // More than the spool holds.
    let sender = std::thread::spawn(move || {
        for _ in 0..3000 {
            stream.write_all(line.as_bytes()).expect("taken in the end");
        }
        stream.shutdown(Shutdown::Write).expect("ended");
        stream.read(&mut [0; 1]).expect("ended well")
    });
    let (mut records, lane) = (0, schemas::Lane::new("edge", 0));
    while records < 3000 {
        let Told::Records(_, count, _, position) = next(&mut setup.source) else { panic!("records") };
        records += count;
        setup.source.committed(&[(lane.clone(), position)]).expect("committed");
    }
    assert_eq!(sender.join().expect("no panic"), 0);
}

#[test]
fn a_message_over_the_limit_is_told_by_its_length() {
    let mut setup = Setup::new(|_| {});
    let mut stream = setup.connect();
    stream.write_all(format!("<190>{}\n", "x".repeat(5000)).as_bytes()).expect("written");
    stream.shutdown(Shutdown::Write).expect("ended");
    assert_eq!(stream.read(&mut [0; 1]).expect("ended well"), 0);
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 5005, 1));
}

#[test]
fn datagrams_are_messages() {
    let mut setup = Setup::new(|_| {});
    let sender = StdUdp::bind("127.0.0.1:0").expect("a port");
    let mut position = 0;
    // Two lines in one are two records.
    for (datagram, records, length) in
        [(&b"<190>one\n"[..], 1, 8), (b"<190>two\nlines\0", 2, 13), (&[b'x'; 4000][..], 1, 4000)]
    {
        sender.send_to(b"\n", setup.udp).expect("sent");
        sender.send_to(datagram, setup.udp).expect("sent");
        position += records;
        assert_eq!(next(&mut setup.source), Told::Records(0, records, length, position as i64));
    }
}

#[test]
fn who_may_not_send_is_not_heard() {
    let mut setup =
        Setup::new(|config| config.allow = Networks::parse(&["192.0.2.0/24".to_owned()]).expect("a network"));
    let mut stream = setup.connect();
    assert_eq!(stream.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    let sender = StdUdp::bind("127.0.0.1:0").expect("a port");
    sender.send_to(b"<190>one", setup.udp).expect("sent");
    drop(stream);
    assert!(matches!(setup.source.next(Duration::from_millis(200)), Ok(None)));
}

#[test]
fn one_peer_does_not_get_all_connections_and_one_more_is_reset() {
    let mut setup = Setup::new(|config| config.connections_max = 4);
    let mut open = [setup.connect(), setup.connect()];
    // It may be reset before it is known to be there.
    let refused = TcpStream::connect(setup.tcp).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.read(&mut [0; 1])
    });
    assert_eq!(refused.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    open[1].write_all(b"<190>one\n").expect("written");
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 8, 1));
}

#[test]
fn a_connection_that_never_says_anything_is_closed_soon() {
    let mut setup = Setup::new(|config| config.first_timeout = Duration::from_millis(200));
    let mut silent = setup.connect();
    assert_eq!(silent.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    // One that said something may be silent for longer.
    let mut speaking = setup.connect();
    speaking.write_all(b"<190>one\n").expect("written");
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 8, 1));
    let mut silent = setup.connect();
    assert_eq!(silent.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    speaking.write_all(b"<190>two\n").expect("written");
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 8, 2));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let setup = Setup::new(|_| {});
    let runtime = Runtime::new().expect("a runtime");
    let error = accept::bind(runtime.handle(), setup.tcp).expect_err("taken").to_string();
    assert!(
        error.starts_with(&format!("{}: cannot listen: ", setup.tcp)) && error.contains("another program"),
        "{error}"
    );
}

#[test]
fn each_line_of_a_message_is_a_record_and_json_stays_whole() {
    let mut setup = Setup::new(|_| {});
    let udp = StdUdp::bind("127.0.0.1:0").expect("a port");
    udp.send_to(b"<190>one\r\ntwo\n\nthree\n", setup.udp).expect("sent");
    assert_eq!(next(&mut setup.source), Told::Records(0, 3, 8 + 3 + 5, 3));
    udp.send_to(b"<190>app: {\n \"status\": 200\n}\n", setup.udp).expect("sent");
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 28, 4));
}
