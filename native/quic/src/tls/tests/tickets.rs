//! Tickets in other hands, or at other servers, than those that they were made for.

use super::super::*;
use super::pki::{Leaf, Pki};
use super::{Resuming, alpn, context, server_config, with_server};
use rustls::server::StoresServerSessions;

#[test]
fn a_ticket_opens_once_whoever_copied_it() {
    let store = SessionStore::new(8);
    assert!(store.put(b"ticket".to_vec(), b"session".to_vec()));
    assert_eq!(store.take(b"ticket"), Some(b"session".to_vec()));
    assert_eq!(store.take(b"ticket"), None, "what comes second has a whole handshake, which takes the key");
    assert_eq!(store.take(b"another"), None);
}

#[test]
fn tickets_beyond_the_capacity_push_out_others_and_no_more_are_held() {
    let store = SessionStore::new(8);
    for n in 0..1_000u32 {
        store.put(n.to_be_bytes().to_vec(), vec![0; 16]);
    }
    let held = (0..1_000u32).filter(|n| store.take(&n.to_be_bytes()).is_some()).count();
    assert!((1..=8).contains(&held), "{held}");
}

#[test]
fn a_ticket_of_one_server_is_nothing_to_another_of_the_same_authority() {
    let pki = Pki::new();
    let client = context(pki.material(Leaf::default()));
    let servers: Vec<_> = (0..2).map(|_| server_config(&context(pki.material(Leaf::default())))).collect();
    for (server, resumed) in [(0, false), (1, false), (1, true)] {
        let (a, b) = with_server(&client, servers[server].clone());
        assert!(a.is_up() && b.is_up(), "{a:?} {b:?}");
        assert_eq!(b.resumed(), resumed, "at server {server}");
    }
}

/// Whoever resumes proves that it holds the session, not the key: the server sees the chain of before.
#[test]
fn a_resumed_client_is_who_it_was_and_not_who_it_says() {
    let resumption = Resuming::new();
    let (_, first) = resumption.connect();
    let (_, second) = resumption.connect();
    assert!(!first.resumed() && second.resumed());
    assert_eq!(first.chain, second.chain);
    let another = context(Pki::new().material(Leaf::default()));
    let (client, _) = with_server(&another, resumption.server.clone());
    assert!(!client.is_up(), "without a ticket the certificate counts");
    assert!(another.client(&alpn()).is_ok());
}
