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

/** Configuration of `ztna connector`. */
export const connectorSchema = {
  $schema: draft7,
  $id: 'connector.schema.json',
  title: 'ztna connector',
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
    'labels',
    'health',
    'dialTimeoutMs',
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
    metrics: metrics('127.0.0.1:9091'),
    identity,
    trust,
    snapshotFile,
    stateDir,
    control,
    labels: {
      type: 'object',
      description: 'where it stands (region, zone, network), for choosing the nearest connector',
      additionalProperties: { type: 'string', maxLength: 128 },
      maxProperties: 32,
      default: {},
    },
    health: {
      type: 'object',
      description: 'health checks of the backends; a service whose backends fail is withdrawn',
      additionalProperties: false,
      required: ['intervalMs', 'timeoutMs', 'failures', 'successes'],
      default: {},
      properties: {
        intervalMs: {
          type: 'integer',
          minimum: 100,
          maximum: 3_600_000,
          default: 10_000,
          description: 'time between checks, ms',
        },
        timeoutMs: {
          type: 'integer',
          minimum: 50,
          maximum: 60_000,
          default: 3000,
          description: 'time for one check, ms',
        },
        failures: {
          type: 'integer',
          minimum: 1,
          maximum: 100,
          default: 3,
          description: 'failures in a row that withdraw a service',
        },
        successes: {
          type: 'integer',
          minimum: 1,
          maximum: 100,
          default: 1,
          description: 'successes in a row that bring it back',
        },
      },
    },
    dialTimeoutMs: {
      type: 'integer',
      minimum: 50,
      maximum: 120_000,
      default: 5000,
      description: 'time for a TCP connection to a backend, name resolution included, ms',
    },
    udpIdleTimeoutMs,
    limits: {
      type: 'object',
      description: 'bounds on what peers may take',
      additionalProperties: false,
      required: ['sessions', 'sessionsPerAgent', 'flowsPerSession', 'flowsPerAgent', 'flows'],
      default: {},
      properties: {
        sessions: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 1000,
          description: 'sessions in all',
        },
        sessionsPerAgent: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 64,
          description: 'sessions of one agent',
        },
        flowsPerSession: {
          type: 'integer',
          minimum: 1,
          maximum: 100_000,
          default: 2000,
          description: 'open flows of one session',
        },
        flowsPerAgent: {
          type: 'integer',
          minimum: 1,
          maximum: 1_000_000,
          default: 4000,
          description: 'open flows of one agent, over all its sessions',
        },
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

export type ConnectorConfig = XStatic<typeof connectorSchema>;

/** Rules that the schema cannot say. */
export const checkConnector: Check<ConnectorConfig> = function* (config) {
  yield* checkTransport(config.transport);
  if (config.health.timeoutMs > config.health.intervalMs) {
    yield { path: ['health', 'timeoutMs'], message: 'must not be above health.intervalMs' };
  }
};
