// The grade, the hour in numbers, and the tables: upstreams, models, cache, alerts.

import { bytes, clock, count, dollars, duration, milliseconds, plain, ratio, span, words } from '/page/format.js';
import { fillTable, find, make, say } from '/page/markup.js';

const SIGNALS = { error_ratio: ['Errors', ratio], mean_latency: ['Mean latency', duration] };
const BREAKERS = { closed: ['good', 'closed'], half_open: ['fair', 'half-open'], open: ['poor', 'open'] };
let gradeSaid = null;
const statesSaid = new Map();

export function showGrade({ insights }) {
  const letter = insights.performanceGrade;
  const reasons = insights.reasons.map(({ signal, value, grade }) => {
    const [name, format] = SIGNALS[signal] ?? [words(signal), plain];
    return make('li', {}, `${name} ${format(value)} `, make('span', { class: `pill ${grade}` }, grade));
  });
  const advice = insights.recommendations.map((text) => make('li', {}, text));
  find('grade').replaceChildren(
    make('p', { class: `letter ${letter ?? 'none'}` }, letter ?? '–'),
    make('div', {},
      make('p', { class: 'status' }, make('span', { class: 'unseen' }, letter ? `Grade ${letter}: ` : ''), letter ? insights.status : 'not graded'),
      make('ul', { class: 'reasons' }, reasons)),
    make('div', { class: 'advice' }, make('h3', {}, 'What might be done'),
      advice.length ? make('ul', {}, advice) : make('p', { class: 'note' }, 'Nothing stands out.')),
  );
  if (gradeSaid !== letter && letter) {
    say(`Grade ${letter}: ${insights.status}`);
  }
  gradeSaid = letter;
  document.title = letter ? `${letter} · llm-sidecar` : 'llm-sidecar';
}

export function showTiles({ metrics }) {
  const { latency, timeToFirstToken: first, tokens } = metrics;
  const tiles = [
    ['Requests', count(metrics.requestCount), `${plain(metrics.requestsPerMinute)} a minute`],
    ['Errors', ratio(metrics.errorRate), 'of all requests'],
    ['Latency, p95', milliseconds(latency.p95), `p50 ${milliseconds(latency.p50)} · p99 ${milliseconds(latency.p99)}`],
    ['First token, p95', milliseconds(first.p95), `p50 ${milliseconds(first.p50)}`],
    ['Output speed', plain(tokens.perSecond), 'tokens/s, median'],
    ['Tokens', count(tokens.input === null ? null : tokens.input + tokens.output), `${count(tokens.input)} in · ${count(tokens.output)} out`],
    ['Cost', dollars(metrics.costUsd), 'where a price is known'],
    ['Cache hits', ratio(metrics.cacheHitRate), metrics.cacheHitRate === null ? 'nothing was looked for' : 'of answers looked for'],
  ];
  find('tiles').replaceChildren(...tiles.map(([name, value, note]) => (
    make('div', { class: 'card tile' }, make('dt', {}, name), make('dd', { class: 'value' }, value), make('dd', { class: 'note' }, note)))));
}

function tellBreaker(upstream) {
  if (upstream.forced.includes('disabled')) {
    return make('span', { class: 'pill calm' }, 'off');
  }
  const [tone, name] = BREAKERS[upstream.breaker];
  const groups = Object.entries(upstream.groups).filter(([group]) => group !== 'default').map(([group, state]) => `${group} ${words(state)}`);
  const notes = [
    upstream.forced.length ? 'held so by an operator' : upstream.retry_after_s ? `again in ${duration(upstream.retry_after_s)}` : '', ...groups,
  ].filter(Boolean);
  return [make('span', { class: `pill ${tone}` }, name), notes.length ? make('small', {}, ` ${notes.join(' · ')}`) : ''];
}

const tellHealth = (upstream) => [
  make('span', { class: `dot ${upstream.healthy ? 'good' : 'poor'}`, 'aria-hidden': 'true' }),
  upstream.healthy ? 'healthy' : words(upstream.reason) || 'not healthy',
];

function sayBreakers(upstreams) {
  for (const { name, breaker } of upstreams) {
    if ((statesSaid.get(name) ?? 'closed') !== breaker) {
      say(`Circuit breaker of ${name}: ${BREAKERS[breaker][1]}`);
    }
    statesSaid.set(name, breaker);
  }
}

export function showUpstreams(upstreams, summary) {
  const measured = (read) => ({ name }) => read(summary?.upstreams[name] ?? {});
  fillTable(find('upstreams'), 'Upstreams, with the last hour of each', [
    ['Name', ({ name, pools }) => [name, pools.length ? make('small', {}, ` in ${pools.join(', ')}`) : '']],
    ['Health', tellHealth, 'whole'],
    ['Breaker', tellBreaker],
    ['In use', ({ in_use: used, concurrency }) => `${used} of ${count(concurrency)}`, 'number wide'],
    ['Requests', measured((each) => count(each.requestCount)), 'number'],
    ['Errors', measured((each) => ratio(each.errorRate)), 'number'],
    ['Latency, p95', measured((each) => milliseconds(each.p95Latency)), 'number'],
    ['First token, p95', measured((each) => milliseconds(each.p95TimeToFirstToken)), 'number wide'],
    ['Cost', measured((each) => dollars(each.costUsd)), 'number wide'],
    ['Grade', measured((each) => tellGrade(each.grade)), 'middle'],
  ], upstreams);
  sayBreakers(upstreams);
}

const tellGrade = (letter) => (letter ? make('span', { class: `pill ${letter}` }, letter) : '–');

export function showModels({ models }) {
  const rows = Object.entries(models);
  find('models-section').hidden = !rows.length;
  fillTable(find('models'), 'The busiest models of the last hour', [
    ['Name', ([name]) => name],
    ['Requests', ([, each]) => count(each.requestCount), 'number'],
    ['Errors', ([, each]) => ratio(each.errorRate), 'number'],
    ['Latency, p95', ([, each]) => milliseconds(each.p95Latency), 'number'],
    ['First token, p95', ([, each]) => milliseconds(each.p95TimeToFirstToken), 'number wide'],
    ['Tokens per second', ([, each]) => plain(each.tokensPerSecond), 'number wide'],
    ['Cost', ([, each]) => dollars(each.costUsd), 'number'],
    ['Grade', ([, each]) => tellGrade(each.grade), 'middle'],
  ], rows);
}

export function showCache(levels) {
  const rows = Object.entries(levels);
  find('cache-section').hidden = !rows.length;
  fillTable(find('cache'), 'Levels of the cache in this process', [
    ['Level', ([name]) => name],
    ['Answers', ([, { entries }]) => count(entries), 'number'],
    ['Size', ([, { bytes: size }]) => bytes(size), 'number'],
  ], rows);
}

export function showState(text, tone) {
  const state = find('state');
  state.hidden = false;
  state.className = `state ${tone}`;
  if (state.textContent !== text) {
    state.textContent = text;
  }
}

export function showSpan(told) {
  find('span').textContent = `${clock(Date.parse(told.at))} · up for ${span(told.uptime_s)}`;
}
