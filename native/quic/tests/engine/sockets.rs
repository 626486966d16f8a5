//! Local TCP: read by the owner, dialled, spliced.

use crate::support::*;
use bytes::Bytes;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;
use ztna_quic::engine::{Command, Event, Id, SpliceEnd, TransportOptions};

#[test]
fn the_owner_reads_and_writes_tcp() {
    let mut owner = alone();
    let (socket, mut app) = accepted(&mut owner);
    app.write_all(b"hello").expect("write");
    assert_eq!(tcp_read(&mut owner, socket, 3), Ok(Some(Bytes::from_static(b"hel"))));
    assert_eq!(tcp_read(&mut owner, socket, 100), Ok(Some(Bytes::from_static(b"lo"))));
    owner.send(Command::TcpWrite { socket, data: Bytes::from_static(b"back"), report: true });
    assert_eq!(tcp_written(&mut owner, socket), None);
    let mut back = [0; 4];
    app.read_exact(&mut back).expect("read");
    assert_eq!(&back, b"back");
    app.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(tcp_read(&mut owner, socket, 100), Ok(None));
    owner.send(Command::TcpClose { socket, reset: false });
    assert_eq!(app.read(&mut back).expect("read"), 0);
}

#[test]
fn closing_tcp_sends_what_was_written_and_reset_does_not_wait() {
    let mut owner = alone();
    let (socket, mut app) = accepted(&mut owner);
    // More than the kernel takes at once.
    let sent = pattern(24 << 20, 1);
    owner.send(Command::TcpWrite { socket, data: sent.clone(), report: false });
    owner.send(Command::TcpClose { socket, reset: false });
    let mut received = vec![];
    app.read_to_end(&mut received).expect("read");
    assert!(received == sent);

    let (socket, mut app) = accepted(&mut owner);
    owner.send(Command::TcpClose { socket, reset: true });
    assert_eq!(app.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn dialling_tells_success_and_refusal() {
    let mut owner = alone();
    let listener = TcpListener::bind(loopback()).expect("listener");
    let to = listener.local_addr().expect("address");
    let socket = owner.id();
    owner.send(Command::DialTcp { socket, remote: to, timeout: WAIT });
    assert_eq!(dialled(&mut owner, socket), None);
    drop(listener);
    let socket = owner.id();
    owner.send(Command::DialTcp { socket, remote: to, timeout: WAIT });
    assert_eq!(dialled(&mut owner, socket), Some(ErrorKind::ConnectionRefused));
    assert_eq!(tcp_read(&mut owner, socket, 1), Err(ErrorKind::NotConnected));
}

#[test]
fn a_dial_without_answer_ends_by_its_timeout() {
    let mut owner = alone();
    // A full backlog leaves SYNs unanswered.
    let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    raw.bind(&loopback().into()).expect("bind");
    raw.listen(0).expect("listen");
    let to = raw.local_addr().expect("address").as_socket().expect("IP");
    let mut fillers = vec![];
    for _ in 0..8 {
        let filler =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
        filler.set_nonblocking(true).expect("nonblocking");
        let _ = filler.connect(&to.into());
        fillers.push(filler);
    }
    let socket = owner.id();
    owner.send(Command::DialTcp { socket, remote: to, timeout: Duration::from_millis(200) });
    assert_eq!(dialled(&mut owner, socket), Some(ErrorKind::TimedOut));
}

#[test]
fn a_splice_carries_both_directions_and_each_end_by_itself() {
    let mut s = Spliced::start();
    let (ask, answer) = (pattern(8 << 20, 2), pattern(8 << 20, 3));
    let app = s.app.try_clone().expect("clone");
    let sent = ask.clone();
    let writer = std::thread::spawn(move || {
        (&app).write_all(&sent).expect("write");
        app.shutdown(Shutdown::Write).expect("shutdown");
    });
    let mut asked = vec![];
    s.backend.read_to_end(&mut asked).expect("the end comes through");
    writer.join().expect("writer");
    assert!(asked == ask);
    // Only now does the other direction begin: half-close has kept it open.
    let backend = s.backend.try_clone().expect("clone");
    let sent = answer.clone();
    let writer = std::thread::spawn(move || {
        (&backend).write_all(&sent).expect("write");
        backend.shutdown(Shutdown::Write).expect("shutdown");
    });
    let mut answered = vec![];
    s.app.read_to_end(&mut answered).expect("the end comes through");
    writer.join().expect("writer");
    assert!(answered == answer);
    let total = 8 << 20;
    assert_eq!(s.done_at_client(), (total, total, SpliceEnd::Finished));
    assert_eq!(s.done_at_server(), (total, total, SpliceEnd::Finished));
}

#[test]
fn both_directions_of_a_splice_run_at_once() {
    let s = Spliced::start();
    let pump = |socket: TcpStream, seed| {
        let reader = socket.try_clone().expect("clone");
        let writing = std::thread::spawn(move || {
            (&socket).write_all(&pattern(16 << 20, seed)).expect("write");
            socket.shutdown(Shutdown::Write).expect("shutdown");
        });
        let reading = std::thread::spawn(move || {
            let mut all = vec![];
            (&reader).read_to_end(&mut all).expect("read");
            all
        });
        (writing, reading)
    };
    let at_app = pump(s.app.try_clone().expect("clone"), 4);
    let at_backend = pump(s.backend.try_clone().expect("clone"), 5);
    assert!(at_app.1.join().expect("reader") == pattern(16 << 20, 5));
    assert!(at_backend.1.join().expect("reader") == pattern(16 << 20, 4));
    at_app.0.join().expect("writer");
    at_backend.0.join().expect("writer");
}

#[test]
fn first_bytes_of_a_splice_go_before_the_sockets() {
    let mut s = Spliced::start_with(b"from the client owner, ", b"from the server owner, ");
    s.app.write_all(b"from the app").expect("write");
    s.app.shutdown(Shutdown::Write).expect("shutdown");
    s.backend.write_all(b"from the backend").expect("write");
    s.backend.shutdown(Shutdown::Write).expect("shutdown");
    let mut at_backend = String::new();
    s.backend.read_to_string(&mut at_backend).expect("read");
    assert_eq!(at_backend, "from the client owner, from the app");
    let mut at_app = String::new();
    s.app.read_to_string(&mut at_app).expect("read");
    assert_eq!(at_app, "from the server owner, from the backend");
}

#[test]
fn a_splice_holds_the_sender_back_while_nobody_reads() {
    let mut s = Spliced::start();
    s.app.set_nonblocking(true).expect("nonblocking");
    let piece = pattern(256 << 10, 6);
    let most = 256usize << 20;
    let mut sent = 0;
    // Everything between the two applications is bounded, so the kernel has to say no at some time.
    let mut refused = 0;
    while refused < 50 {
        match s.app.write(&piece[sent % piece.len()..]) {
            Ok(n) => {
                sent += n;
                refused = 0;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                s.client.settle();
                std::thread::park_timeout(Duration::from_millis(2));
            }
            Err(e) => panic!("{e}"),
        }
        assert!(sent < most, "nobody holds the sender back");
    }
    s.app.shutdown(Shutdown::Write).expect("shutdown");
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = s.backend.read(&mut buffer).expect("read");
        if n == 0 {
            break;
        }
        let at = received % piece.len();
        let same =
            buffer[..n].iter().zip(piece[at..].iter().chain(piece.iter().cycle())).all(|(a, b)| a == b);
        assert!(same, "other bytes after {received}");
        received += n;
    }
    assert_eq!(received, sent);
}

#[test]
fn a_reset_of_the_local_application_reaches_the_backend() {
    let mut s = Spliced::start();
    s.app.write_all(b"x").expect("write");
    s.backend.read_exact(&mut [0; 1]).expect("read");
    let Spliced { app, mut backend, mut client, mut server, link, stream } = s;
    reset(app);
    assert_eq!(backend.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(done(&mut client, link.client, stream), (1, 0, SpliceEnd::TcpReset));
    assert_eq!(done(&mut server, link.server, stream).2, SpliceEnd::StreamReset);
}

#[test]
fn a_reset_of_the_backend_reaches_the_local_application() {
    let mut s = Spliced::start();
    s.backend.write_all(b"x").expect("write");
    s.app.read_exact(&mut [0; 1]).expect("read");
    let Spliced { mut app, backend, mut client, mut server, link, stream } = s;
    reset(backend);
    assert_eq!(app.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(done(&mut server, link.server, stream), (1, 0, SpliceEnd::TcpReset));
    assert_eq!(done(&mut client, link.client, stream).2, SpliceEnd::StreamReset);
}

#[test]
fn a_splice_ends_with_its_connection() {
    let mut s = Spliced::start();
    s.app.write_all(b"x").expect("write");
    s.backend.read_exact(&mut [0; 1]).expect("read");
    s.client.close(s.link.client, 0, "");
    assert_eq!(s.app.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(s.backend.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(s.done_at_client(), (1, 0, SpliceEnd::Closed));
    assert_eq!(s.done_at_server(), (0, 1, SpliceEnd::Closed));
}

#[test]
fn splicing_a_socket_that_is_gone_resets_the_stream() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, true);
    client.write(link.client, stream, &b"x"[..], false);
    let (at_server, ..) = server.stream(link.server);
    splice(&server, link.server, at_server, 4_444, b"");
    assert!(client.read(link.client, stream, 1).is_err());
    assert_eq!(done(&mut server, link.server, at_server).2, SpliceEnd::TcpReset);
    client.write_reported(link.client, stream, &b"y"[..]);
    assert!(client.written(link.client, stream).is_some());
}

fn alone() -> Owner {
    Owner::start(client_endpoint(Pki::new().material("alone")))
}

/// A TCP connection to a listener of the engine: its id, and the application's end.
fn accepted(owner: &mut Owner) -> (Id, TcpStream) {
    let listener = owner.id();
    let listener_socket = TcpListener::bind(loopback()).expect("listener");
    let address = listener_socket.local_addr().expect("address");
    owner.send(Command::ListenTcp { listener, listener_socket });
    let app = TcpStream::connect(address).expect("connect");
    app.set_read_timeout(Some(WAIT)).expect("timeout");
    let (socket, remote) = owner.wait_for("TCP connection", |e| match e {
        Event::TcpAccepted { listener: l, socket, remote } if *l == listener => Some((*socket, *remote)),
        _ => None,
    });
    assert_eq!(remote, app.local_addr().expect("address"));
    (socket, app)
}

fn tcp_read(owner: &mut Owner, socket: Id, max: usize) -> Result<Option<Bytes>, ErrorKind> {
    owner.send(Command::TcpRead { socket, max });
    owner.wait_for("bytes of a socket", |e| match e {
        Event::TcpRead { socket: s, data } if *s == socket => Some(data.clone()),
        _ => None,
    })
}

fn tcp_written(owner: &mut Owner, socket: Id) -> Option<ErrorKind> {
    owner.wait_for("end of writing", |e| match e {
        Event::TcpWritten { socket: s, error } if *s == socket => Some(*error),
        _ => None,
    })
}

fn dialled(owner: &mut Owner, socket: Id) -> Option<ErrorKind> {
    owner.wait_for("answer to a dial", |e| match e {
        Event::TcpConnected { socket: s, error, .. } if *s == socket => Some(*error),
        _ => None,
    })
}

/// An application and a backend joined by two splices over one stream.
struct Spliced {
    client: Owner,
    server: Owner,
    link: Link,
    stream: u64,
    app: TcpStream,
    backend: TcpStream,
}

impl Spliced {
    fn start() -> Self {
        Self::start_with(b"", b"")
    }

    fn start_with(from_client: &'static [u8], from_server: &'static [u8]) -> Self {
        // Windows small against what the tests send, so that they are felt.
        let transport = || TransportOptions { stream_window: 512 << 10, ..TransportOptions::default() };
        let (mut client, mut server, link) = pair_with(transport(), transport());
        let (socket, app) = accepted(&mut client);
        let stream = client.open(link.client, true);
        client.write(link.client, stream, &b"open"[..], false);
        splice(&client, link.client, stream, socket, from_client);

        let listener = TcpListener::bind(loopback()).expect("listener");
        let dialled_socket = server.id();
        let remote = listener.local_addr().expect("address");
        server.send(Command::DialTcp { socket: dialled_socket, remote, timeout: WAIT });
        assert_eq!(dialled(&mut server, dialled_socket), None);
        let backend = listener.accept().expect("accept").0;
        backend.set_read_timeout(Some(WAIT)).expect("timeout");
        let (at_server, _, first) = server.stream(link.server);
        // What came along beyond the greeting belongs to the splice.
        assert!(first.starts_with(b"open"), "{first:?}");
        let (conn, stream_id, socket) = (link.server, at_server, dialled_socket);
        let rest = first.slice(4..);
        server.send(Command::SpliceReceive {
            conn,
            stream: stream_id,
            socket,
            first: rest,
            expect: Bytes::new(),
        });
        let first = Bytes::from_static(from_server);
        server.send(Command::SpliceSend { conn, stream: stream_id, socket, first });
        Self { client, server, link, stream, app, backend }
    }

    fn done_at_client(&mut self) -> (u64, u64, SpliceEnd) {
        done(&mut self.client, self.link.client, self.stream)
    }

    fn done_at_server(&mut self) -> (u64, u64, SpliceEnd) {
        done(&mut self.server, self.link.server, self.stream)
    }
}

fn splice(owner: &Owner, conn: Id, stream: u64, socket: Id, first: &'static [u8]) {
    owner.send(Command::SpliceSend { conn, stream, socket, first: Bytes::from_static(first) });
    owner.send(Command::SpliceReceive { conn, stream, socket, first: Bytes::new(), expect: Bytes::new() });
}

/// Bytes to the stream, bytes to the socket, and how it ended.
fn done(owner: &mut Owner, conn: Id, stream: u64) -> (u64, u64, SpliceEnd) {
    owner.wait_for("end of the splice", |e| match e {
        Event::SpliceDone { conn: c, stream: s, sent, received, end } if (*c, *s) == (conn, stream) => {
            Some((*sent, *received, *end))
        }
        _ => None,
    })
}

/// Closes so that the other side sees a reset.
fn reset(socket: TcpStream) {
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("linger");
}
