// Ours: the axis of time under panels that are drawn here.

import { dateTimeFormat } from '@grafana/data';

const STEPS_MS = [1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
const LABEL_PX = 80;
export const AXIS_PX = 22;
export const FONT_PX = 12;

export function TimeAxis({ from, to, left, width, top, theme, timeZone }) {
  const wanted = ((to - from) / Math.max(1, width)) * LABEL_PX;
  const step = STEPS_MS.find((one) => one >= wanted) ?? STEPS_MS[STEPS_MS.length - 1];
  const format = step < 6e4 ? 'HH:mm:ss' : 'HH:mm';
  const times = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    times.push(time);
  }
  const x = (time) => left + ((time - from) / (to - from)) * width;
  const isInside = (time) => x(time) > left + LABEL_PX / 3 && x(time) < left + width - LABEL_PX / 3;
  return times.filter(isInside).map((time) => (
    <text key={time} fill={theme.colors.text.secondary} fontSize={FONT_PX} textAnchor="middle" x={x(time)} y={top + AXIS_PX - 6}>
      {dateTimeFormat(time, { format, timeZone })}
    </text>
  ));
}
