// Parts of configuration that several components share. A field listed in `required` that has a default is
// optional in the file and always there after loading (see `published` in schema.ts).
import { logFormats, logLevels } from '../log-levels.ts';
import type { Schema } from './schema.ts';

export const draft7 = 'http://json-schema.org/draft-07/schema#';

/** Lets editors check the file: `$schema: ../docs/schemas/agent.schema.json`. */
export const editorSchema = {
  type: 'string',
  description: 'the schema that an editor checks this file by; not used otherwise',
} as const satisfies Schema;

export const identity = {
  type: 'object',
  description: 'who this component is: made by `ztna pki issue`',
  additionalProperties: false,
  required: ['certificateFile', 'privateKeyFile'],
  properties: {
    certificateFile: { type: 'string', format: 'path', description: 'PEM certificate chain, leaf first' },
    privateKeyFile: { type: 'string', format: 'path', description: 'PEM private key (PKCS#8) of the leaf' },
  },
} as const satisfies Schema;

export const trust = {
  type: 'object',
  description: 'whom this component believes',
  additionalProperties: false,
  required: ['bundleFile'],
  properties: {
    bundleFile: { type: 'string', format: 'path', description: 'PEM bundle of root certificates' },
  },
} as const satisfies Schema;

export const snapshotFile = {
  type: 'string',
  format: 'path',
  description: 'signed snapshot for this component: made by `ztna pki sign-snapshot`',
} as const satisfies Schema;

export const stateDir = {
  type: 'string',
  format: 'path',
  default: 'state',
  description: 'folder for what must outlive a restart (the last good snapshot); made if it is not there',
} as const satisfies Schema;

/** See `@ztna/runtime/control`. */
export const control = {
  type: 'object',
  description: 'the local socket that `ztna status` asks',
  additionalProperties: false,
  required: [],
  default: {},
  properties: {
    socket: {
      type: 'string',
      format: 'path-or-off',
      description:
        "its path, or 'off'; by default each process has one of its own in $XDG_RUNTIME_DIR/ztna, /run/ztna (root) or stateDir/run",
    },
  },
} as const satisfies Schema;

export const log = {
  type: 'object',
  description: 'logs, to stderr',
  additionalProperties: false,
  required: ['level', 'format'],
  default: {},
  properties: {
    level: { type: 'string', enum: logLevels, default: 'info', description: 'least level to log' },
    format: {
      type: 'string',
      enum: logFormats,
      default: 'auto',
      description: 'auto: one readable line per entry on a terminal, JSON elsewhere',
    },
  },
} as const satisfies Schema;

const congestionControllers = ['cubic', 'newreno', 'bbr3'] as const;

export const transport = {
  type: 'object',
  description: 'QUIC connections; leave alone unless measured',
  additionalProperties: false,
  required: ['idleTimeoutMs', 'keepAliveMs', 'initialMtu', 'maxMtu', 'busyPollUs'],
  default: {},
  properties: {
    idleTimeoutMs: {
      type: 'integer',
      minimum: 1000,
      maximum: 600_000,
      default: 30_000,
      description: 'a connection on which nothing was heard for so long is dead, ms',
    },
    keepAliveMs: {
      type: 'integer',
      minimum: 500,
      maximum: 300_000,
      default: 10_000,
      description: 'a packet is sent at least so often, ms; below the idle timeout and that of NATs',
    },
    initialMtu: {
      type: 'integer',
      minimum: 1200,
      maximum: 9000,
      default: 1200,
      description: 'UDP payload that every path is supposed to carry, bytes',
    },
    maxMtu: {
      type: 'integer',
      minimum: 1200,
      maximum: 9000,
      default: 1452,
      description: 'largest UDP payload that path MTU discovery tries, bytes',
    },
    congestion: {
      type: 'string',
      enum: congestionControllers,
      description: 'congestion controller of connections with an intermediate; cubic without it',
    },
    sessionCongestion: {
      type: 'string',
      enum: congestionControllers,
      description: 'congestion controller of sessions between agent and connector; cubic without it',
    },
    busyPollUs: {
      type: 'integer',
      minimum: 0,
      maximum: 1000,
      default: 50,
      description:
        'longest time to poll for the next packet before sleeping, µs; 0 saves CPU and costs latency; never used on one core',
    },
  },
} as const satisfies Schema;

