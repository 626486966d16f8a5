/**
 * Writes vectors/control.json: `node packages/wire/test/make-vectors.ts`. For a deliberate change of the protocol
 * only: tests check the committed file and never make it. relay.json and fragment.json are written by hand.
 */
import { writeFileSync } from 'node:fs';
import {
  encodeControlMessage,
  encodeFlowOpen,
  encodeFlowResult,
  encodeFrame,
  encodeGrant,
  encodePathHello,
  encodeSignedGrant,
  encodeSnapshot,
  encodeSnapshotEnvelope,
  fromHex,
  grantSigningInput,
  snapshotSigningInput,
  toHex,
  wireError,
} from '../src/index.ts';
import { toJson } from './json.ts';
import {
  controlMessages,
  directSnapshots,
  flowOpens,
  grant,
  pathHellos,
  signedGrant,
  snapshots,
} from './samples.ts';

const flowResults = [{}, { error: wireError('backend-refused', 'web refused port 443: is it running?') }];
const [agentSnapshot] = snapshots;
if (agentSnapshot === undefined) throw new Error('no snapshot');
const snapshotBytes = encodeSnapshot(agentSnapshot);
const envelope = {
  snapshot: snapshotBytes,
  signature: new Uint8Array(64).fill(0xa5),
  signer: fromHex('3003020101'),
};

const valid = [
  ...controlMessages.map((m) => vector('control', nameOf(m), encodeControlMessage(m), m)),
  ...flowOpens.map((m) => vector('flow-open', m.protocol, encodeFlowOpen(m), m)),
  ...flowResults.map((m) => vector('flow-result', m.error ? 'failed' : 'open', encodeFlowResult(m), m)),
  vector('grant', 'two services', encodeGrant(grant), grant),
  vector('signed-grant', 'placeholder signature', encodeSignedGrant(signedGrant), signedGrant),
  ...snapshots.map((m) => vector('snapshot', m.content.role, encodeSnapshot(m), m)),
  ...directSnapshots.map((m) =>
    vector('snapshot', `${m.content.role} with conditions on paths`, encodeSnapshot(m), m),
  ),
  ...pathHellos.map((m) => vector('path-hello', m.nat, encodePathHello(m), m)),
  vector('snapshot-envelope', 'placeholder signature', encodeSnapshotEnvelope(envelope), envelope),
];

const goodbye = '6a00';
const grantHex = toHex(encodeGrant(grant));
const invalid = [
  bad('control', 'no message', '', 'missing'),
  bad('control', 'cut off', '0a05', 'malformed'),
  bad('control', 'wrong wire type', '0801', 'malformed'),
  bad('control', 'nested length runs over its parent', '6a03', 'malformed'),
  bad('control', 'bad UTF-8', '6a030a01ff', 'malformed'),
  bad('control', 'session uid of 15 bytes', `5211${`0a0f${'00'.repeat(15)}`}`, 'invalid'),
  bad('control', 'OpenSession without request id', '22051203776562', 'missing'),
  bad('control', 'OpenSession for a name in capitals', '220708011203574542', 'invalid'),
  bad('flow-open', 'no protocol', '', 'missing'),
  bad('flow-open', 'port 65536', `${toHex(encodeFlowOpen(first(flowOpens)))}18808004`, 'out-of-range'),
  bad('grant', 'unknown field 99', `${grantHex}980601`, 'unknown-field'),
  bad('grant', 'unknown feature', `${grantHex}620178`, 'unknown-feature'),
  bad('grant', 'tenant given twice', `${grantHex}0a0764656661756c74`, 'malformed'),
  bad('grant', 'empty', '', 'missing'),
  bad('snapshot', 'unknown field 99', `${toHex(snapshotBytes)}980601`, 'unknown-field'),
  bad('snapshot', 'unknown field inside an intermediate', '4a050a03980601', 'unknown-field'),
  bad('snapshot', 'unknown transport', '4a06120412020803', 'unknown-field'),
  bad('snapshot', 'unknown policy for direct paths', '4a06120420030a00', 'unknown-field'),
  bad('path-hello', '17 candidates', '1811', 'out-of-range'),
  bad('path-hello', 'cut off', '08', 'malformed'),
  bad('path-hello', 'over its limit', `2afd01${'00'.repeat(254)}`, 'too-large'),
  bad('snapshot-envelope', 'unknown field', '980601', 'unknown-field'),
];

const file = {
  valid,
  invalid,
  unknownMessages: [{ name: 'field 500', hex: `a21f${'00'}`, numbers: [500] }],
  frames: [
    { hex: toHex(encodeFrame(fromHex(goodbye))), messages: [goodbye] },
    { hex: `02${goodbye}4002`, error: 'non-minimal', messages: [goodbye] },
    { hex: '80010001', error: 'too-large', messages: [] },
  ],
  signing: [
    { kind: 'grant', hex: toHex(grantSigningInput(fromHex('0a00'))), content: '0a00' },
    { kind: 'snapshot', hex: toHex(snapshotSigningInput(fromHex('0a00'))), content: '0a00' },
  ],
};
const path = new URL('../../../vectors/control.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(file, null, 1)}\n`);

function vector(codec: string, name: string, bytes: Uint8Array, value: unknown) {
  return { codec, name, hex: toHex(bytes), value: toJson(value) };
}

function bad(codec: string, name: string, hex: string, error: string) {
  return { codec, name, hex, error };
}

function nameOf(message: (typeof controlMessages)[number]): string {
  const failed = 'reason' in message && typeof message.reason === 'object';
  return 'error' in message || failed ? `${message.type} with error` : message.type;
}

function first<T>(values: readonly T[]): T {
  const [value] = values;
  if (value === undefined) throw new Error('empty');
  return value;
}
