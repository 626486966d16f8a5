import { parentPort } from 'node:worker_threads';
import type { TapRequest } from './tap.ts';
import { UdpTap } from './udp-tap.ts';

if (!parentPort) throw new Error('the tap runs in a thread of its own');
const port = parentPort;
const tap = await UdpTap.open();
port.on('message', (request: TapRequest) => port.postMessage(answer(request)));
port.postMessage(tap.address);

function answer(request: TapRequest): unknown {
  switch (request.do) {
    case 'target':
      return tap.setTarget(request.target);
    case 'counters':
      return tap.counters;
    case 'record':
      return tap.record();
    case 'stop-recording':
      return tap.stopRecording();
  }
}
