import { type Address, formatAddress } from '@ztna/runtime';
import { names, serviceNames } from './names.ts';

/** What the services of the demonstration lead to. */
export type Backends =
  | {
      readonly kind: 'built-in';
      readonly http: Address;
      readonly tcp: Address;
      readonly udp: Address;
      /** TCP echo behind a forwarder that keeps what passes. */
      readonly watched: Address;
    }
  | { readonly kind: 'own'; readonly address: Address };

/**
 * The configuration document of one revision. In revision 1 the visitor may reach everything, in revision 2 nothing:
 * a visitor that kept its snapshot of revision 1 asks in earnest, and is refused by the others.
 */
export function demoDocument(revision: 1 | 2, intermediate: Address, backends: Backends) {
  const services = servicesOf(backends);
  const all = services.map(({ name }) => name);
  const [first = ''] = all;
  return {
    trustDomain: names.trustDomain,
    revision,
    validity: '1d',
    intermediates: [{ name: names.intermediate, addresses: [formatAddress(intermediate)] }],
    sites: [{ name: names.site, connectors: [names.connector] }],
    services,
    agents: [
      { name: names.agent, subject: names.subject },
      { name: names.visitor, subject: names.visitorSubject },
    ],
    policies: [
      { name: 'owner', who: { subjects: [names.subject] }, services: all },
      ...(revision === 1
        ? [{ name: 'visitors', who: { subjects: [names.visitorSubject] }, services: all }]
        : []),
    ],
    tests: [
      { who: names.agent, service: first, expect: 'allow' },
      { who: names.visitor, service: first, expect: revision === 1 ? 'allow' : 'deny' },
    ],
  };
}

function servicesOf(backends: Backends) {
  if (backends.kind === 'own') {
    const { port } = backends.address;
    return [service(serviceNames.own, [['tcp', port, backends.address]])];
  }
  const { http, tcp, udp, watched } = backends;
  return [
    service(serviceNames.web, [['tcp', 80, http]]),
    service(serviceNames.echo, [
      ['tcp', 7, tcp],
      ['udp', 7, udp],
    ]),
    service(serviceNames.watched, [['tcp', 7, watched]]),
  ];
}

function service(name: string, ports: [transport: 'tcp' | 'udp', port: number, backend: Address][]) {
  return {
    name,
    // The backends are on this very machine, which a connector dials only when told so.
    ports: ports.map(([transport, port, backend]) => {
      return { transport, port, backend: formatAddress(backend), allowLocal: true };
    }),
    connectors: [`${names.site}/${names.connector}`],
  };
}
