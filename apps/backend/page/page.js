// @ts-check
// Runs the checks of the page one after another and shows what came back.

/** @type {{ name: string, about: string, run: () => Promise<string> }[]} */
const checks = [
  { name: 'Health', about: 'GET /health answers', run: checkHealth },
  { name: 'Download', about: '4 MiB from /bytes, compared by SHA-256', run: checkDownload },
  { name: 'Upload', about: '4 MiB to /upload, compared by SHA-256', run: checkUpload },
  { name: 'Echo', about: '256 KiB of random bytes to /echo and back', run: checkEcho },
  { name: 'Headers', about: 'A header sent to /headers arrives', run: checkHeaders },
  { name: 'Slow answer', about: 'Five pieces of /slow over half a second', run: checkSlow },
  { name: 'Parallel', about: '50 requests at once', run: checkParallel },
  { name: 'WebSocket', about: 'Text and bytes echoed at /ws', run: checkWebSocket },
];

async function checkHealth() {
  const { ok } = await json('health');
  expect(ok === true, 'the backend does not say it is well');
  return 'the backend is well';
}

async function checkDownload() {
  const size = 4 << 20;
  const body = await (await get(`bytes/${size}?seed=page`)).arrayBuffer();
  expect(body.byteLength === size, `${body.byteLength} bytes came instead of ${size}`);
  const wanted = (await json(`bytes/${size}/sha256?seed=page`)).sha256;
  return compareHash(await sha256(new Uint8Array(body)), wanted);
}

async function checkUpload() {
  const body = await (await get(`bytes/${4 << 20}?seed=upload`)).blob();
  const sent = await sha256(new Uint8Array(await body.arrayBuffer()));
  const arrived = await json('upload', { method: 'PUT', body });
  expect(arrived.bytes === body.size, `${arrived.bytes} bytes arrived of ${body.size}`);
  return compareHash(sent, arrived.sha256);
}

async function checkEcho() {
  const sent = random(256 << 10);
  const body = new Blob([sent]);
  const back = new Uint8Array(await (await get('echo', { method: 'POST', body })).arrayBuffer());
  expect(equal(sent, back), 'what came back differs from what was sent');
  return `${size(back.length)} came back unchanged`;
}

async function checkHeaders() {
  const value = crypto.getRandomValues(new Uint32Array(1)).join();
  const { headers } = await json('headers', { headers: { 'x-ztna-check': value } });
  expect(headers['x-ztna-check'] === value, 'the header did not arrive');
  return `${Object.keys(headers).length} headers arrived, ours among them`;
}

async function checkSlow() {
  const response = await get('slow?ms=500&chunks=5');
  const text = await response.text();
  expect(text.trim().split('\n').length === 5, 'pieces are missing');
  return '5 pieces arrived';
}

async function checkParallel() {
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => json(`headers?${i}`)));
  expect(
    answers.every((a, i) => a.url.endsWith(`?${i}`)),
    'answers were mixed up',
  );
  return '50 answers, each to its own request';
}

async function checkWebSocket() {
  const url = new URL('ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  try {
    await event(socket, 'open');
    socket.send('hello ✓');
    expect((await event(socket, 'message')).data === 'hello ✓', 'the text came back changed');
    const sent = random(64 << 10);
    socket.send(sent);
    const back = new Uint8Array((await event(socket, 'message')).data);
    expect(equal(sent, back), 'the bytes came back changed');
    return `text and ${size(back.length)} came back unchanged`;
  } finally {
    socket.close();
  }
}

// --- helpers of the checks

/** @param {string} path @param {RequestInit} [init] */
async function get(path, init) {
  const response = await fetch(path, { ...init, signal: AbortSignal.timeout(30_000), cache: 'no-store' });
  expect(response.ok, `${path} answered ${response.status}`);
  return response;
}

/** @param {string} path @param {RequestInit} [init] */
async function json(path, init) {
  return (await get(path, init)).json();
}

