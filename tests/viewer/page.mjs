// Looks at the status page in Chromium. Reads from standard input
//   {chromium, url, awaited, views: [{name, width, height, scheme, picture}], trigger: {request, times, shown}, user}
// and writes {views: {name: {console, foreign, axe, wide, text, labels, bytes}}, shown_ms, said, tried} to standard output.
//
// `awaited` is a selector that stands for "values are there"; `shown` one that must appear after the trigger's requests. Where there is a
// trigger, what people do with the page is tried, too: keys, another tab, no network, no JavaScript.

import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PATIENCE_MS = 60000;
const SETTLE_MS = 400;
const HIDDEN_MS = 2500;
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

// As somebody who has typed user and password, and has looked at the certificate.
function enter(told) {
  return told.user ? { httpCredentials: told.user, ignoreHTTPSErrors: true } : {};
}

async function open(browser, told, view) {
  const seen = { console: [], foreign: [], bytes: 0 };
  const context = await browser.newContext({
    ...enter(told),
    viewport: { width: view.width, height: view.height }, colorScheme: view.scheme, reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && seen.console.push(message.text()));
  page.on('pageerror', (error) => seen.console.push(String(error)));
  page.on('request', (request) => request.url().startsWith(told.url) || seen.foreign.push(request.url()));
  const session = await context.newCDPSession(page);
  session.on('Network.loadingFinished', ({ encodedDataLength }) => { seen.bytes += encodedDataLength; });
  await session.send('Network.enable');
  await page.goto(told.url);
  await page.waitForSelector(told.awaited, { timeout: PATIENCE_MS });
  await page.waitForTimeout(SETTLE_MS);
  return { page, seen, context, session };
}

async function look(browser, told, view) {
  const { page, seen, context, session } = await open(browser, told, view);
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
  const run = async (expression) => (await session.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })).result.value;
  await run(`${await readFile(AXE, 'utf8')};0`);
  const axe = await run('axe.run(document).then((found) => found.violations.map(({id, impact, nodes}) => ({id, impact, nodes: nodes.map((node) => node.html)})))');
  await context.close();
  return { ...seen, wide, text, labels, axe };
}

async function pull(browser, told) {
  const { page, context } = await open(browser, told, told.views[0]);
  const { request, times, shown } = told.trigger;
  for (let time = 0; time < times; time += 1) {
    await (await fetch(request.url, { method: 'POST', headers: request.headers, body: request.body })).arrayBuffer().catch(() => null);
  }
  const began = performance.now();
  await page.waitForSelector(shown, { timeout: PATIENCE_MS });
  const took = performance.now() - began;
  const said = await page.locator('#said').innerText();
  await context.close();
  return { shown_ms: took, said };
}

async function tryKeys(page) {
  await page.locator('svg.plot').first().focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  return page.locator('#said').innerText();
}

// Headless tabs are never hidden: the page is told so.
async function tryHiding(page) {
  let asked = 0;
  page.on('request', () => { asked += 1; });
  const hide = (isHidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);
  await hide(true);
  await page.waitForTimeout(SETTLE_MS); // one that was under way
  asked = 0;
  await page.waitForTimeout(HIDDEN_MS);
  const [whileHidden, state] = [asked, await page.locator('#state').innerText()];
  await hide(false);
  await page.waitForSelector('#state.good', { timeout: PATIENCE_MS });
  return { whileHidden, state, after: asked };
}

async function tryOffline(page, context) {
  await context.setOffline(true);
  await page.waitForSelector('#state.poor', { timeout: PATIENCE_MS });
  const state = await page.locator('#state').innerText();
  await context.setOffline(false);
  await page.waitForSelector('#state.good', { timeout: PATIENCE_MS });
  return { state, said: await page.locator('#said').innerText() };
}

async function tryPlain(browser, url) {
  const context = await browser.newContext({ ...enter(told), javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(url);
  const text = await page.locator('body').innerText();
  await context.close();
  return text;
}

async function tryOut(browser, told) {
  const { page, context } = await open(browser, told, told.views[0]);
  const tried = { keys: await tryKeys(page), hidden: await tryHiding(page), offline: await tryOffline(page, context) };
  await context.close();
  return { ...tried, plain: await tryPlain(browser, told.url) };
}

const input = [];
for await (const chunk of process.stdin) {
  input.push(chunk);
}
const told = JSON.parse(Buffer.concat(input));
const browser = await chromium.launch({ args: FLAGS, executablePath: told.chromium, headless: true });
const views = {};
for (const view of told.views) {
  views[view.name] = await look(browser, told, view);
}
const pulled = told.trigger ? { ...await pull(browser, told), tried: await tryOut(browser, told) } : {};
await browser.close();
process.stdout.write(JSON.stringify({ views, ...pulled }));
