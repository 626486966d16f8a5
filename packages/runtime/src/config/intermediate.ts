import type { XStatic } from 'typebox/schema';
import type { Check } from './load.ts';
import {
  checkTransport,
  control,
  draft7,
  drain,
  editorSchema,
  identity,
  log,
  metrics,
  snapshotFile,
  stateDir,
  transport,
  trust,
} from './parts.ts';
import type { Schema } from './schema.ts';

/** Configuration of `ztna intermediate`. */
export const intermediateSchema = {
  $schema: draft7,
  $id: 'intermediate.schema.json',
  title: 'ztna intermediate',
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
    'keys',
    'retry',
    'limits',
    'transport',
    'drain',
    'log',
  ],
  properties: {
    $schema: editorSchema,
    listen: {
      type: 'string',
      format: 'listen-address',
      default: '[::]:4433',
      description: 'UDP address on which agents and connectors arrive; [::] is IPv4 too',
    },
    metrics: metrics('127.0.0.1:9090'),
    identity,
    trust,
    snapshotFile,
    stateDir,
    control,
    keys: {
      type: 'object',
      description:
        'keys that outlive a restart, so that peers notice it at once; without files they are made at start',
      additionalProperties: false,
      default: {},
      properties: {
        retryKeysFile: {
          type: 'string',
          format: 'path',
          description:
            'keys of retry tokens, one of 64 hex digits per line, current first; all instances share them',
        },
        resetKeyFile: {
          type: 'string',
          format: 'path',
          description: 'master of the stateless-reset keys, 64 hex digits',
        },
        cidKeyFile: {
          type: 'string',
          format: 'path',
          description: 'key that hides the server id in connection ids, 32 hex digits',
        },
        serverId: {
          type: 'string',
          pattern: '^([0-9a-f]{2}){1,4}$',
          description: 'server id in connection ids, 2 to 8 hex digits; another one for each instance',
        },
      },
    },
    retry: {
      type: 'string',
      enum: ['always', 'under-load', 'never'],
      default: 'under-load',
      description: 'when the address of an arriving peer is validated by a Retry packet',
    },
    limits: {
      type: 'object',
      description: 'bounds on what peers may take',
      additionalProperties: false,
      required: [
        'connections',
        'connectionsPerIdentity',
        'sessionsPerAgent',
        'handshakes',
        'handshakesPerSecondPerSource',
        'controlMessagesPerSecond',
      ],
      default: {},
      properties: {
        connections: {
          type: 'integer',
          minimum: 1,
          maximum: 1_000_000,
          default: 10_000,
          description: 'connections in all',
        },
        connectionsPerIdentity: {
          type: 'integer',
          minimum: 1,
          maximum: 1000,
          default: 4,
          description: 'connections of one identity',
        },
        sessionsPerAgent: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 1000,
          description: 'sessions of one agent, over all its connections',
        },
        handshakes: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 1000,
          description: 'handshakes under way',
        },
        handshakesPerSecondPerSource: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 100,
          description: 'new handshakes per second of one source (IPv4 address, IPv6 /64)',
        },
        controlMessagesPerSecond: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 200,
          description: 'control messages per second of one identity',
        },
        bytesPerSecondPerSession: {
          type: 'integer',
          minimum: 10_000,
          maximum: 100_000_000_000,
          description:
            'relayed bytes per second and direction of one session; without it there is no such bound',
        },
      },
    },
    transport,
    drain,
    log,
  },
} as const satisfies Schema;

export type IntermediateConfig = XStatic<typeof intermediateSchema>;

/** Rules that the schema cannot say. */
export const checkIntermediate: Check<IntermediateConfig> = function* (config) {
  yield* checkTransport(config.transport);
  if (config.keys.resetKeyFile !== undefined && config.keys.serverId === undefined) {
    yield {
      path: ['keys', 'resetKeyFile'],
      message: 'needs keys.serverId: reset keys are derived from both',
    };
  }
};
