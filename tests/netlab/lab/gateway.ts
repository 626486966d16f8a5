// The program by which routers map ports on request: miniupnpd, on nftables.
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { rules } from './build.ts';
import { upnpPort } from './nat.ts';
import type { LabProcess } from './process.ts';
import { type Space, tools } from './space.ts';
import type { MappingProtocol } from './topology.ts';

const program = 'miniupnpd';

/** Why routers cannot map ports on this machine; undefined when they can. */
export async function gatewayObstacle(): Promise<string | undefined> {
  for (const folder of tools.split(':')) {
    const found = await access(join(folder, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return undefined;
  }
  return `${program} is not installed (Debian: miniupnpd-nftables)`;
}

/** Starts it on the router of a network. It answers when this resolves. */
export async function startGateway(
  space: Space,
  network: string,
  protocol: MappingProtocol,
): Promise<LabProcess> {
  await space.run(rules(network, table));
  const name = `${program}-${network}`;
  const file = join(space.folder, `${name}.conf`);
  await space.run(`cat > '${file}' <<'END'\n${settings(protocol)}\nEND`);
  // Without `-P` its PID file would be that of the machine's own daemon.
  const args = ['-d', '-f', file, '-P', join(space.folder, `${name}.pid`)];
  const daemon = space.start(network, { name, command: program, args });
  // What it opens last.
  const last = protocol === 'upnp' ? 'HTTP listening on port' : 'Listening for NAT-PMP/PCP';
  await daemon.logged(({ text }) => `${text}`.includes(last), { what: 'ready' });
  return daemon;
}

function settings(protocol: MappingProtocol): string {
  return [
    'ext_ifname=wan',
    'listening_ip=lan',
    'ipv6_disable=yes',
    `http_port=${upnpPort}`,
    `enable_upnp=${protocol === 'upnp' ? 'yes' : 'no'}`,
    `enable_natpmp=${protocol === 'pcp' ? 'yes' : 'no'}`,
    'min_lifetime=120',
    'max_lifetime=86400',
    'secure_mode=yes',
    'uuid=3f1c6b9e-52d7-4b0a-9c41-7f3e8d2a6b15',
    'upnp_table_name=mapper',
    'upnp_nat_table_name=mapper',
    'allow 1024-65535 0.0.0.0/0 1024-65535',
    'deny 0-65535 0.0.0.0/0 0-65535',
  ].join('\n');
}

/** Chains of its own, which it fills: beside the router's, whose `forward` lets in what was mapped. */
const table = `
table inet mapper {}
delete table inet mapper
table inet mapper {
  chain inward { type nat hook prerouting priority dstnat; jump prerouting_miniupnpd; }
  chain miniupnpd {}
  chain prerouting_miniupnpd {}
  chain postrouting_miniupnpd {}
}`;
