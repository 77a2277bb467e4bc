// Draws boards in Chromium. Reads from standard input {chromium, width, boards: [{name, asked, picture}]}, where `asked` and `picture`
// are files: the board with its answers, and the picture to be. Writes {name: {panels, console}} to standard output.
//
// Nothing is fetched from a network: the page's files come from this folder, and any other request fails, and is told.

import { build } from 'esbuild';
import { readFile, mkdtemp } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILT = join(HERE, 'built');
const ORIGIN = 'http://boards.invalid';
const ICONS = join(HERE, 'node_modules/@grafana/ui/dist/public/img/icons');
// By how the files are called on Grafana's server.
const FONTS = [
  [/Inter-Regular/, 'inter/files/inter-latin-400-normal.woff2'],
  [/Inter-Medium\./, 'inter/files/inter-latin-500-normal.woff2'],
  [/Inter-Italic/, 'inter/files/inter-latin-400-italic.woff2'],
  [/Inter-MediumItalic/, 'inter/files/inter-latin-500-italic.woff2'],
  [/roboto/, 'roboto-mono/files/roboto-mono-latin-400-normal.woff2'],
];
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--font-render-hinting=none',
];
const LOOK_MS = 300;
const TRIES = 100;
const TYPES = { '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.woff': 'font/woff', '.html': 'text/html' };
const PAGE = '<!doctype html><html><head><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head>'
  + '<body><div id="root"></div><script src="page.js"></script></body></html>';

async function bundle() {
  if (existsSync(join(BUILT, 'page.js'))) {
    return;
  }
  await build({
    absWorkingDir: HERE,
    bundle: true,
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    entryPoints: ['source/page.jsx'],
    jsx: 'automatic',
    loader: { '.woff': 'file', '.woff2': 'file', '.ttf': 'file', '.svg': 'file', '.png': 'file' },
    logLevel: 'error',
    minify: true,
    outdir: BUILT,
    legalComments: 'none',
  });
}

// Icons and fonts are where Grafana's server has them.
function findFile(url) {
  const path = decodeURIComponent(new URL(url).pathname);
  const [, icon] = path.split('/img/icons/');
  const [, font] = path.includes('/public/fonts/') ? FONTS.find(([name]) => name.test(path)) ?? [] : [];
  return icon ? join(ICONS, icon) : font ? join(HERE, 'node_modules/@fontsource', font) : join(BUILT, path);
}

async function serve(route, complain) {
  const url = route.request().url();
  if (url === `${ORIGIN}/`) {
    return route.fulfill({ body: PAGE, contentType: 'text/html' });
  }
  try {
    const file = url.startsWith(`${ORIGIN}/`) ? findFile(url) : '';
    return await route.fulfill({ body: await readFile(file), contentType: TYPES[extname(file)] ?? 'application/octet-stream' });
  } catch {
    complain(`could not be served: ${url}`);
    return route.abort();
  }
}

// Waits until nothing is fetched and nothing changes any more: sizes are measured, then texts are fitted to them, then icons come.
async function settle(page, pending) {
  let before = null;
  for (let tries = 0; tries < TRIES; tries += 1) {
    await page.waitForTimeout(LOOK_MS);
    const now = await page.evaluate(() => document.body.innerHTML);
    if (now === before && pending.size === 0) {
      return;
    }
    before = now;
  }
  throw new Error('the page does not come to rest');
}

async function draw(context, width, { asked, picture }) {
  const complaints = [];
  const page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  const pending = new Set();
  await page.route('**/*', async (route) => {
    pending.add(route);
    await serve(route, (text) => complaints.push(text));
    pending.delete(route);
  });
  await page.goto(`${ORIGIN}/`);
  await page.evaluate((board) => window.drawBoard(board), JSON.parse(await readFile(asked, 'utf8')));
  await settle(page, pending);
  const { height, panels } = await page.evaluate(() => window.surveyBoard());
  await page.setViewportSize({ width, height });
  await page.screenshot({ path: picture, animations: 'disabled' });
  await page.close();
  return { panels, console: complaints };
}

const input = [];
for await (const chunk of process.stdin) {
  input.push(chunk);
}
const told = JSON.parse(Buffer.concat(input));
await bundle();
const profile = await mkdtemp(join(tmpdir(), 'boards-'));
const context = await chromium.launchPersistentContext(profile, {
  args: FLAGS,
  executablePath: told.chromium,
  headless: true,
  viewport: { width: told.width, height: 1000 },
});
const drawn = {};
for (const board of told.boards) {
  drawn[board.name] = await draw(context, told.width, board);
}
await context.close();
process.stdout.write(JSON.stringify(drawn));
