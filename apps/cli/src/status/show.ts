import type {
  AgentReport,
  ComponentStatus,
  ConnectorReport,
  PortMappingStatus,
  Problem,
  SessionStatus,
} from '@ztna/link';
import {
  ago,
  columns,
  duration,
  labelled,
  milliseconds,
  plain,
  shortId,
  until,
  WIDTH,
  wrapped,
} from './text.ts';

/** One component for people, in lines of at most 80 characters where its values allow. */
export function showStatus(status: ComponentStatus, now: number): string[] {
  const title = `${status.component} ${shortId(status.id)}`;
  const state = status.healthy ? 'ok' : (status.problems[0]?.code ?? 'not ok');
  const process = `${plain(status.command)}, pid ${status.pid}, up ${ago(status.started, now)}`;
  return [
    `${`${title}  (${process})`.padEnd(WIDTH - plain(state).length - 1)} ${plain(state)}`,
    ...status.problems.flatMap(showProblem),
    ...labelled('identity', [plain(status.id)]),
    ...labelled('certificate', [until(status.certificate.notAfter, now)]),
    ...labelled('snapshot', [`revision ${status.snapshot.revision}, ${until(status.snapshot.expires, now)}`]),
    ...labelled('UDP socket', [plain(status.listen)]),
    ...showRole(status, now),
    ...labelled('dropped', counted(status.drops)),
  ].map((line) => line.trimEnd());
}

function showRole(status: ComponentStatus, now: number): string[] {
  switch (status.component) {
    case 'agent':
      return showAgent(status, now);
    case 'connector':
      return showConnector(status, now);
    case 'intermediate': {
      const { datagrams, bytes } = status.relayed;
      return [
        ...labelled('peers', [`${status.peers}`]),
        ...labelled('sessions', [`${status.sessions}`]),
        ...labelled('relayed', [`${datagrams} datagrams, ${bytes} bytes`]),
      ];
    }
    default:
      status satisfies never;
      return []; // of a later version
  }
}

function showAgent(status: AgentReport, now: number): string[] {
  const listeners = status.listeners.map(({ listen, transport, service, port }) =>
    plain(service === undefined ? `proxy on ${listen}` : `${listen}/${transport} -> ${service}:${port}`),
  );
  return [
    ...labelled('intermediate', showLinks(status, now)),
    ...labelled('port mapping', showMapping(status.portMapping)),
    ...labelled('listening', listeners),
    ...labelled('flows', [`${status.flows} open`]),
    ...showSessions(status.sessions, now),
  ];
}

function showConnector(status: ConnectorReport, now: number): string[] {
  return [
    ...labelled('intermediate', showLinks(status, now)),
    ...labelled('port mapping', showMapping(status.portMapping)),
    ...labelled('sessions', [`${status.sessions}`]),
    ...labelled('flows', [`${status.flows} open`]),
  ];
}

function showLinks({ intermediates, nextAttempt }: AgentReport | ConnectorReport, now: number): string[] {
  if (intermediates.length === 0) return [noLink(nextAttempt, now)];
  return intermediates.flatMap(({ name, state, since, remote, rttMs, observed }) => {
    const rtt = rttMs === undefined ? '' : `, RTT ${milliseconds(rttMs)}`;
    const first = `${plain(name)}: ${state} for ${ago(since, now)}${rtt}`;
    const addresses = [remote && `at ${plain(remote)}`, observed && `sees us as ${plain(observed)}`];
    const second = addresses.filter(Boolean).join(', ');
    return second ? [first, `  ${second}`] : [first];
  });
}

function noLink(nextAttempt: string | undefined, now: number): string {
  if (nextAttempt === undefined) return 'none: the snapshot names none that may be used';
  return `none is connected; the next attempt begins in ${duration(Date.parse(nextAttempt) - now)}`;
}

/** What the gateway said. Processes of an earlier version say nothing of it. */
function showMapping(mapping: PortMappingStatus | undefined): string[] {
  if (mapping === undefined) return [];
  const { state, detail, external, protocol, gateway, asked, behindAnotherNat } = mapping;
  if (external !== undefined) {
    const use = behindAnotherNat ? ['  behind another NAT: of no use to peers'] : [];
    return [plain(`${external} by ${protocol} of ${gateway}`), ...use];
  }
  if (state === 'idle') return ['not asked for yet'];
  if (detail !== undefined) return [plain(`${state === 'off' ? 'off' : 'none'}: ${detail}`)];
  const answers = asked.map(({ protocol, outcome }) => `${protocol} ${outcome.split(':')[0]}`);
  return [plain(`none: ${gateway ?? 'the gateway'} is asked: ${answers.join(', ') || 'now'}`)];
}

function showSessions(sessions: readonly SessionStatus[], now: number): string[] {
  if (sessions.length === 0) return labelled('sessions', ['none']);
  const rows = sessions.map(({ session, connector, state, path }) => [
    plain(session).slice(0, 8),
    shortId(connector),
    path ? plain(path.path) : state,
    path?.rttMs === undefined ? '-' : milliseconds(path.rttMs),
    path?.mtu === undefined ? '-' : `${path.mtu}`,
    path ? ago(path.since, now) : '-',
    plain(path?.reason ?? ''),
  ]);
  const remedies = new Set(sessions.flatMap(({ path }) => path?.remedy || []));
  return [
    '',
    ...columns([['SESSION', 'CONNECTOR', 'PATH', 'RTT', 'MTU', 'SINCE', 'WHY'], ...rows]),
    ...[...remedies].flatMap((remedy) => wrapped(plain(remedy), '  -> ', '     ')),
    '',
  ];
}

function showProblem({ code, message, remedy, since }: Problem): string[] {
  const from = since === undefined ? '' : `; since ${plain(since)}`;
  return [
    ...wrapped(`${plain(code)}: ${plain(message)}${from}`, '  ! ', '    '),
    ...(remedy === undefined ? [] : wrapped(plain(remedy), '    -> ', '       ')),
  ];
}

function counted(counts: Readonly<Record<string, number>>): string[] {
  const shown = Object.entries(counts).map(([cause, count]) => `${plain(cause)} ${count}`);
  return shown.length === 0 ? [] : [shown.join(', ')];
}
