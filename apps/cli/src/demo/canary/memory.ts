import { type FileHandle, open, readFile } from 'node:fs/promises';
import type { Needle } from './scanner.ts';
import { Scanner } from './scanner.ts';

/** What a scan of a process's memory gave. */
export interface MemoryScan {
  readonly scanner: Scanner;
  /** Readable mappings, and those of them that could not be read after all (device memory). */
  readonly mappings: number;
  readonly unreadable: number;
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly name: string;
}

const pieceBytes = 1 << 20;
const zeros = Buffer.alloc(pieceBytes);

/**
 * Looks for needles in all readable memory of a process that is its own, by /proc/PID/smaps, pagemap and mem (Linux, proc(5)).
 * The process runs on meanwhile. Throws the system's error when the memory may not be read at all.
 */
export async function scanMemory(pid: number, needles: readonly Needle[]): Promise<MemoryScan> {
  const scanner = new Scanner(needles);
  const smaps = await readFile(`/proc/${pid}/smaps`, 'utf8');
  const mappings = readableMappings(smaps);
  // Not everywhere; without it, what was never touched is read too.
  await using pages = await open(`/proc/${pid}/pagemap`, 'r').catch(() => undefined);
  const isTouched = pageProbe(pages, pageBytesOf(smaps));
  await using memory = await open(`/proc/${pid}/mem`, 'r');
  const piece = Buffer.allocUnsafe(pieceBytes);
  let unreadable = 0;
  try {
    for (const { start, end } of mappings) {
      scanner.gap();
      let at = start;
      while (at < end) {
        const wanted = Number(end - at < BigInt(pieceBytes) ? end - at : BigInt(pieceBytes));
        if (!(await isTouched(at, wanted))) {
          scanner.gap();
          at += BigInt(wanted);
          continue;
        }
        const read = await memory
          .read({ buffer: piece, offset: 0, length: wanted, position: at })
          .then(({ bytesRead }) => bytesRead)
          .catch(ignoreGone);
        if (read === 0) {
          unreadable++;
          break;
        }
        push(scanner, piece.subarray(0, read));
        at += BigInt(read);
      }
    }
  } finally {
    // The needles that were found must not be found again in this process.
    piece.fill(0);
  }
  return { scanner, mappings: mappings.length, unreadable };
}

/**
 * What of /proc/PID/smaps can be read and is not just a file: a private, read-only mapping of a file without pages
 * of the process's own is as it lies on the disk, and left out.
 */
export function readableMappings(smaps: string): Mapping[] {
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((entry) => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r(\S*) \S+ \S+ \S+[ \t]*(.*)$/m.exec(entry);
    if (!match) return [];
    const [, start = '0', end = '0', mode = '', name = ''] = match;
    // Memory of the kernel, shared by all processes.
    if (name === '[vvar]' || name === '[vsyscall]' || name === '[vvar_vclock]') return [];
    const asOnDisk = name.startsWith('/') && /^-.p$/.test(mode) && /^Anonymous:\s+0 kB$/m.test(entry);
    return asOnDisk && !/^Swap:\s+[1-9]/m.test(entry)
      ? []
      : [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), name }];
  });
}

/** Size of a page, bytes: 4 KiB on most machines. */
function pageBytesOf(smaps: string): number {
  return 1024 * Number(/^KernelPageSize:\s+(\d+) kB$/m.exec(smaps)?.[1] ?? 4);
}

/** Whether any page of a range was ever written or read: is in memory or swapped out, by /proc/PID/pagemap. */
function pageProbe(pages: FileHandle | undefined, pageBytes: number) {
  const entryBytes = 8;
  const entries = Buffer.alloc((pieceBytes / pageBytes + 1) * entryBytes);
  return async (at: bigint, length: number): Promise<boolean> => {
    if (!pages) return true;
    const wanted = Math.ceil(length / pageBytes) * entryBytes;
    const position = (at / BigInt(pageBytes)) * BigInt(entryBytes);
    const { bytesRead } = await pages.read({ buffer: entries, offset: 0, length: wanted, position });
    // What is not told is looked at.
    if (bytesRead < wanted) return true;
    for (let i = entryBytes - 1; i < wanted; i += entryBytes) {
      if (((entries[i] ?? 0) & 0xc0) !== 0) return true;
    }
    return false;
  };
}

/** Much of what was touched is still zeros. */
function push(scanner: Scanner, piece: Buffer): void {
  if (piece.equals(piece.length === pieceBytes ? zeros : zeros.subarray(0, piece.length))) scanner.gap();
  else scanner.push(piece);
}

/** A mapping that went away since, or that the kernel does not give out. */
function ignoreGone(error: NodeJS.ErrnoException): number {
  if (error.code === 'EIO' || error.code === 'EFAULT' || error.code === 'ENXIO') return 0;
  throw error;
}