/** @param {boolean} condition @param {string} message */
function expect(condition, message) {
  if (!condition) throw new Error(message);
}

/** SHA-256 in hex; undefined where the browser has no Web Crypto (a page that is neither HTTPS nor local). */
async function sha256(/** @type {Uint8Array<ArrayBuffer>} */ bytes) {
  if (!crypto.subtle) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('');
}

/** @param {string | undefined} own @param {string} theirs */
function compareHash(own, theirs) {
  if (own === undefined) return 'complete; the hash was not compared, this page is not a secure context';
  expect(own === theirs, `SHA-256 differs: ${own.slice(0, 12)}… and ${theirs.slice(0, 12)}…`);
  return `SHA-256 ${own.slice(0, 12)}… is the same on both sides`;
}

/** @param {number} length */
function random(length) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 65536) crypto.getRandomValues(bytes.subarray(i, i + 65536));
  return bytes;
}

/** @param {Uint8Array} a @param {Uint8Array} b */
function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** @param {number} bytes */
function size(bytes) {
  return `${bytes / 1024} KiB`;
}

/** @param {WebSocket} socket @param {'open' | 'message'} type @returns {Promise<any>} */
function event(socket, type) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(30_000);
    socket.addEventListener(type, resolve, { once: true });
    socket.addEventListener('close', () => reject(new Error('the WebSocket was closed')), { once: true });
    signal.addEventListener('abort', () => reject(new Error('no answer within 30 s')), { once: true });
  });
}

// --- the page

const list = /** @type {HTMLElement} */ (document.querySelector('#checks'));
const template = /** @type {HTMLTemplateElement} */ (document.querySelector('#check'));
const verdict = /** @type {HTMLElement} */ (document.querySelector('#verdict'));
const runAll = /** @type {HTMLElement} */ (document.querySelector('#run-all'));

const runners = checks.map((check) => {
  const item = /** @type {HTMLElement} */ (
    /** @type {Element} */ (template.content.firstElementChild).cloneNode(true)
  );
  const part = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (item.querySelector(selector));
  part('h2').textContent = check.name;
  part('.about').textContent = check.about;
  const button = part('button');
  button.setAttribute('aria-label', `Run ${check.name}`);
  const run = once(button, () => runCheck(check, item, part('.result')));
  button.addEventListener('click', run);
  list.append(item);
  return run;
});

/** @param {(typeof checks)[number]} check @param {HTMLElement} item @param {HTMLElement} result */
async function runCheck(check, item, result) {
  item.dataset.state = 'running';
  result.textContent = '';
  const start = performance.now();
  try {
    const text = await check.run();
    item.dataset.state = 'good';
    result.textContent = `Passed in ${Math.round(performance.now() - start)} ms: ${text}`;
    return true;
  } catch (error) {
    item.dataset.state = 'bad';
    result.textContent = `Failed: ${error instanceof Error ? error.message : error}`;
    return false;
  }
}

async function runEverything() {
  verdict.dataset.state = 'running';
  verdict.textContent = 'Running…';
  let passed = 0;
  for (const run of runners) if (await run()) passed++;
  verdict.dataset.state = passed === checks.length ? 'good' : 'bad';
  verdict.textContent = `${passed} of ${checks.length} checks passed`;
}

/**
 * Keeps a button focusable, but marked, while its work goes on; a second call joins the first.
 * @template T
 * @param {HTMLElement} button
 * @param {() => Promise<T>} work
 */
function once(button, work) {
  /** @type {Promise<T> | undefined} */
  let current;
  return () => {
    button.setAttribute('aria-disabled', 'true');
    current ??= work().finally(() => {
      button.removeAttribute('aria-disabled');
      current = undefined;
    });
    return current;
  };
}

/** @type {HTMLElement} */ (document.querySelector('#curl')).textContent =
  `curl ${new URL('bytes/1048576', location.href)} | sha256sum`;
const start = once(runAll, runEverything);
runAll.addEventListener('click', start);
start();
