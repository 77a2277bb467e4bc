// Time series: TimeSeries of @grafana/ui (uPlot). Annotations and exemplars are drawn over it by ours, plainly.

import { FieldType } from '@grafana/data';
import { TimeSeries } from '@grafana/ui';

const isWithin = (value, { min, max }) => value >= min && value <= max;

function drawNotes(plot, notes, theme) {
  const { ctx, bbox } = plot;
  for (const note of notes.filter((one) => isWithin(one.from, plot.scales.x))) {
    const left = plot.valToPos(note.from, 'x', true);
    const right = plot.valToPos(Math.min(note.to, plot.scales.x.max), 'x', true);
    ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(note.color);
    ctx.globalAlpha = 0.1;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.globalAlpha = 1;
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
  }
}

function drawExemplars(plot, exemplars, scaleKey, theme) {
  const { ctx } = plot;
  ctx.fillStyle = theme.visualization.getColorByName('blue');
  const shown = exemplars.filter((one) => isWithin(one.time, plot.scales.x) && isWithin(one.value, plot.scales[scaleKey]));
  for (const exemplar of shown) {
    const x = plot.valToPos(exemplar.time, 'x', true);
    const y = plot.valToPos(exemplar.value, scaleKey, true);
    ctx.beginPath();
    ctx.moveTo(x, y - 4);
    ctx.lineTo(x + 4, y);
    ctx.lineTo(x, y + 4);
    ctx.lineTo(x - 4, y);
    ctx.fill();
  }
}

// Grafana's panel hands on only numbers that can be drawn; what is infinite or no number is a gap.
function dropUndrawable(frame) {
  const keep = (value) => (Number.isFinite(value) || value == null ? value : null);
  const fields = frame.fields.map((field) => (field.type === FieldType.number ? { ...field, values: field.values.map(keep) } : field));
  return { ...frame, fields };
}

export function TimeSeriesPanel({ data, options, width, height, timeRange, timeZone, theme, exemplars, notes, nothing }) {
  if (!data.length) {
    return nothing;
  }
  const frames = data.map(dropUndrawable);
  const overlay = (config) => {
    config.addHook('draw', (plot) => {
      plot.ctx.save();
      drawNotes(plot, notes, theme);
      drawExemplars(plot, exemplars, config.scaleKeys[1], theme);
      plot.ctx.restore();
    });
    return null;
  };
  return (
    <TimeSeries
      frames={frames}
      height={height}
      legend={options.legend}
      options={options}
      timeRange={timeRange}
      timeZone={timeZone}
      width={width}
    >
      {overlay}
    </TimeSeries>
  );
}
