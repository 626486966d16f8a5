import type { XStatic } from 'typebox/schema';
import type { Check } from './load.ts';
import {
  checkTransport,
  control,
  direct,
  draft7,
  drain,
  editorSchema,
  identity,
  localUdp,
  log,
  metrics,
  snapshotFile,
  stateDir,
  transport,
  trust,
  udpIdleTimeoutMs,
} from './parts.ts';
import type { Schema } from './schema.ts';

/** Configuration of `ztna forward` and `ztna proxy`. */
export const agentSchema = {
  $schema: draft7,
  $id: 'agent.schema.json',
  title: 'ztna agent',
  type: 'object',
  additionalProperties: false,
  required: [
    'listen',
    'metrics',
    'identity',
    'trust',
    'snapshotFile',
    'stateDir',
    'control',
    'forward',
    'proxy',
    'openTimeoutMs',
    'udpIdleTimeoutMs',
    'limits',
    'direct',
    'transport',
    'drain',
    'log',
  ],
  properties: {
    $schema: editorSchema,
    listen: localUdp,
    metrics: metrics('off'),
    identity,
    trust,
    snapshotFile,
    stateDir,
    control,
    forward: {
      type: 'object',
      description: 'defaults of `ztna forward`',
      additionalProperties: false,
      required: ['address'],
      default: {},
      properties: {
        address: {
          type: 'string',
          enum: ['127.0.0.1', '::1', '0.0.0.0', '::'],
          default: '127.0.0.1',
          description: 'local address of forwarded ports; 0.0.0.0 and :: let other machines use them',
        },
      },
    },
    proxy: {
      type: 'object',
      description: 'defaults of `ztna proxy`',
      additionalProperties: false,
      required: ['listen', 'domain', 'handshakeTimeoutMs', 'handshakes'],
      default: {},
      properties: {
        listen: {
          type: 'string',
          format: 'listen-address',
          default: '127.0.0.1:1080',
          description: 'local address of the proxy: SOCKS5 and HTTP CONNECT on one port',
        },
        domain: {
          type: 'string',
          pattern: '^[a-z0-9-]+(\\.[a-z0-9-]+)*$',
          maxLength: 200,
          default: 'ztna.internal',
          description: 'services are known as NAME.DOMAIN; every other name is refused',
        },
        handshakeTimeoutMs: {
          type: 'integer',
          minimum: 100,
          maximum: 60_000,
          default: 10_000,
          description: 'time for a proxy handshake, ms',
        },
        handshakes: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 1000,
          description: 'proxy handshakes under way',
        },
      },
    },
    openTimeoutMs: {
      type: 'integer',
      minimum: 100,
      maximum: 120_000,
      default: 15_000,
      description: 'time to open a session to a connector, ms',
    },
    udpIdleTimeoutMs,
    limits: {
      type: 'object',
      description: 'bounds on what local programs may take',
      additionalProperties: false,
      required: ['flows'],
      default: {},
      properties: {
        flows: {
          type: 'integer',
          minimum: 1,
          maximum: 1_000_000,
          default: 20_000,
          description: 'open flows in all',
        },
      },
    },
    direct,
    transport,
    drain,
    log,
  },
} as const satisfies Schema;

export type AgentConfig = XStatic<typeof agentSchema>;

/** Rules that the schema cannot say. */
export const checkAgent: Check<AgentConfig> = function* (config) {
  yield* checkTransport(config.transport);
};