/** Rules for `transport` that the schema cannot say. */
export function* checkTransport(t: {
  idleTimeoutMs: number;
  keepAliveMs: number;
  initialMtu: number;
  maxMtu: number;
}) {
  if (t.keepAliveMs * 2 > t.idleTimeoutMs) {
    yield {
      path: ['transport', 'keepAliveMs'],
      message: `${t.keepAliveMs} must be at most half of idleTimeoutMs (${t.idleTimeoutMs})`,
    };
  }
  if (t.initialMtu > t.maxMtu) {
    yield { path: ['transport', 'initialMtu'], message: `${t.initialMtu} is above maxMtu (${t.maxMtu})` };
  }
}

/**
 * Interfaces whose addresses no peer can reach: bridges of containers and virtual machines, other people's overlay
 * networks, our own TUN device.
 */
const innerInterfaces = [
  ...['docker*', 'br-*', 'veth*', 'cni*', 'cali*', 'flannel*', 'cilium*', 'podman*', 'kube*'],
  ...['virbr*', 'vnet*', 'vmnet*', 'vboxnet*', 'lxc*', 'lxdbr*'],
  ...['tun*', 'tap*', 'utun*', 'wg*', 'zt*', 'tailscale*', 'ztna*'],
];

const interfaceGlob = { type: 'string', maxLength: 64, pattern: '^[!-~]+$' } as const satisfies Schema;

/** Direct paths between agent and connector. */
export const direct = {
  type: 'object',
  description: 'direct paths between agent and connector, past the relay',
  additionalProperties: false,
  required: ['enabled', 'interfaces', 'portMapping', 'addresses'],
  default: {},
  properties: {
    enabled: {
      type: 'boolean',
      default: true,
      description: 'false: shows no address and probes nothing; all traffic is relayed',
    },
    interfaces: {
      type: 'object',
      description: 'network interfaces whose addresses are shown to the other side; loopback never is',
      additionalProperties: false,
      required: ['allow', 'deny'],
      default: {},
      properties: {
        allow: {
          type: 'array',
          items: interfaceGlob,
          maxItems: 64,
          default: ['*'],
          description: 'names; * stands for any characters; an empty list allows none',
        },
        deny: {
          type: 'array',
          items: interfaceGlob,
          maxItems: 64,
          default: innerInterfaces,
          description: 'names that are left out although allowed; a list of your own replaces this one',
        },
      },
    },
    portMapping: {
      type: 'boolean',
      default: true,
      description: 'asks the router for a port mapping (PCP, NAT-PMP, UPnP IGD)',
    },
    addresses: {
      type: 'array',
      items: { type: 'string', maxLength: 64, format: 'candidate-address' },
      maxItems: 8,
      default: [],
      description:
        'further addresses at which this component can be reached, for forwards made by hand (an Elastic IP, a router); without a port: that of listen',
    },
  },
} as const satisfies Schema;

/** Association timeout of UDP flows. */
export const udpIdleTimeoutMs = {
  type: 'integer',
  minimum: 1000,
  maximum: 3_600_000,
  default: 60_000,
  description: 'a UDP flow on which nothing passed for so long is closed, ms',
} as const satisfies Schema;

/** Where the component binds its own UDP socket. */
export const localUdp = {
  type: 'string',
  format: 'listen-address',
  default: '[::]:0',
  description: 'local UDP address of its connections; port 0 takes a free one',
} as const satisfies Schema;

export const drain = {
  type: 'object',
  description: 'orderly stop on SIGTERM or SIGINT',
  additionalProperties: false,
  required: ['deadlineMs'],
  default: {},
  properties: {
    deadlineMs: {
      type: 'integer',
      minimum: 100,
      maximum: 3_600_000,
      default: 10_000,
      description: 'time for it, ms; then the process ends whatever is open',
    },
  },
} as const satisfies Schema;

/** The HTTP server for operators; `listen` is its default. */
export function metrics(listen: string) {
  return {
    type: 'object',
    description: 'HTTP server for /healthz, /readyz and /metrics',
    additionalProperties: false,
    required: ['listen'],
    default: {},
    properties: {
      listen: {
        type: 'string',
        format: 'listen-address-or-off',
        default: listen,
        description: 'its address',
      },
    },
  } as const satisfies Schema;
}
