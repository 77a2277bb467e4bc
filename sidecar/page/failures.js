// The last calls that failed, each with the timeline of its attempts. What is open stays open while others come.

import { clock, duration, words } from '/page/format.js';
import { draw, fillTable, find, make } from '/page/markup.js';

const ROW = 20;
// Each lasts until a moment of the attempt.
const PHASES = [
  ['connecting', 'connected_s'], ['sending', 'sent_s'], ['waiting', 'head_s'], ['answer', 'ended_s'],
];
// Not failures of the service: what a limit, a budget or the provider itself would not have.
const DECLINED = ['client_fault', 'rejected', 'rate_limited', 'refused'];
const shown = new Map();

// A phase that never came to its end lasts until the attempt's; what a kept connection did not need is left out.
function listPhases(attempt, ended) {
  const phases = [];
  let from = attempt.started_s;
  for (const [name, end] of PHASES) {
    if (from === null || from >= ended) {
      break;
    }
    const to = attempt[end];
    if (name === 'connecting' && (attempt.reused || (to === null && attempt.sent_s !== null))) {
      continue;
    }
    phases.push({ name, from, to: Math.min(to ?? ended, ended) });
    from = to;
  }
  return phases;
}

function drawTimeline(call) {
  const ended = call.ended_s || 0.001;
  const place = (seconds) => `${Math.min((seconds / ended) * 100, 100).toFixed(2)}%`;
  const width = (from, to) => `${Math.max(((to - from) / ended) * 100, 0.4).toFixed(2)}%`;
  const rows = call.attempts.flatMap((attempt, number) => listPhases(attempt, attempt.ended_s ?? ended).map(({ name, from, to }) => (
    draw('rect', { x: place(from), width: width(from, to), y: number * ROW + 4, height: ROW - 8, rx: 2, class: `phase ${name}` }))));
  const text = call.attempts.map((attempt, number) => `attempt ${number + 1} at ${attempt.upstream}: ${words(attempt.outcome)}`).join('; ');
  return draw('svg', { class: 'timeline', height: call.attempts.length * ROW, role: 'img', 'aria-label': `Timeline of ${duration(ended)}: ${text}` }, rows);
}

const since = (from, to) => (from === null || to === null ? '–' : duration(to - from));

function tellAttempts(call) {
  const table = make('table');
  fillTable(table, 'Attempts', [
    ['Attempt', (attempt) => `${call.attempts.indexOf(attempt) + 1} at ${attempt.upstream}`],
    ['Outcome', (attempt) => [words(attempt.outcome), attempt.status ? ` (${attempt.status})` : '', attempt.hedge ? ', a hedge' : '']],
    ['Began after', (attempt) => duration(attempt.started_s), 'number'],
    ['Connected in', (attempt) => (attempt.reused ? 'kept' : since(attempt.started_s, attempt.connected_s)), 'number'],
    ['First byte in', (attempt) => since(attempt.sent_s, attempt.head_s), 'number'],
    ['Took', (attempt) => since(attempt.started_s, attempt.ended_s), 'number'],
  ], call.attempts);
  return make('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': `Attempts of call ${call.id}` }, table);
}

function tellFacts(call) {
  const facts = [
    ['Accepted', clock(Date.parse(call.at))], ['Call', call.id], ['Trace', call.trace_id], ['Route', call.route], ['Pool', call.pool], ['Tenant', call.tenant],
    ['Operation', call.operation], ['Error', call.error ?? call.error_type], ['Answered with', call.status],
    ['Queued for', call.queued_s ? duration(call.queued_s) : null], ['First token after', call.first_token_s === null ? null : duration(call.first_token_s)],
    ['Limit', call.limited], ['Degraded', call.degraded],
  ].filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== false);
  return make('dl', { class: 'facts' }, facts.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, String(value)))));
}

function tellCall(call) {
  const legend = PHASES.map(([name]) => make('li', {}, make('i', { class: `swatch ${name}` }), name));
  const body = make('div', { class: 'timed' }, call.attempts.length
    ? [make('ul', { class: 'legend' }, legend), drawTimeline(call), tellAttempts(call)]
    : make('p', { class: 'note' }, 'No upstream was asked.'), tellFacts(call));
  return make('li', {}, make('details', {},
    make('summary', {},
      make('time', {}, clock(Date.parse(call.at) + call.ended_s * 1000)), ' ',
      make('span', { class: `pill ${DECLINED.includes(call.ending) ? 'fair' : 'poor'}` }, words(call.ending)), ' ',
      make('b', {}, call.model ?? call.operation ?? call.route ?? call.path), ' ',
      make('span', { class: 'where' }, [call.upstream ?? 'no upstream', call.attempts.length > 1 ? `${call.attempts.length} attempts` : '',
        duration(call.ended_s)].filter(Boolean).join(' · '))),
    body));
}

export function showFailures(calls) {
  find('failures').hidden = !calls.length;
  const elements = calls.map((call) => {
    if (!shown.has(call.id)) {
      shown.set(call.id, tellCall(call));
    }
    return shown.get(call.id);
  });
  const kept = new Set(elements);
  for (const [id, element] of shown) {
    if (!kept.has(element)) {
      element.remove();
      shown.delete(id);
    }
  }
  // Those that stay are not moved: what has the focus keeps it.
  elements.reverse().reduce((after, element) => {
    if (element.nextElementSibling !== after || !element.parentElement) {
      find('failures-list').insertBefore(element, after);
    }
    return element;
  }, null);
}
