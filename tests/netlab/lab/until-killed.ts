// A lab with processes in it that stays until its process is killed; for the test of that. Prints its networks.
import { startLab } from './lab.ts';
import { access } from './topology.ts';

const networks = access('symmetric', 'home');
const hosts = { a: { uplinks: ['home'] }, b: { uplinks: ['internet'], link: { delayMs: 1 } } };
const lab = await startLab({ networks, hosts });
await Promise.all(['a', 'b'].map(async (host) => (await lab.probe(host)).udp()));
// One that would stay: a probe ends with its input.
lab.start('a', { name: 'sleep', command: 'sleep', args: ['600'] });
const own = ['internet', 'wires', 'home', 'a', 'b'].map((node) =>
  lab.run(node, 'readlink /proc/self/ns/net'),
);
console.log(JSON.stringify((await Promise.all(own)).map((link) => link.trim())));
setInterval(() => {}, 1 << 30);
