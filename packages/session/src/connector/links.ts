import { type ControlMessage, type Revision, wireError } from '@ztna/wire';
import { type LinkHost, OuterLink } from '../link.ts';
import type { LinkInput } from '../link-io.ts';
import { isRevoked } from '../snapshot.ts';
import type { ConnectionKey } from '../types.ts';
import { endBegun, onCloseSession, onGrantUpdate, onOffer } from './sessions.ts';
import type { ConnectorState } from './state.ts';

/** One link to each intermediate of the snapshot; those that are gone from it are closed. */
export function updateLinks(state: ConnectorState, now: number) {
  const wanted = (state.snapshot?.content.intermediates ?? []).slice(0, state.config.maxIntermediates);
  for (const [id, link] of [...state.links]) {
    if (wanted.some((entry) => entry.id === id)) continue;
    link.stop('the intermediate is no longer in the snapshot', now);
    state.links.delete(id);
  }
  for (const entry of wanted) {
    const link = state.links.get(entry.id) ?? new OuterLink(entry.id, linkHost(state));
    state.links.set(entry.id, link);
    link.setCandidates([entry], now);
  }
}

/** Tells every intermediate what is served now. */
export function registerAll(state: ConnectorState) {
  for (const link of state.links.values()) register(state, link.connection);
}

export function onLinkInput(state: ConnectorState, input: LinkInput, now: number) {
  for (const link of [...state.links.values()]) {
    if (link.owns(input.connection)) return link.handleInput(input, now);
  }
  if (input.type !== 'outer-lost') state.count('message_ignored', 'unknown-connection');
}

function linkHost(state: ConnectorState): LinkHost {
  return {
    local: state.deps.local,
    backoff: state.config.backoff,
    connectTimeoutMs: state.config.connectTimeoutMs,
    random: state.deps.random,
    nextConnection: () => state.nextConnection(),
    revision: () => state.snapshot?.revision ?? (0 as Revision),
    isRevoked: (id) => isRevoked(state.snapshot, { id }),
    emit: (output) => state.outbox.push(output),
    setTimer: (link, at) =>
      state.timers.set(`link:${link.name}`, at, { type: 'link', intermediate: link.name }),
    cancelTimer: (link) => state.timers.cancel(`link:${link.name}`),
    onReady: (link, connection, now) => {
      link.releasePrevious();
      endBegun(state, link, now);
      register(state, connection);
    },
    onLost: (_, connection) => {
      for (const session of state.sessions.values()) {
        if (session.path?.connection === connection) session.path = undefined;
      }
    },
    onMessage: (connection, message, now) => onMessage(state, connection, message, now),
  };
}

function register(state: ConnectorState, connection: ConnectionKey | undefined) {
  if (connection === undefined || !state.snapshot) return;
  const services = state.snapshot.content.services
    .map(({ name }) => name)
    .filter((service) => !state.withdrawn.has(service));
  const { capacity, labels } = state.config;
  state.outbox.push({ type: 'send', connection, message: { type: 'register', services, capacity, labels } });
}

function onMessage(state: ConnectorState, connection: ConnectionKey, message: ControlMessage, now: number) {
  const intermediate = state.linkOf(connection)?.intermediate;
  switch (message.type) {
    case 'registered':
      if (message.refused.length === 0) return;
      return state.event('warn', 'services.refused', {
        intermediate,
        services: message.refused.slice(0, 8).join(' '),
      });
    case 'sessionOffer':
      return onOffer(state, connection, message, now);
    case 'grantUpdate':
      return onGrantUpdate(state, connection, message, now);
    case 'closeSession':
      return onCloseSession(state, connection, message, now);
    case 'goAway':
      return state.event('info', 'intermediate.going-away', {
        intermediate,
        deadlineMs: message.deadlineMs,
        reason: message.reason,
      });
    case 'error':
      state.count('peer_error', message.error.code);
      return state.event('warn', 'intermediate.error', {
        intermediate,
        code: message.error.code,
        message: message.error.message,
      });
    case 'goodbye':
      return;
    default: {
      const error = wireError('protocol', `${message.type} is not for a connector`);
      for (const link of state.links.values()) if (link.connection === connection) link.fail(error, now);
    }
  }
}
