// Looks at the status page in Chromium. Reads from standard input
//   {chromium, url, awaited, views: [{name, width, height, scheme, picture}], trigger: {request, times, shown}}
// and writes {views: {name: {console, foreign, axe, wide, text, labels, bytes}}, shown_ms} to standard output.
//
// `awaited` is a selector that stands for "values are there"; `shown` one that must appear after the trigger's requests.

import { createRequire } from 'node:module';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PATIENCE_MS = 60000;
const SETTLE_MS = 400;
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

async function open(context, told, view) {
  const seen = { console: [], foreign: [], bytes: 0 };
  const page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && seen.console.push(message.text()));
  page.on('pageerror', (error) => seen.console.push(String(error)));
  page.on('request', (request) => request.url().startsWith(told.url) || seen.foreign.push(request.url()));
  page.on('response', async (response) => { seen.bytes += (await response.body().catch(() => '')).length; });
  await page.setViewportSize({ width: view.width, height: view.height });
  await page.emulateMedia({ colorScheme: view.scheme, reducedMotion: 'reduce' });
  await page.goto(told.url);
  await page.waitForSelector(told.awaited, { timeout: PATIENCE_MS });
  await page.waitForTimeout(SETTLE_MS);
  return { page, seen };
}

async function look(context, told, view) {
  const { page, seen } = await open(context, told, view);
  const details = page.locator('#failures-list details').first();
  if (await details.count()) {
    await details.locator('summary').click();
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  const text = await page.locator('body').innerText();
  const labels = await page.locator('svg.plot').evaluateAll((plots) => plots.map((plot) => plot.getAttribute('aria-label')));
  if (view.picture) {
    await page.screenshot({ path: view.picture, fullPage: true, animations: 'disabled' });
  }
  // By the debugging protocol: the page's own policy allows no foreign script.
  const session = await context.newCDPSession(page);
  const run = async (expression) => (await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })).result.value;
  await run(await (await import('node:fs/promises')).readFile(AXE, 'utf8') + ';0');
  const axe = await run('axe.run(document).then((found) => found.violations.map(({id, impact, nodes}) => ({id, impact, nodes: nodes.map((node) => node.html)})))');
  await page.close();
  return { ...seen, wide, text, labels, axe };
}

async function pull(context, told) {
  const { page } = await open(context, told, told.views[0]);
  const { request, times, shown } = told.trigger;
  for (let time = 0; time < times; time += 1) {
    await (await fetch(request.url, { method: 'POST', headers: request.headers, body: request.body })).arrayBuffer().catch(() => null);
  }
  const began = performance.now();
  await page.waitForSelector(shown, { timeout: PATIENCE_MS });
  const took = performance.now() - began;
  const said = await page.locator('#said').innerText();
  await page.close();
  return { shown_ms: took, said };
}

const input = [];
for await (const chunk of process.stdin) {
  input.push(chunk);
}
const told = JSON.parse(Buffer.concat(input));
const profile = await mkdtemp(join(tmpdir(), 'page-'));
const context = await chromium.launchPersistentContext(profile, { args: FLAGS, executablePath: told.chromium, headless: true });
const views = {};
for (const view of told.views) {
  views[view.name] = await look(context, told, view);
}
const pulled = told.trigger ? await pull(context, told) : {};
await context.close();
process.stdout.write(JSON.stringify({ views, ...pulled }));
