//! Tickets in other hands, or at other servers, than those that they were made for.

use super::super::*;
use super::pair::handshake;
use super::pki::{Leaf, Pki};
use super::{alpn, assert_refused, context, server_config, with_server};
use rustls::SignatureScheme;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whoever sees a handshake sees the ticket that is shown in it, but not the secret that belongs to the ticket.
#[test]
fn a_ticket_without_its_secret_resumes_nobodys_session() {
    let pki = Pki::new();
    let [victim, thief] = [1, 2].map(|serial| context(pki.material(Leaf { serial, ..Leaf::default() })));
    let store = Arc::new(FirstForAll::new());
    let server = context(pki.material(Leaf::default()));
    let server = server.make_server(&alpn(), true, Some(store.clone())).expect("server");
    let (_, first) = with_server(&victim, server.clone());
    let (_, own) = with_server(&thief, server.clone());
    assert!(first.is_up() && own.is_up() && first.chain != own.chain, "{first:?} {own:?}");

    store.leads_to_first.store(true, Ordering::SeqCst);
    let (client, seen) = with_server(&thief, server.clone());
    assert!(!client.is_up() && !seen.connected, "{client:?} {seen:?}");
    assert_refused(&seen, "IncorrectBinder");
    let (_, again) = with_server(&victim, server);
    assert!(
        again.is_up() && again.resumed() && again.chain == first.chain,
        "with the secret it does: {again:?}"
    );
}

/// With the secret it is as good as the key, once. What the thief says of itself counts for nothing: it is its victim,
/// and is out when that is.
#[test]
fn whoever_shows_a_ticket_with_its_secret_is_seen_as_its_owner_and_revoked_with_it() {
    let pki = Pki::new();
    let [owner, thief] = [7, 8].map(|serial| context(pki.material(Leaf { serial, ..Leaf::default() })));
    let material = pki.material(Leaf::default());
    let server = server_config(&context(material.clone()));
    let creds = Arc::new(Changing::new(&owner, &thief));
    let client = owner.make_client(&alpn(), Some(creds.clone())).expect("client");
    let visit = |server: &Arc<dyn crypto::ServerConfig>| {
        handshake(client.clone(), server.clone(), DEFAULT_SERVER_NAME).1
    };
    let first = visit(&server);
    creds.changed.store(true, Ordering::SeqCst);
    let second = visit(&server);
    assert!(first.is_up() && second.is_up() && second.resumed(), "{first:?} {second:?}");
    assert_eq!(second.chain, first.chain);

    // This is what the owner of an endpoint asks after every handshake that was resumed.
    let chain: Vec<_> = second.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let revoking = context(TlsMaterial { crls_der: vec![pki.crl(&[7])], ..material });
    let error = revoking.check_peer(&chain, PeerRole::Client, UnixTime::now()).expect_err("revoked");
    assert!(error.to_string().contains("Revoked"), "{error}");
    // And the list comes with a reload, after which no ticket of before is known.
    let third = visit(&server_config(&revoking));
    assert!(third.is_up() && !third.resumed() && third.chain != first.chain, "as itself: {third:?}");
    creds.changed.store(false, Ordering::SeqCst);
    assert_refused(&visit(&server_config(&revoking)), "Revoked");
}

/// A store that can be told to give the first session for every ticket: as if each client had the first one's ticket,
/// and its own secret. rustls gives nobody a ticket to copy.
#[derive(Debug)]
struct FirstForAll {
    store: SessionStore,
    first: OnceLock<Vec<u8>>,
    leads_to_first: AtomicBool,
}

impl FirstForAll {
    fn new() -> Self {
        Self { store: SessionStore::new(8), first: OnceLock::new(), leads_to_first: AtomicBool::new(false) }
    }
}

impl StoresServerSessions for FirstForAll {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.first.get_or_init(|| value.clone());
        self.store.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let own = self.store.take(key)?;
        let first = self.leads_to_first.load(Ordering::SeqCst).then(|| self.first.get().cloned());
        first.flatten().or(Some(own))
    }

    fn can_cache(&self) -> bool {
        self.store.can_cache()
    }
}

/// A client that has one identity, and then another. rustls uses a ticket only with the resolver under which it came.
#[derive(Debug)]
struct Changing {
    before: Arc<CertifiedKey>,
    after: Arc<CertifiedKey>,
    changed: AtomicBool,
}

impl Changing {
    fn new(before: &TlsContext, after: &TlsContext) -> Self {
        let [before, after] = [before, after].map(|context| context.identity.clone().expect("identity"));
        Self { before, after, changed: AtomicBool::new(false) }
    }
}

impl ResolvesClientCert for Changing {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = if self.changed.load(Ordering::SeqCst) { &self.after } else { &self.before };
        Some(key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
