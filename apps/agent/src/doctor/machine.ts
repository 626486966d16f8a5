import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { formatAddress, isLoopback, parseListenAddress, systemReason } from '@ztna/runtime';
import type { AgentConfig } from '@ztna/runtime/config';
import { type Check, fail, ok, skip, warn } from './check.ts';

/** What the QUIC engine asks the system for, bytes; and what will do. */
const WANTED_BUFFER = 8 << 20;
const ENOUGH_BUFFER = 2 << 20;
/** Files beside flows and proxy handshakes: the process itself, local ports, UDP associations of the proxy (two each, 256). */
const OTHER_FILES = 1_024;

/** What this machine must have. Paths of /proc are for tests. */
export function checkMachine(config: AgentConfig | undefined, proc = '/proc'): Check[] {
  return [checkBuffers(proc), checkFiles(proc, config), checkIpv6()];
}

/**
 * Whether the local addresses of the configuration can be listened on. `running`: pids of agents of the same
 * configuration, which have them already.
 */
export async function checkListen(config: AgentConfig, running: readonly number[]): Promise<Check> {
  const { listen, metrics, proxy } = config;
  const taken = [
    await tryUdp('listen', listen),
    await tryTcp('metrics.listen', metrics.listen),
    await tryTcp('proxy.listen', proxy.listen),
  ].filter((problem) => problem !== undefined);
  if (taken.length === 0) return ok('listen', 'the local addresses are free');
  const message = taken.map(({ setting, text, why }) => `${setting} ${text}: ${why}`).join('; ');
  if (running.length > 0) return ok('listen', `${message} (this agent runs: pid ${running.join(', ')})`);
  const remedy = 'stop the program that has it, or choose another address (port 0 takes a free one)';
  const finding = { code: 'listen-failed', message, remedy };
  // Only `ztna proxy` needs it, and it takes another one with --listen.
  return taken.every(({ setting }) => setting === 'proxy.listen')
    ? warn('listen', finding)
    : fail('listen', finding);
}

async function tryUdp(setting: string, text: string) {
  const address = parseListenAddress(text);
  if (!address || address.port === 0) return undefined;
  const socket = createSocket({ type: address.host.includes(':') ? 'udp6' : 'udp4' });
  try {
    socket.bind(address.port, address.host);
    await once(socket, 'listening');
    return undefined;
  } catch (error) {
    return { setting, text, why: systemReason(error) };
  } finally {
    socket.close();
  }
}

async function tryTcp(setting: string, text: string) {
  const address = parseListenAddress(text);
  if (!address || address.port === 0) return undefined;
  const server = createServer();
  try {
    server.listen(address.port, address.host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return { setting, text: formatAddress(address), why: systemReason(error) };
  } finally {
    server.close();
  }
}

function checkBuffers(proc: string): Check {
  const limits = ['rmem_max', 'wmem_max'].map((name) => ({
    name: `net.core.${name}`,
    bytes: Number(read(`${proc}/sys/net/core/${name}`) ?? Number.NaN),
  }));
  const known = limits.filter(({ bytes }) => Number.isFinite(bytes));
  if (known.length === 0) return skip('udp-buffers', 'this system has no such limits, or hides them');
  const facts = Object.fromEntries(known.map(({ name, bytes }) => [name, bytes]));
  const small = known.filter(({ bytes }) => bytes < ENOUGH_BUFFER);
  if (small.length === 0)
    return ok('udp-buffers', known.map(({ name, bytes }) => `${name} is ${bytes}`).join(', '), facts);
  const message = small
    .map(({ name, bytes }) => `${name} is ${bytes}, ${WANTED_BUFFER} would be used`)
    .join('; ');
  const remedy = `sysctl -w ${small.map(({ name }) => `${name}=${WANTED_BUFFER}`).join(' ')} (for good: a file in /etc/sysctl.d); matters above some 100 Mbit/s`;
  return warn('udp-buffers', { code: 'udp-buffers-small', message, remedy }, facts);
}

function checkFiles(proc: string, config: AgentConfig | undefined): Check {
  const line = /^Max open files +(\d+|unlimited)/m.exec(read(`${proc}/self/limits`) ?? '')?.[1];
  if (line === undefined) return skip('file-descriptors', 'this system does not tell the limit');
  const limit = line === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(line);
  if (config === undefined) return ok('file-descriptors', `${line} open files`, { limit });
  const { flows } = config.limits;
  const needed = flows + config.proxy.handshakes + OTHER_FILES;
  const message = `${line} open files; limits.flows is ${flows}, which takes ${needed}`;
  if (limit >= needed) return ok('file-descriptors', message, { limit });
  const remedy = `raise it to ${needed} (LimitNOFILE= of the unit, ulimit -Hn), or lower limits.flows`;
  return warn('file-descriptors', { code: 'few-file-descriptors', message, remedy }, { limit });
}

function checkIpv6(): Check {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = addresses.some(
    ({ family, address }) => family === 'IPv6' && !isLoopback(address) && !/^fe[89ab]/i.test(address),
  );
  const message = usable ? 'this machine has an IPv6 address' : 'no IPv6 address: IPv4 alone is used';
  return ok('ipv6', message, { usable });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
