// Loaded before a child's own program (`node --import`): ends the process at once when its parent is gone, even by
// SIGKILL. The parent holds the other end of descriptor 3 and never writes.
import { Socket } from 'node:net';
import { parentPipe } from './parent-pipe.ts';

const parent = new Socket({ fd: parentPipe, readable: true, writable: false });
parent.on('error', () => {});
parent.on('close', () => process.kill(process.pid, 'SIGKILL'));
parent.resume();
parent.unref();
