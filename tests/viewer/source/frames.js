// Prometheus' answers as Grafana's data frames, in the forms in which its data source hands them to panels.

import { FieldType, toDataFrame } from '@grafana/data';

const number = (text) => (text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text));
const milliseconds = (seconds) => Math.round(Number(seconds) * 1000);

// The name of a series: the target's legend with labels filled in, or else all labels.
function nameSeries(target, labels) {
  const { legendFormat } = target;
  if (legendFormat && legendFormat !== '__auto') {
    return legendFormat.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const { __name__: metric = '', ...others } = labels;
  const listed = Object.entries(others).map(([label, value]) => `${label}="${value}"`);
  return listed.length ? `${metric}{${listed.join(', ')}}` : metric || target.expr;
}

function pointsOf(series) {
  return series.values ?? (series.value ? [series.value] : []);
}

// One frame per series; the interval tells where a line has gaps.
function toSeries(target, result, step) {
  return result.map((series) => {
    const points = pointsOf(series);
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, config: { interval: step }, values: points.map(([time]) => milliseconds(time)) },
        {
          name: 'Value',
          type: FieldType.number,
          labels: series.metric,
          config: { displayNameFromDS: nameSeries(target, series.metric) },
          values: points.map(([, value]) => number(value)),
        },
      ],
    });
  });
}

// One frame: a row per point, a column per label.
function toTable(target, result, isOnlyTarget) {
  const rows = result.flatMap((series) => pointsOf(series).map(([time, value]) => ({ labels: series.metric, time, value })));
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].sort();
  return [
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: rows.map((row) => milliseconds(row.time)) },
        ...labels.map((label) => ({ name: label, type: FieldType.string, values: rows.map((row) => row.labels[label] ?? '') })),
        { name: isOnlyTarget ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: rows.map((row) => number(row.value)) },
      ],
    }),
  ];
}

// One frame: a column per bucket, each without what the buckets below it hold (`le` counts upwards).
function toHeatmap(target, result) {
  const buckets = [...result].sort((one, other) => number(one.metric.le) - number(other.metric.le));
  const times = [...new Set(buckets.flatMap((series) => pointsOf(series).map(([time]) => milliseconds(time))))].sort((a, b) => a - b);
  const columns = buckets.map((series) => {
    const seen = new Map(pointsOf(series).map(([time, value]) => [milliseconds(time), number(value)]));
    return times.map((time) => seen.get(time) ?? null);
  });
  const alone = columns.map((column, index) =>
    column.map((value, row) => (index === 0 || value === null ? value : Math.max(0, value - (columns[index - 1][row] ?? 0))))
  );
  if (!buckets.length) {
    return [];
  }
  return [
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: times },
        ...buckets.map((series, index) => ({ name: series.metric.le, type: FieldType.number, labels: series.metric, values: alone[index] })),
      ],
    }),
  ];
}

// All frames of a panel; `answers` by refId.
export function readFrames(panel, answers, step) {
  const targets = (panel.targets ?? []).filter((target) => !target.hide);
  return targets.flatMap((target) => {
    const result = answers[target.refId]?.result ?? [];
    if (target.format === 'heatmap') {
      return toHeatmap(target, result);
    }
    return target.format === 'table' ? toTable(target, result, targets.length === 1) : toSeries(target, result, step);
  });
}

// The exemplars of a panel: Unix milliseconds, value, and labels. As Grafana's data source does, of those of one step only such as are
// at least two standard deviations apart are kept: the highest and those well below it.
export function readExemplars(answers, step) {
  const all = Object.values(answers).flatMap((answer) =>
    (answer.exemplars ?? []).flatMap((series) =>
      series.exemplars.map((one) => ({ time: milliseconds(one.timestamp), value: number(one.value), labels: one.labels }))
    )
  );
  const mean = all.reduce((sum, { value }) => sum + value, 0) / all.length;
  const deviation = Math.sqrt(all.reduce((sum, { value }) => sum + (value - mean) ** 2, 0) / all.length);
  const lowest = new Map();
  return all
    .sort((one, other) => other.value - one.value)
    .filter(({ time, value }) => {
      const moment = Math.floor(time / step);
      const isApart = !lowest.has(moment) || lowest.get(moment) - value >= 2 * deviation;
      if (isApart) {
        lowest.set(moment, value);
      }
      return isApart;
    });
}

// When there is something to note, as spans (Unix milliseconds) by annotation. Grafana lays one span over the other, one for each
// series; here spans that touch are one, so that what is below can be seen.
export function readNotes(asked, step) {
  return asked.flatMap(({ note, result = [] }) => {
    const times = result.flatMap((series) =>
      pointsOf(series).map(([time, value]) => (note.useValueForTime ? number(value) : milliseconds(time)))
    );
    const spans = [];
    for (const time of times.sort((one, other) => one - other)) {
      const last = spans[spans.length - 1];
      if (last && time - last.to <= step * 1.5) {
        last.to = time;
      } else {
        spans.push({ from: time, to: time, color: note.iconColor });
      }
    }
    return spans;
  });
}

// The refIds of targets that have no finite number in their answer.
export function listEmpty(panel, answers) {
  const isThere = (target) =>
    (answers[target.refId]?.result ?? []).some((series) => pointsOf(series).some(([, value]) => Number.isFinite(number(value))));
  return (panel.targets ?? []).filter((target) => !target.hide && !isThere(target)).map((target) => target.refId);
}
