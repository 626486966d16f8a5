// By hand, as root on Linux with ip, nft, sysctl and miniupnpd built for nftables:
//   node packages/portmap/test/miniupnpd.ts
// Three namespaces of its own: inside, gateway, outside. With each protocol a port is mapped, a datagram from outside
// arrives by it, and the mapping is gone after close; then the daemon restarts without its state and is asked again.
// Exit code 0 if all of it holds. Takes some 10 s.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Mapping, PortMapper, type PortMappingProtocol, portMappingProtocols } from '../src/index.ts';

const [inside, gateway, outside] = ['in', 'gw', 'out'].map((end) => `pm${process.pid}${end}`) as [
  string,
  string,
  string,
];
const localPort = 41_000;
const stepMs = 8000;
/** The daemon gives no mapping on a private or documentation address; the namespaces have no way out. */
const external = '44.0.113.1';

async function run(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portmap-'));
  let daemon: ChildProcess | undefined;
  try {
    layNetwork();
    daemon = await startDaemon(folder);
    for (const protocol of portMappingProtocols) {
      await using client = new Client(protocol);
      await client.reached();
      await client.closed();
      console.log(`${protocol}: mapped, reached from outside, gone after close`);
    }
    await using client = new Client('pcp');
    await client.reached();
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
    layRules();
    daemon = await startDaemon(folder);
    await client.reached();
    console.log('restart of the daemon without its state: mapped again, reached from outside');
  } finally {
    daemon?.kill();
    for (const name of [inside, gateway, outside]) execFileSync('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A process inside that holds a mapping. */
class Client implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(protocol: PortMappingProtocol) {
    this.#process = within(inside, process.execPath, [import.meta.filename, 'map', protocol]);
    if (!this.#process.stdout) throw new Error('no output');
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** The next mapping is there, and a datagram arrives by it. */
  async reached(): Promise<void> {
    const mapped = await this.#next('mapped ');
    within(outside, process.execPath, [import.meta.filename, 'send', mapped]);
    await this.#next('datagram');
  }

  async closed(): Promise<void> {
    this.#process.stdin?.end();
    await this.#next('closed');
    const rules = execFileSync('ip', ['netns', 'exec', gateway, 'nft', 'list', 'ruleset'], {
      encoding: 'utf8',
    });
    if (rules.includes(String(localPort))) throw new Error(`the gateway still has the mapping:\n${rules}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
  }

  async #next(start: string): Promise<string> {
    const late = AbortSignal.timeout(stepMs);
    for (;;) {
      const line = await Promise.race([this.#lines.next(), once(late, 'abort')]);
      if (Array.isArray(line) || line.done) throw new Error(`waited in vain for "${start}"`);
      if (line.value.startsWith(start)) return line.value.slice(start.length);
    }
  }
}

function map(protocol: PortMappingProtocol): void {
  const say = (text: string) => console.log(text);
  const socket = createSocket('udp4', () => say('datagram')).bind(localPort);
  const mapper = PortMapper.start({
    localPort,
    protocolOrder: [protocol],
    onMapping: (mapping: Mapping | undefined) => mapping && say(`mapped ${mapping.external}`),
    log: { debug: () => {}, info: () => {}, error: (fields: unknown) => console.error(fields) },
  });
  process.stdin.resume().on('end', async () => {
    await mapper.close();
    socket.close();
    say('closed');
  });
}

function send(to: string): void {
  const [address = '', port = ''] = to.split(':');
  const socket = createSocket('udp4');
  socket.send('hello', Number(port), address, () => socket.close());
}

function layNetwork(): void {
  for (const name of [inside, gateway, outside]) ip(`netns add ${name}`, `-n ${name} link set lo up`);
  ip(
    `-n ${inside} link add eth0 type veth peer name lan netns ${gateway}`,
    `-n ${gateway} link add wan type veth peer name eth0 netns ${outside}`,
    ...address(inside, 'eth0', '10.77.0.2'),
    ...address(gateway, 'lan', '10.77.0.1'),
    ...address(gateway, 'wan', external),
    ...address(outside, 'eth0', '44.0.113.9'),
    `-n ${inside} route add default via 10.77.0.1`,
    `-n ${gateway} route add default via 44.0.113.9`,
    `netns exec ${gateway} sysctl -qw net.ipv4.ip_forward=1`,
  );
  layRules();
}

/** The chains are those that the daemon fills; laid anew it has lost its mappings. */
function layRules(): void {
  const rules = `
    table inet filter
    delete table inet filter
    table inet filter {
      chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
      }
      chain miniupnpd { }
      chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
      chain postrouting { type nat hook postrouting priority 100; oifname "wan" masquerade; }
      chain prerouting_miniupnpd { }
      chain postrouting_miniupnpd { }
    }`;
  execFileSync('ip', ['netns', 'exec', gateway, 'nft', '-f', '-'], { input: rules });
}

/** Resolves once it listens for PCP and NAT-PMP, which it does last. */
async function startDaemon(folder: string): Promise<ChildProcess> {
  const config = join(folder, 'miniupnpd.conf');
  writeFileSync(
    config,
    `ext_ifname=wan
listening_ip=lan
port=5000
enable_natpmp=yes
enable_upnp=yes
min_lifetime=120
max_lifetime=86400
secure_mode=yes
uuid=7c726f6a-bc3d-4a41-b372-e47431c33866
allow 1024-65535 10.77.0.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`,
  );
  const daemon = within(gateway, 'miniupnpd', ['-d', '-f', config, '-P', join(folder, 'pid')]);
  if (!daemon.stderr) throw new Error('no output');
  const seen: string[] = [];
  for await (const line of createInterface({ input: daemon.stderr })) {
    seen.push(line);
    if (!line.includes('Listening for NAT-PMP/PCP')) continue;
    daemon.stderr.resume();
    return daemon;
  }
  throw new Error(`miniupnpd did not start:\n${seen.join('\n')}`);
}

function address(name: string, link: string, own: string): string[] {
  return [`-n ${name} addr add ${own}/24 dev ${link}`, `-n ${name} link set ${link} up`];
}

function ip(...commands: string[]): void {
  for (const command of commands) execFileSync('ip', command.split(' '));
}

function within(name: string, command: string, args: readonly string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', name, command, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
}

const [role, argument = ''] = process.argv.slice(2);
if (role === 'map') map(argument as PortMappingProtocol);
else if (role === 'send') send(argument);
else await run();
