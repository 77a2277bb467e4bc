// Numbers as people read them. What was not measured is a dash, never a zero.

const NONE = '–';
const SPACE = '\u00a0'; // a number and its unit stay on one line
const known = (value) => value !== null && value !== undefined;
const trim = (value, digits) => value.toLocaleString('en', { maximumFractionDigits: digits });
const digitsOf = (value) => (value >= 100 ? 0 : value >= 10 ? 1 : 2);

export function duration(seconds) {
  if (!known(seconds)) {
    return NONE;
  }
  if (seconds < 0.001) {
    return `${trim(seconds * 1e6, 0)}${SPACE}µs`;
  }
  if (seconds < 1) {
    return `${trim(seconds * 1000, seconds < 0.1 ? 1 : 0)}${SPACE}ms`;
  }
  if (seconds < 120) {
    return `${trim(seconds, digitsOf(seconds))}${SPACE}s`;
  }
  return span(seconds);
}

export function span(seconds) {
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (minutes < 1) {
    return `${Math.floor(seconds)}${SPACE}s`;
  }
  if (hours < 1) {
    return `${minutes}${SPACE}min`;
  }
  return days < 1 ? `${hours}${SPACE}h ${minutes - hours * 60}${SPACE}min` : `${days}${SPACE}d ${hours - days * 24}${SPACE}h`;
}

export const milliseconds = (value) => duration(known(value) ? value / 1000 : null);
export const ratio = (value) => (known(value) ? `${trim(value * 100, value < 0.1 ? 2 : 1)}${SPACE}%` : NONE);
export const plain = (value) => (known(value) ? trim(value, digitsOf(Math.abs(value))) : NONE);
export const words = (name) => (name ?? '').replaceAll('_', ' ');

export function count(value) {
  if (!known(value)) {
    return NONE;
  }
  const [size, unit] = value >= 1e9 ? [1e9, `${SPACE}B`] : value >= 1e6 ? [1e6, `${SPACE}M`] : value >= 1e4 ? [1e3, `${SPACE}k`] : [1, ''];
  return `${trim(value / size, size === 1 ? 0 : 1)}${unit}`;
}

export function dollars(value) {
  if (!known(value)) {
    return NONE;
  }
  if (value === 0) {
    return '$0';
  }
  if (value < 0.000001) {
    return '< $0.000001';
  }
  return value < 0.01 ? `$${Number(value.toPrecision(2)).toFixed(value < 0.0001 ? 6 : 4)}` : `$${value.toFixed(value < 1 ? 3 : 2)}`;
}

export function bytes(value) {
  const [size, unit] = value >= 1 << 20 ? [1 << 20, 'MiB'] : value >= 1 << 10 ? [1 << 10, 'KiB'] : [1, 'B'];
  return `${trim(value / size, size === 1 ? 0 : 1)}${SPACE}${unit}`;
}

export const clock = (milliseconds, withSeconds = true) => new Date(milliseconds).toLocaleTimeString('en-GB', {
  hour: '2-digit', minute: '2-digit', second: withSeconds ? '2-digit' : undefined,
});
