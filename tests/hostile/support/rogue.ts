import { Component, ControlStream, coreClock, outerServerTransport } from '@ztna/link';
import { type Connection, Endpoint } from '@ztna/quic';
import {
  ALPN,
  type ControlMessage,
  type Grant,
  type KeyThumbprint,
  type RelayId,
  type Revision,
  relayPrefix,
  type SessionUid,
  type SpiffeId,
  type TenantName,
} from '@ztna/wire';
import type { TestIdentity } from '../../e2e/support/pki.ts';
import { TRANSPORT } from '../../system/support/agent.ts';

type Of<T extends ControlMessage['type']> = Extract<ControlMessage, { type: T }>;
/** A peer that said Hello. */
export interface RoguePeer {
  readonly id: SpiffeId;
  readonly keyThumbprint: KeyThumbprint;
  readonly connection: Connection;
  readonly control: ControlStream;
}

/** An enrolled intermediate that is in every snapshot, and brokers whatever `onOpen` likes. */
export class RogueIntermediate implements AsyncDisposable {
  readonly #component: Component<'intermediate'>;
  readonly #endpoint: Endpoint;
  readonly #peers = new Map<SpiffeId, RoguePeer>();
  readonly #clock = coreClock();
  #lastRelayId = 100;
  onOpen: (agent: RoguePeer, request: Of<'openSession'>) => void = () => {};

  /** Its snapshot must have been published. */
  constructor({ files }: TestIdentity, listen: string) {
    this.#component = Component.load('intermediate', files, this.#clock.now());
    const transport = outerServerTransport(TRANSPORT);
    const server = { alpn: [ALPN.CONTROL], transport, requireClientCert: true };
    this.#endpoint = Endpoint.bind({ listen, ...this.#component.tls, server });
    this.#endpoint.onConnection = (connection) => this.#admit(connection);
  }

  peer(id: SpiffeId): RoguePeer | undefined {
    return this.#peers.get(id);
  }

  /** A grant that nobody's policy was asked about, signed with its own key. */
  grant(terms: Pick<Grant, 'agent' | 'agentKey' | 'connector' | 'subject' | 'services'>) {
    const sessionUid = crypto.randomUUID().replaceAll('-', '') as SessionUid;
    const nowMs = Date.now();
    const grant: Grant = {
      ...{
        tenant: 'default' as TenantName,
        sessionUid,
        issuer: this.#component.identity.id,
        requiredFeatures: [],
      },
      ...{ policyRevision: 1 as Revision, notBeforeMs: nowMs, notAfterMs: nowMs + 600_000, ...terms },
    };
    return { sessionUid, signed: this.#component.signGrant(grant) };
  }

  /** Lets datagrams pass between two peers, both ways; the relay ids that each is to use. */
  join(a: RoguePeer, b: RoguePeer): readonly [RelayId, RelayId] {
    const ids = [++this.#lastRelayId as RelayId, ++this.#lastRelayId as RelayId] as const;
    const [atA, atB] = [relayPrefix(ids[0]), relayPrefix(ids[1])];
    this.#endpoint.forward({ from: a.connection, to: b.connection, match: atA, rewrite: atB });
    this.#endpoint.forward({ from: b.connection, to: a.connection, match: atB, rewrite: atA });
    return ids;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoint.close();
  }

  #admit(connection: Connection): void {
    const roles = ['agent', 'connector'] as const;
    const identity = this.#component.verifyPeer(connection.peerChain, [...roles], this.#clock.now());
    if (!identity.ok) return connection.close();
    const { id, keyThumbprint } = identity.value;
    connection.onBiStream = (stream) => {
      const control = new ControlStream(stream, {
        onMessage: (message) => this.#onMessage({ id, keyThumbprint, connection, control }, message),
        onMalformed: () => connection.close(),
        onEnd: () => connection.close(),
      });
    };
    connection.accept();
  }

  #onMessage(peer: RoguePeer, message: ControlMessage): void {
    if (message.type === 'hello') {
      this.#peers.set(peer.id, peer);
      peer.control.send({ ...message, instance: 99n, software: 'rogue' });
    } else if (message.type === 'register') {
      peer.control.send({ type: 'registered', services: message.services, refused: [] });
    } else if (message.type === 'openSession') {
      this.onOpen(peer, message);
    }
  }
}
