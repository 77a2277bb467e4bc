// Asks for what has changed, once a second while anybody looks, and shows it.

import { refreshAlerts } from '/page/alerts.js';
import { clock } from '/page/format.js';
import { find, say } from '/page/markup.js';
import { showCharts } from '/page/panels.js';
import { showFailures } from '/page/failures.js';
import { showCache, showGrade, showModels, showSpan, showState, showTiles, showUpstreams } from '/page/sections.js';

const EVERY_MS = 1000;
const PATIENCE_MS = 10000;
const RETRY_MS_MAX = 8000;
let cursor = '';
let points = new Map();
let sections = {};
let failures = 0;
let timer = null;
let isAsking = false;
let lastMs = null;

function take(told) {
  if (told.complete) {
    points = new Map();
  }
  for (const values of told.points) {
    points.set(values[0], Object.fromEntries(told.columns.map((name, number) => [name, values[number]])));
  }
  for (const step of points.keys()) {
    if (step < told.now - 3600 / told.step_s - 1) {
      points.delete(step);
    }
  }
  cursor = told.cursor;
  for (const name of ['summary', 'upstreams', 'failed', 'cache']) {
    sections[name] = told[name] ?? sections[name];
  }
}

function show(told) {
  const { summary, upstreams, failed, cache } = sections;
  const isIdle = !points.size && !summary?.metrics.requestCount;
  find('live').hidden = false;
  find('idle').hidden = !isIdle;
  find('busy').hidden = isIdle;
  find('charts-section').hidden = isIdle;
  if (told.summary && !isIdle) {
    showGrade(summary);
    showTiles(summary);
    showModels(summary);
  }
  if (told.upstreams || told.summary) {
    showUpstreams(upstreams, summary);
  }
  if (told.failed) {
    showFailures(failed);
  }
  if (told.cache) {
    showCache(cache);
  }
  if (!isIdle) {
    showCharts(points, told);
  }
  showSpan(told);
}

async function ask() {
  const response = await fetch(`/api/live?since=${cursor}`, { signal: AbortSignal.timeout(PATIENCE_MS), cache: 'no-store' });
  if (!response.ok) {
    throw new Error(`answered with ${response.status}`);
  }
  return response.json();
}

async function turn() {
  if (isAsking || document.hidden) {
    return;
  }
  isAsking = true;
  try {
    const told = await ask();
    take(told);
    show(told);
    await refreshAlerts(PATIENCE_MS);
    if (failures) {
      say('The sidecar answers again.');
    }
    [failures, lastMs] = [0, Date.now()];
    showState('live', 'good');
  } catch (error) {
    failures += 1;
    showState(lastMs ? `no answer since ${clock(lastMs)}` : 'no answer', 'poor');
    say('The sidecar does not answer. What is shown may be old.');
    if (!(error instanceof TypeError || error instanceof DOMException)) {
      console.warn(error.message);
    }
  }
  isAsking = false;
  timer = setTimeout(turn, Math.min(EVERY_MS * 2 ** failures, failures ? RETRY_MS_MAX : EVERY_MS));
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (document.hidden) {
    showState('paused', 'fair');
  } else {
    turn();
  }
});
turn();
