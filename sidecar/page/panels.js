// Which charts there are, and what of the points each of them shows.

import { Chart } from '/page/chart.js';
import { count, dollars, duration, plain, ratio } from '/page/format.js';
import { find } from '/page/markup.js';

const column = (name) => (row) => row[name];
const SPECS = [
  {
    title: 'Requests', unit: 'in 15 s', kind: 'bars', format: count, whole: true,
    series: [
      { name: 'went well', tone: 'one', read: (row) => row.requests - row.errors },
      { name: 'failed', tone: 'bad', read: column('errors') },
    ],
  },
  {
    title: 'Errors', unit: 'share of requests', kind: 'bars', format: ratio, limit: 1,
    series: [{ name: 'failed', tone: 'bad', read: (row) => (row.requests ? row.errors / row.requests : null) }],
  },
  {
    title: 'Latency', unit: 'of whole calls', kind: 'lines', format: duration,
    series: [
      { name: 'p50', tone: 'one', read: column('p50_s') },
      { name: 'p95', tone: 'two', read: column('p95_s') },
      { name: 'p99', tone: 'three', read: column('p99_s') },
    ],
  },
  {
    title: 'Time to first token', unit: 'of streams', kind: 'lines', format: duration,
    series: [
      { name: 'p50', tone: 'one', read: column('first_token_p50_s') },
      { name: 'p95', tone: 'two', read: column('first_token_p95_s') },
    ],
  },
  {
    title: 'Output speed', unit: 'tokens per second', kind: 'lines', format: plain,
    series: [{ name: 'median', tone: 'one', read: column('tokens_per_s') }],
  },
  {
    title: 'Cost', unit: 'in 15 s', kind: 'bars', format: dollars,
    series: [{ name: 'dollars', tone: 'three', read: column('cost_usd') }],
  },
];
const LEAST_STEPS = 20; // of what is shown: a sidecar that has just begun has a chart of five minutes
const charts = [];

export function showCharts(points, told) {
  if (!charts.length) {
    charts.push(...SPECS.map((spec) => new Chart(spec)));
    find('charts').append(...charts.map((chart) => chart.element));
  }
  const atMs = Date.parse(told.at);
  const toTime = (step) => atMs - (told.now - step) * told.step_s * 1000;
  const from = Math.max(told.now - 3600 / told.step_s, Math.min(told.began, told.now - LEAST_STEPS));
  const rows = [...points.values()].filter((row) => row.step + 1 > from).map((row) => ({ ...row, at: toTime(row.step) }));
  for (const chart of charts) {
    chart.update(rows, { from, to: told.now, toTime });
  }
}
