// Ours: a timeline of states, a bar per series. Names, colours and words are those that @grafana/data gives the values.

import { FieldType, formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { measureText, VizLayout, VizLegend } from '@grafana/ui';

import { AXIS_PX, FONT_PX, TimeAxis } from './axes.jsx';

const NAME_SHARE = 0.4;

function readRows(data) {
  return data.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    const shown = frame.fields.filter((field) => field.type !== FieldType.time && field.type !== FieldType.other);
    return shown.map((field) => ({ name: getFieldDisplayName(field, frame, data), field, times: time.values, step: time.config.interval }));
  });
}

// Values that follow each other and are the same are one bar; a gap ends it.
function readBars({ field, times, step }) {
  const bars = [];
  times.forEach((time, index) => {
    const value = field.values[index];
    const last = bars[bars.length - 1];
    if (value === null || Number.isNaN(value)) {
      return;
    }
    if (last && last.value === value && time - last.to <= step * 1.5) {
      last.to = time;
    } else {
      if (last && time - last.to <= step * 1.5) {
        last.to = time;
      }
      bars.push({ from: time, to: time, value, display: field.display(value) });
    }
  });
  return bars;
}

function Row({ bars, top, height, x, options, theme }) {
  return bars.map((bar) => {
    const width = Math.max(1, x(bar.to) - x(bar.from));
    const text = formattedValueToString(bar.display);
    const fits = measureText(text, FONT_PX).width + 8 < width;
    const isTold = options.showValue === 'always' || (options.showValue !== 'never' && fits);
    const style = { x: x(bar.from), y: top, width, height };
    return (
      <g key={bar.from}>
        <rect {...style} fill={bar.display.color} fillOpacity={0.7} />
        {isTold && (
          <text dominantBaseline="central" fill={theme.colors.text.maxContrast} fontSize={FONT_PX} x={style.x + 4} y={top + height / 2}>
            {text}
          </text>
        )}
      </g>
    );
  });
}

function Rows({ rows, width, height, options, timeRange, theme, timeZone }) {
  const names = Math.min(width * NAME_SHARE, 12 + Math.max(...rows.map((row) => measureText(row.name, FONT_PX).width)));
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const x = (time) => names + ((time - from) / (to - from)) * (width - names);
  const each = (height - AXIS_PX) / rows.length;
  const thick = each * (options.rowHeight ?? 0.9);
  return (
    <svg fontFamily={theme.typography.fontFamily} height={height} width={width}>
      {rows.map((row, index) => (
        <g key={row.name}>
          <text dominantBaseline="central" fill={theme.colors.text.primary} fontSize={FONT_PX} textAnchor="end" x={names - 8} y={each * (index + 0.5)}>
            {row.name}
          </text>
          <Row bars={row.bars} height={thick} options={options} theme={theme} top={each * index + (each - thick) / 2} x={x} />
        </g>
      ))}
      <TimeAxis from={from} left={names} theme={theme} timeZone={timeZone} to={to} top={height - AXIS_PX} width={width - names} />
    </svg>
  );
}

export function StateTimelinePanel(props) {
  const rows = readRows(props.data).map((row) => ({ ...row, bars: readBars(row) }));
  if (!rows.some((row) => row.bars.length)) {
    return props.nothing;
  }
  const words = new Map(rows.flatMap((row) => row.bars.map((bar) => [formattedValueToString(bar.display), bar.display.color])));
  const items = [...words].map(([label, color]) => ({ label, color, yAxis: 1 }));
  const { legend } = props.options;
  const told = legend?.showLegend && (
    <VizLayout.Legend placement={legend.placement}>
      <VizLegend displayMode={legend.displayMode} items={items} placement={legend.placement} />
    </VizLayout.Legend>
  );
  return (
    <VizLayout height={props.height} legend={told || null} width={props.width}>
      {(width, height) => <Rows {...props} height={height} rows={rows} width={width} />}
    </VizLayout>
  );
}
