// Checks every source file of a checkout against the rules.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import {
  commandTable,
  coreFolders,
  corePackages,
  importOrder,
  longFile,
  longFileReason,
  type Rule,
} from './rules.ts';
import { type Finding, type Import, readSource, type Source } from './source.ts';

export interface Violation {
  readonly rule: Rule;
  readonly file: string;
  readonly line: number;
  readonly detail: string;
}

/** Where a file lives. `name` is the folder: "wire", "agent". Files of the root (tests, scripts) have none. */
interface Place {
  readonly kind: 'app' | 'package' | 'root';
  readonly name: string;
  readonly folder: string;
  readonly isTest: boolean;
  /** The sans-IO folder that it lies in: of a whole package, or of a part of one. */
  readonly core: string | undefined;
}

const generated = /(^|\/)gen\//;
const testFile = /\.(test|bench)\.ts$|(^|\/)(test|tests|testing|simulation|fixtures)\/|(^|\/)testing\.ts$/;
const skipped = (path: string) => /(^|\/)(node_modules|target|dist)$/.test(path);

/** @returns violations in the order of files; an empty list only if there were files to check. */
export function checkBoundaries(root: string): Violation[] {
  const sources = list(root, '{apps,packages,scripts,tests,bench,native/quic-napi}/**/*.{ts,tsx,mts,cts}');
  const rust = list(root, 'native/**/*.rs');
  if (sources.length === 0) throw new Error(`no source files under ${root}: nothing was checked`);
  return [
    ...sources.flatMap((file) => checkFile(root, file)),
    ...rust.flatMap((file) => checkLength(file, readFileSync(join(root, file), 'utf8'))),
  ];
}

function list(root: string, pattern: string): string[] {
  return globSync(pattern, { cwd: root, exclude: skipped }).sort();
}

function checkFile(root: string, file: string): Violation[] {
  if (file.endsWith('.d.ts')) return [];
  const text = readFileSync(join(root, file), 'utf8');
  const place = placeOf(file);
  const source = readSource(file, text);
  const found = source.imports.flatMap((entry) => checkImport(root, file, place, entry));
  return [
    ...found,
    ...checkNative(file, place, source),
    ...checkGlobals(file, place, source.globals),
    ...(generated.test(file) ? [] : checkLength(file, text)),
  ];
}

function placeOf(file: string): Place {
  const [top = '', name = ''] = file.split('/');
  const isTest = testFile.test(file);
  if (top === 'apps') return { kind: 'app', name, folder: `apps/${name}`, isTest, core: undefined };
  if (top !== 'packages') return { kind: 'root', name: '', folder: '', isTest, core: undefined };
  const folder = `packages/${name}`;
  const whole = corePackages.has(name) ? folder : undefined;
  const core = isTest ? undefined : (whole ?? coreFolders.find((part) => file.startsWith(`${part}/`)));
  return { kind: 'package', name, folder, isTest, core };
}

function checkImport(root: string, file: string, place: Place, entry: Import): Violation[] {
  if (place.kind === 'root') return [];
  const violation = (rule: Rule, detail: string): Violation[] => [{ rule, file, line: entry.line, detail }];
  const { specifier } = entry;
  if (specifier === undefined) return violation('literal-import', 'import() of a computed path');
  if (specifier.startsWith('.')) {
    const target = normalize(join(dirname(file), specifier));
    if (leaves(file, target, place)) return violation('by-name', `imports ${specifier}`);
    const shell = place.core !== undefined && !target.startsWith(`${place.core}/`);
    return shell ? violation('sans-io', `imports ${specifier}`) : [];
  }
  const name = packageName(specifier);
  const layer = layerRule(root, file, place, specifier, name);
  if (layer) return violation(layer, `imports ${specifier}`);
  if (isBuiltin(specifier) || name === `@ztna/${place.name}` || isDeclared(root, place, name)) return [];
  return violation('declared', `imports ${specifier}, which ${place.folder}/package.json does not declare`);
}

/** A test may reach shared helpers in the root's tests folder; code never leaves its package. */
function leaves(file: string, target: string, place: Place): boolean {
  if (file === commandTable && /^(apps|bench)\//.test(target)) return false;
  if (place.isTest && target.startsWith('tests/')) return false;
  return !target.startsWith(`${place.folder}/`);
}

function layerRule(
  root: string,
  file: string,
  place: Place,
  specifier: string,
  name: string,
): Rule | undefined {
  const target = name.startsWith('@ztna/') ? name.slice('@ztna/'.length) : undefined;
  if (target && target !== place.name && existsSync(join(root, 'apps', target))) {
    if (place.kind === 'package') return 'packages-below-apps';
    if (file !== commandTable) return 'apps-apart';
  }
  if (place.core !== undefined && (isBuiltin(specifier) || (target && !corePackages.has(target))))
    return 'sans-io';
  return target && isAbove(root, place, target) ? 'order' : undefined;
}

/** Whether `target` is a package that stands not below this place, or one of them has no place in the order. */
function isAbove(root: string, place: Place, target: string): boolean {
  if (place.isTest || target === place.name || !existsSync(join(root, 'packages', target))) return false;
  const below = importOrder[place.kind === 'app' ? 'apps' : place.name];
  return below?.includes(target) !== true;
}

function checkNative(file: string, place: Place, source: Source): Violation[] {
  const ours = place.folder === 'packages/quic' || file.startsWith('native/quic-napi/');
  if (ours || place.kind === 'root') return [];
  return source.strings
    .filter(({ what }) => packageName(what) === '@ztna/quic-napi' || what.endsWith('.node'))
    .map(({ what, line }) => ({ rule: 'one-door-to-native', file, line, detail: `names ${what}` }));
}

function checkGlobals(file: string, place: Place, globals: readonly Finding[]): Violation[] {
  if (place.core === undefined) return [];
  return globals.map(({ what, line }) => ({ rule: 'sans-io-globals', file, line, detail: `uses ${what}` }));
}

function checkLength(file: string, text: string): Violation[] {
  const lines = text.split('\n');
  const count = lines.at(-1) === '' ? lines.length - 1 : lines.length;
  const explained = lines.slice(0, 10).some((line) => longFileReason.test(line));
  return count <= longFile || explained
    ? []
    : [{ rule: 'long-file', file, line: count, detail: `${count} lines and no reason` }];
}

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith('node:') || builtinModules.includes(specifier);
}

/** "@scope/name/sub" → "@scope/name", "name/sub" → "name". */
function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
}

const manifests = new Map<string, Manifest>();

/** Tests may also use the tools of the root (vitest, fast-check) and its declared development packages. */
function isDeclared(root: string, place: Place, name: string): boolean {
  const own = manifest(join(root, place.folder, 'package.json'));
  if (own.dependencies?.[name] !== undefined) return true;
  if (!place.isTest) return false;
  const shared = manifest(join(root, 'package.json'));
  return own.devDependencies?.[name] !== undefined || shared.devDependencies?.[name] !== undefined;
}

function manifest(path: string): Manifest {
  const known = manifests.get(path);
  if (known) return known;
  const read: Manifest = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  manifests.set(path, read);
  return read;
}
