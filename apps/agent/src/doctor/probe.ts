import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import {
  ControlStream,
  closeReason,
  connectAny,
  endOrderly,
  handshakeFailed,
  hasRoute,
  localInfo,
  lookUp,
  noRoute,
  type Problem,
  peerCode,
  refusalRemedy,
  rounded,
  ticketName,
  unresolved,
  whySilent,
} from '@ztna/link';
import { type CloseInfo, type Connection, type Endpoint, QuicError, type TransportOptions } from '@ztna/quic';
import { makeHello } from '@ztna/session';
import {
  ALPN,
  formatHostPort,
  type HostPort,
  type IntermediateEntry,
  type Result,
  type Revision,
  type TenantName,
  wireError,
} from '@ztna/wire';

/** Time for an intermediate to answer, ms; then UDP counts as blocked. */
const ANSWER_MS = 5_000;
/** Time, once it has answered, for the observed address and its clock, ms. */
const DETAILS_MS = 2_000;

export interface ProbeDeps {
  /** One for all intermediates: what their answers say of the NAT is about its one socket. */
  readonly endpoint: Endpoint;
  readonly transport: TransportOptions;
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  readonly tenant: TenantName;
  /** Say Hello, to be let in or refused, and to hear its clock? It counts as a connection of this agent then. */
  readonly hello: (to: IntermediateEntry) => boolean;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly remote: string;
  readonly rttMs: number;
  readonly observed: string | undefined;
  /** By how much its clock is ahead, ms. */
  readonly clockAheadMs: number | undefined;
}

export type ProbeResult = { readonly intermediate: string; readonly addresses: readonly HostPort[] } & (
  | { readonly answer: Answer }
  | { readonly problem: Problem }
);

/** A real handshake with one intermediate, with the agent's identity. Takes at most some eight seconds. */
export async function probe(to: IntermediateEntry, deps: ProbeDeps): Promise<ProbeResult> {
  const addresses = (await Promise.all(to.addresses.map((place) => lookUp(place)))).flat();
  const failed = (problem: Problem): ProbeResult => ({ intermediate: to.name, addresses, problem });
  if (addresses.length === 0) return failed(unresolved(to.addresses));
  const routes = await Promise.all(addresses.map(hasRoute));
  const routed = addresses.filter((_, index) => routes[index]);
  if (routed.length === 0) return failed(noRoute(addresses));
  let connection: Connection;
  try {
    connection = await connect(to, routed, deps);
  } catch (error) {
    if (!(error instanceof QuicError) || error.code === 'ERR_TIMEOUT')
      return failed(await whySilent(routed.map((address) => ({ address }))));
    return failed(handshakeFailed(error.message));
  }
  const problem = judge(to, connection, deps);
  if (problem) {
    connection.close();
    return failed(problem);
  }
  const answer = await talk(connection, deps, deps.hello(to));
  return 'code' in answer ? failed(answer) : { intermediate: to.name, addresses, answer };
}

async function connect(
  to: IntermediateEntry,
  places: readonly HostPort[],
  deps: ProbeDeps,
): Promise<Connection> {
  const { endpoint, transport, signal } = deps;
  const late = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  const [remotes, serverName] = [places.map(formatHostPort), ticketName(to.id)];
  return connectAny(endpoint, { remotes, serverName, transport, alpn: [ALPN.CONTROL], signal: late });
}

function judge(to: IntermediateEntry, connection: Connection, { verify }: ProbeDeps): Problem | undefined {
  const identity = verify(connection.peerChain);
  if (!identity.ok) {
    const { detail } = identity.error;
    return {
      code: 'handshake-failed',
      message: `its certificate is refused: ${detail}`,
      remedy: 'look at the `identity.certificateFile` of the intermediate with `ztna pki show`',
    };
  }
  if (identity.value.id === to.id) return undefined;
  return {
    code: 'wrong-identity',
    message: `${identity.value.id} answers at the address of ${to.id}`,
    remedy: 'compare the address in the document that was signed',
  };
}

async function talk(
  connection: Connection,
  { tenant }: ProbeDeps,
  hello: boolean,
): Promise<Answer | Problem> {
  // One that refuses closes at once.
  if (connection.isClosed) return turnedAway(await connection.closed);
  const observed = Promise.withResolvers<undefined>();
  const clock = Promise.withResolvers<number | undefined>();
  const refused = Promise.withResolvers<Problem>();
  connection.onEvent = ({ type }) => {
    if (type === 'observed-address') observed.resolve(undefined);
  };
  void connection.closed.then((info) => refused.resolve(turnedAway(info)));
  connection.accept();
  if (connection.observedAddress) observed.resolve(undefined);
  const control = new ControlStream(connection.openBi(), {
    onMessage: (message) => {
      if (message.type === 'hello') clock.resolve(message.timeMs - Date.now());
      if (message.type === 'error') refused.resolve(refusedWith(message.error.code, message.error.message));
    },
    onMalformed: () => clock.resolve(undefined),
    onEnd: () => clock.resolve(undefined),
  });
  if (hello) control.send(makeHello(localInfo(tenant), 0 as Revision, Date.now()));
  else clock.resolve(undefined);
  const details = Promise.all([clock.promise, observed.promise]);
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), DETAILS_MS);
  const outcome = await Promise.race([details, refused.promise, late.promise]);
  clearTimeout(timer);
  if (outcome && 'code' in outcome) return outcome;
  const [path] = await connection.paths().catch(() => []);
  const answer = {
    remote: connection.remoteAddress,
    rttMs: rounded(path?.rttMs ?? Number.NaN, 2),
    observed: connection.observedAddress,
    clockAheadMs: outcome?.[0],
  };
  await endOrderly(connection, control, wireError('going-away', 'it was a check'));
  return answer;
}

function turnedAway(info: CloseInfo): Problem {
  if (info.kind === 'tls') return handshakeFailed(info.reason);
  const code = peerCode(info);
  return refusedWith(code ?? 'handshake-failed', (code && info.reason) || closeReason(info));
}

function refusedWith(code: string, why: string): Problem {
  return { code, message: `it refuses this agent: ${why}`, remedy: refusalRemedy(code) };
}

/** IP addresses of this machine. */
export function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  );
}

/** `::ffff:192.0.2.1` is an IPv4 address. */
export function unmapped(host: string): string {
  const v4 = /^::ffff:(.+)$/i.exec(host)?.[1];
  return v4 !== undefined && isIPv4(v4) ? v4 : host;
}
