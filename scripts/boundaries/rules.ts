// The boundaries of the code base, each with the reason that is printed when it is broken.

export const rules = {
  'apps-apart': 'Apps never import apps: each is deployed alone, and what two of them share is a package.',
  'packages-below-apps': 'Packages never import apps: the core must not know who uses it.',
  'one-door-to-native':
    'Only packages/quic loads the addon: its face is where errors, limits and closing are made safe.',
  'sans-io':
    'Protocol cores import no node:* and no package that does I/O: they are simulated in virtual time.',
  'sans-io-globals':
    'Protocol cores use no clock, timer, randomness, process or console: these come in as arguments, so that a simulation repeats exactly.',
  order:
    'A package imports only those that the order (importOrder in scripts/boundaries/rules.ts) puts below it: what is below must not know what is above, and cycles hide who depends on whom.',
  declared:
    'A package imports only what its own package.json declares: otherwise it works by accident of hoisting.',
  'by-name':
    'Across packages imports go by name, not by path: what a package does not export is its own business.',
  'literal-import': 'import() takes a literal: a computed path hides from these checks and from bundlers.',
  'long-file':
    'A file over 500 lines says why in its first 10 lines ("Long because: …"): long files hide their structure.',
} as const;

export type Rule = keyof typeof rules;

/**
 * The order of the packages, and what each of them may import of ours, tests aside: only what stands before it here. A
 * new dependency is a decision: it is made here, then declared in the package's `package.json`.
 */
export const importOrder: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  policy: ['wire'],
  session: ['policy', 'wire'],
  identity: ['policy', 'wire'],
  runtime: [],
  quic: [],
  portmap: ['runtime', 'wire'],
  link: ['portmap', 'quic', 'runtime', 'identity', 'session', 'policy', 'wire'],
  apps: ['link', 'quic', 'runtime', 'identity', 'session', 'policy', 'wire'],
  // For tests alone.
  sim: [],
};

/** Packages whose non-test code is sans-IO. They may import each other. */
export const corePackages: ReadonlySet<string> = new Set(['wire', 'policy', 'session', 'sim']);

/** Folders that are sans-IO in packages that also have a shell: they import nothing of their package outside. */
export const coreFolders: readonly string[] = ['packages/portmap/src/core'];

/**
 * The one file that may import apps, by path too: the table by which the command line interface loads each
 * command lazily, so that `ztna --help` loads none. The CLI is what a user types, not a deployed component.
 */
export const commandTable = 'apps/cli/src/commands.ts';

/** Globals that bring time, chance or the outside into a core. Member names are checked for Date and Math. */
export const impureGlobals: ReadonlySet<string> = new Set([
  ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate'],
  ...['queueMicrotask', 'performance', 'crypto', 'process', 'Buffer', 'console', 'fetch', 'WebSocket'],
  ...['globalThis', 'global', 'require', 'eval'],
]);

export const longFile = 500;
export const longFileReason = /Long because: \S/;
