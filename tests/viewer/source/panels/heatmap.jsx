// Ours: a heatmap of buckets over time, with the scale of its colours.

import { FieldType, formattedValueToString, getValueFormat } from '@grafana/data';
import { measureText } from '@grafana/ui';
import * as chromatic from 'd3-scale-chromatic';

import { AXIS_PX, FONT_PX, TimeAxis } from './axes.jsx';

const SCALE_PX = 30;
const SCALE_WIDTH_PX = 200;
const LINE_PX = 14;

// The colour of a share of the largest value. Grafana turns its schemes round on dark themes.
function chooseColour({ scheme, exponent, scale, reverse }, theme) {
  const scaleOf = chromatic[`interpolate${scheme}`];
  if (!scaleOf) {
    throw new Error(`unknown colour scheme ${scheme}`);
  }
  const isTurned = theme.isDark !== Boolean(reverse);
  return (share) => {
    const bent = scale === 'exponential' ? share ** exponent : share;
    return scaleOf(isTurned ? 1 - bent : bent);
  };
}

function nameBucket(le, unit) {
  return le === '+Inf' ? le : formattedValueToString(getValueFormat(unit ?? 'short')(Number(le)));
}

function Names({ buckets, each, left, unit, theme }) {
  const every = Math.ceil(LINE_PX / each);
  return buckets.map((bucket, index) =>
    index % every ? null : (
      <text
        key={bucket.name}
        dominantBaseline="central"
        fill={theme.colors.text.primary}
        fontSize={FONT_PX}
        textAnchor="end"
        x={left - 8}
        y={each * (buckets.length - index - 0.5)}
      >
        {nameBucket(bucket.name, unit)}
      </text>
    )
  );
}

function Cells({ buckets, times, x, each, gap, colour, most, least }) {
  return buckets.flatMap((bucket, row) =>
    bucket.values.map((value, index) => {
      if (value === null || !(value > least)) {
        return null;
      }
      const width = Math.max(1, x(times[index + 1] ?? times[index] + (times[1] - times[0])) - x(times[index]) - gap);
      const top = each * (buckets.length - row - 1);
      return <rect key={`${row} ${index}`} fill={colour(value / most)} height={Math.max(1, each - gap)} width={width} x={x(times[index])} y={top} />;
    })
  );
}

function Scale({ colour, most, bucket, left, top, theme }) {
  const steps = Array.from({ length: 32 }, (_, index) => index / 31);
  const label = (value, x, anchor) => (
    <text fill={theme.colors.text.secondary} fontSize={FONT_PX} textAnchor={anchor} x={x} y={top + 26}>
      {formattedValueToString(bucket.display(value))}
    </text>
  );
  return (
    <g>
      {steps.map((share, index) => (
        <rect key={share} fill={colour(share)} height={10} width={SCALE_WIDTH_PX / 32 + 0.5} x={left + (index * SCALE_WIDTH_PX) / 32} y={top} />
      ))}
      {label(0, left, 'start')}
      {label(most, left + SCALE_WIDTH_PX, 'end')}
    </g>
  );
}

export function HeatmapPanel({ data, options, width, height, timeRange, theme, timeZone, nothing }) {
  const time = data[0]?.fields.find((field) => field.type === FieldType.time);
  const buckets = data[0]?.fields.filter((field) => field.type === FieldType.number) ?? [];
  const most = Math.max(0, ...buckets.flatMap((bucket) => bucket.values.filter(Number.isFinite)));
  if (!most) {
    return nothing;
  }
  const unit = options.yAxis?.unit;
  const left = 12 + Math.max(...buckets.map((bucket) => measureText(nameBucket(bucket.name, unit), FONT_PX).width));
  const below = AXIS_PX + (options.legend?.show ? SCALE_PX : 0);
  const each = (height - below) / buckets.length;
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const x = (at) => left + ((at - from) / (to - from)) * (width - left);
  const colour = chooseColour(options.color, theme);
  const cells = { buckets, times: time.values, x, each, gap: options.cellGap ?? 1, colour, most, least: options.filterValues?.le ?? 0 };
  return (
    <svg fontFamily={theme.typography.fontFamily} height={height} width={width}>
      <Cells {...cells} />
      <Names buckets={buckets} each={each} left={left} theme={theme} unit={unit} />
      <TimeAxis from={from} left={left} theme={theme} timeZone={timeZone} to={to} top={height - below} width={width - left} />
      {options.legend?.show && <Scale bucket={buckets[0]} colour={colour} left={left} most={most} theme={theme} top={height - SCALE_PX} />}
    </svg>
  );
}
