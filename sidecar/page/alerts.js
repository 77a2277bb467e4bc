// What fires and what has fired. Asked for apart, and only where there is somebody to ask.

import { clock, span, words } from '/page/format.js';
import { find, make, say } from '/page/markup.js';

const PATH = '/api/alerts';
const EVERY_MS = 5000;
const PAST_MAX = 5;
const TONES = { critical: 'poor', warning: 'fair', info: 'calm' };
const isThere = document.querySelector(`a[href="${PATH}"]`) !== null;
let dueMs = 0;
let before = '';
let firing = new Set();

const nameOf = (alert) => [alert.alert, ...Object.entries(alert.labels).map(([label, value]) => `${words(label)} ${value}`)].join(' · ');

function tellAlert(alert) {
  const end = Date.parse(alert.endedAt ?? '') || Date.now();
  const lasted = span(Math.max(0, end - Date.parse(alert.since)) / 1000);
  const isAbsolute = /^https?:/.test(alert.runbook ?? '');
  return make('li', {},
    make('p', {},
      make('span', { class: `pill ${alert.endedAt ? 'over' : TONES[alert.severity] ?? 'fair'}` }, alert.endedAt ? `${alert.severity}, over` : alert.severity), ' ',
      make('b', {}, nameOf(alert)), ' ',
      make('small', {}, `since ${clock(Date.parse(alert.since))}${alert.endedAt ? ' · lasted' : ' · for'} ${lasted}`)),
    make('p', { class: 'reason' }, alert.reason || alert.summary, isAbsolute ? [' ', make('a', { href: alert.runbook, rel: 'noreferrer' }, 'Runbook')] : ''));
}

function show({ active, past }) {
  find('alerts').hidden = !active.length && !past.length;
  const recent = past.slice(0, PAST_MAX);
  find('alerts-list').replaceChildren(
    active.length ? make('ul', { class: 'alerts' }, active.map(tellAlert)) : make('p', { class: 'note' }, 'Nothing fires now.'),
    recent.length ? make('details', { open: find('alerts-list').querySelector('details')?.open ?? false },
      make('summary', {}, 'Alerts that are over'), make('ul', { class: 'alerts' }, recent.map(tellAlert))) : '');
  const now = new Set(active.map(nameOf));
  const news = active.filter((alert) => !firing.has(nameOf(alert)));
  if (news.length) {
    say(`Alert: ${news.map((alert) => `${nameOf(alert)}, ${alert.severity}`).join('; ')}`);
  }
  firing = now;
}

// Raises what fetch raises.
export async function refreshAlerts(patienceMs) {
  if (!isThere || Date.now() < dueMs) {
    return;
  }
  const response = await fetch(PATH, { signal: AbortSignal.timeout(patienceMs), cache: 'no-store' });
  if (!response.ok) {
    throw new Error(`answered with ${response.status}`);
  }
  const text = await response.text();
  dueMs = Date.now() + EVERY_MS;
  const told = JSON.parse(text);
  if (text !== before || told.active.length) {
    show(told);
  }
  before = text;
}
