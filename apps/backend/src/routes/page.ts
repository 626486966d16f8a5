import { readFile } from 'node:fs/promises';
import { type Route, send } from './route.ts';

const folder = new URL('../../page/', import.meta.url);
const files: Readonly<Record<string, { file: string; type: string }>> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
};

/** The page that shows it all in a browser; it loads nothing from elsewhere. */
export const page: Route = {
  methods: ['GET', 'HEAD'],
  path: /^\/(page\.(css|js))?$/,
  async handle({ response, url }) {
    const { file, type } = files[url.pathname] ?? { file: 'index.html', type: 'text/html; charset=utf-8' };
    const policy =
      "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:";
    response.setHeader('content-security-policy', `${policy}; base-uri 'none'; form-action 'none'`);
    send(response, 200, type, await readFile(new URL(file, folder)));
  },
};
