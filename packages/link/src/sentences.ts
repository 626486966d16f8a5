/** What the events of the cores say to an operator; the event itself is in the field `event`, and stable. */
const SENTENCES: Readonly<Record<string, string>> = {
  'connector.service-refused': 'a connector offers services that the snapshot does not give it: refused',
  'flow.waiting': 'no session for a service can be had now: its flows wait, and it is tried on',
  'inner.wrong-identity':
    'the peer at the other end of the relay is not the one that the intermediate named: session refused',
  'intermediate.connected': 'connected to intermediate',
  'intermediate.error': 'the intermediate reports an error',
  'intermediate.going-away': 'the intermediate is going away',
  'intermediate.lost': 'connection to intermediate lost: connecting again',
  'intermediate.refused':
    'the intermediate refuses this component: check its certificate and that it is not revoked',
  'intermediate.wrong-identity': 'somebody else answers at the address of the intermediate',
  'offer.refused': 'session offer refused',
  'peer.ready': 'a peer said Hello and was let in',
  'peer.revoked': 'a peer was revoked: its connection is closed',
  'services.refused': 'the intermediate refuses services of this connector: compare both snapshots',
  'session.closed': 'session closed',
  'session.ended': 'session ended: a side closed it',
  'session.lost': 'session lost: its connection broke',
  'session.up': 'session open, at first relayed',
};

/** The message of an event's log line. An event that is not known here speaks by its own name. */
export function sentenceOf(event: string): string {
  return SENTENCES[event] ?? event;
}
