// Which units Grafana knows. Reads a list of units from standard input, writes {unit: what 12.5 of it look like, or null where unknown}.

import { createRequire } from 'node:module';

// Asked for its language; Node has one since version 21.
globalThis.navigator ??= { language: 'en-US', languages: ['en-US'] };
const { formattedValueToString, getValueFormat, getValueFormats } = createRequire(import.meta.url)('@grafana/data');

// Any text may follow these.
const FREE = /^(?:prefix|suffix|count):./;

const input = [];
for await (const chunk of process.stdin) {
  input.push(chunk);
}
const known = new Set(getValueFormats().flatMap((group) => group.submenu.map((format) => format.value)));
const show = (unit) => (known.has(unit) || FREE.test(unit) ? formattedValueToString(getValueFormat(unit)(12.5)) : null);
process.stdout.write(JSON.stringify(Object.fromEntries(JSON.parse(Buffer.concat(input)).map((unit) => [unit, show(unit)]))));
