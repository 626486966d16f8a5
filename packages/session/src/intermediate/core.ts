import { type ControlMessage, wireError } from '@ztna/wire';
import { type ConnectionKey, type Core, unreachable } from '../types.ts';
import { onAttachPath } from './attach.ts';
import { onExtendGrant } from './extend.ts';
import {
  DEFAULT_INTERMEDIATE_CONFIG,
  type IntermediateConfig,
  type IntermediateDeps,
  type IntermediateInput,
  type IntermediateOutput,
} from './io.ts';
import { onAnswer, onOfferTimeout } from './offers.ts';
import { onOpenSession } from './open.ts';
import { closePeer, forgetPeer, onConnected, onGoodbye, onHello, onRegister } from './peers.ts';
import { onSnapshot } from './reevaluate.ts';
import { onCloseSession, onExpiry, onGraceOver } from './sessions.ts';
import { IntermediateState, type IntermediateTimer, type Peer } from './state.ts';

/**
 * The intermediate: admits peers, brokers sessions by policy, says what is forwarded. It never sees a
 * session's content and keeps nothing that a restart may not lose.
 */
export class IntermediateCore implements Core<IntermediateInput, IntermediateOutput> {
  readonly #state: IntermediateState;

  constructor(deps: IntermediateDeps, config: Partial<IntermediateConfig> = {}) {
    this.#state = new IntermediateState(deps, { ...DEFAULT_INTERMEDIATE_CONFIG, ...config });
  }

  handleInput(input: IntermediateInput, now: number) {
    const state = this.#state;
    // A peer that is gone must not get anything from a timer that happens to be due.
    if (input.type !== 'peer-gone') this.handleTimeout(now);
    switch (input.type) {
      case 'peer-connected':
        return onConnected(state, input.peer, input.identity, now);
      case 'message':
        return this.#fromPeer(
          input.peer,
          now,
          (peer) => this.#onMessage(peer, input.message, now),
          input.message,
        );
      case 'malformed':
        return this.#fromPeer(input.peer, now, (peer) =>
          onMalformed(state, peer, input.reason, input.fatal, now),
        );
      case 'peer-gone': {
        const peer = state.peers.get(input.peer);
        if (peer) forgetPeer(state, peer, now, false);
        return;
      }
      case 'peer-refused': {
        const peer = state.peers.get(input.peer);
        if (peer) closePeer(state, peer, input.error, now);
        return;
      }
      case 'snapshot':
        return onSnapshot(state, input.snapshot, now);
      case 'drain': {
        state.draining = true;
        const { deadlineMs, alternatives, reason } = input;
        for (const peer of state.peers.values()) {
          if (peer.hello) state.send(peer.key, { type: 'goAway', deadlineMs, alternatives, reason });
        }
        return;
      }
      default:
        unreachable(input);
    }
  }

  handleTimeout(now: number) {
    for (let due = this.#state.timers.takeDue(now); due; due = this.#state.timers.takeDue(now)) {
      onTimer(this.#state, due, now);
    }
  }

  pollTimeout(): number | undefined {
    return this.#state.timers.next();
  }

  pollOutput(): IntermediateOutput | undefined {
    return this.#state.outbox.take();
  }

  /** Sizes of what is kept, for gauges and for tests of bounds. */
  stats(): { peers: number; identities: number; sessions: number; offers: number; timers: number } {
    const { peers, byIdentity, silent, sessionsOf, sessions, offers, timers } = this.#state;
    return {
      peers: peers.size,
      /** Entries of the indices by identity. */
      identities: byIdentity.size + silent.size + sessionsOf.size,
      sessions: sessions.size,
      offers: offers.size,
      timers: timers.size,
    };
  }

  #fromPeer(key: ConnectionKey, now: number, handle: (peer: Peer) => void, message?: ControlMessage) {
    const peer = this.#state.peers.get(key);
    if (!peer) return this.#state.count('message_ignored', 'unknown-peer');
    if (message && isSolicited(this.#state, peer, message)) return handle(peer);
    if (this.#state.quotas.take(peer.identity.id, now)) return handle(peer);
    closePeer(this.#state, peer, wireError('limit', 'too many messages; slow down'), now);
  }

  #onMessage(peer: Peer, message: ControlMessage, now: number) {
    const state = this.#state;
    const { role } = peer.identity;
    if (message.type === 'goodbye') return onGoodbye(state, peer, now);
    if (!peer.hello && message.type !== 'hello') {
      return closePeer(state, peer, wireError('protocol', 'the first message must be Hello'), now);
    }
    if (message.type === 'closeSession')
      return onCloseSession(
        state,
        peer.key,
        message.sessionUid,
        message.reason ?? wireError('going-away', 'closed by the peer'),
        now,
      );
    if (message.type === 'error') return state.count('peer_error', message.error.code);
    if (message.type === 'hello' && !peer.hello) return onHello(state, peer, message, now);
    if (role === 'agent') {
      if (message.type === 'openSession') return onOpenSession(state, peer, message, now);
      if (message.type === 'attachPath') return onAttachPath(state, peer, message, now);
      if (message.type === 'extendGrant') return onExtendGrant(state, peer, message, now);
    } else {
      if (message.type === 'register') return onRegister(state, peer, message, now);
      if (message.type === 'sessionAnswer') return onAnswer(state, peer.key, message, now);
    }
    closePeer(state, peer, wireError('protocol', `${message.type} is not for this side to send now`), now);
  }
}

/** What settles something of ours costs the peer nothing: a connector answers thousands of attachments at once. */
function isSolicited(state: IntermediateState, peer: Peer, message: ControlMessage): boolean {
  if (message.type === 'sessionAnswer') return state.offers.get(message.sessionUid)?.side?.peer === peer.key;
  return message.type === 'closeSession' && peer.sessions.has(message.sessionUid);
}

function onMalformed(state: IntermediateState, peer: Peer, reason: string, fatal: boolean, now: number) {
  state.count('malformed', fatal ? 'fatal' : 'unknown');
  if (fatal) return closePeer(state, peer, wireError('protocol', reason), now);
  state.sendError(peer.key, wireError('unknown-message', reason));
}

function onTimer(state: IntermediateState, timer: IntermediateTimer, now: number) {
  switch (timer.type) {
    case 'hello': {
      const peer = state.peers.get(timer.peer);
      if (peer) closePeer(state, peer, wireError('timeout', 'no Hello in time'), now);
      return;
    }
    case 'offer':
      return onOfferTimeout(state, timer.uid, now);
    case 'grace':
      return onGraceOver(state, timer.uid, now);
    case 'expiry':
      return onExpiry(state, timer.uid, now);
    default:
      unreachable(timer);
  }
}
