// One chart: bars or lines over the last hour, a readout under the pointer or the arrow keys, and the same as a table.

import { draw, make, say } from '/page/markup.js';
import { clock } from '/page/format.js';

const HEIGHT = 150;
const MARGIN = { top: 8, right: 4, bottom: 20, left: 52 };
const LINKED_STEPS = 4; // points further apart were not measured in between: the line ends
const ROWS_MAX = 60;

function chooseTicks(highest, wholeNumbers) {
  let step = 10 ** Math.floor(Math.log10(highest / 3 || 1));
  step *= [1, 2, 5, 10].find((factor) => highest / (step * factor) <= 3.5) ?? 10;
  if (wholeNumbers) {
    step = Math.max(1, step);
  }
  const ticks = [];
  for (let number = 0; number <= Math.ceil(highest / step - 1e-9); number += 1) {
    ticks.push(number * step);
  }
  return ticks.length > 1 ? ticks : [0, step];
}

export class Chart {
  // spec: {title, unit, kind: 'bars' | 'lines', format, whole, limit, series: [{name, tone, read(row)}]}
  constructor(spec) {
    this.spec = spec;
    this.rows = [];
    this.at = null;
    this.when = make('span', { class: 'when' });
    this.values = spec.series.map(() => make('b'));
    const legend = spec.series.map((each, number) => (
      make('li', {}, make('i', { class: `swatch ${each.tone}` }), `${each.name} `, this.values[number])));
    this.svg = draw('svg', { height: HEIGHT, role: 'img', tabindex: 0, class: 'plot' });
    this.table = make('table', {});
    const scroll = make('div', { class: 'scroll rows', tabindex: 0, role: 'group', 'aria-label': `${spec.title}, as a table` }, this.table);
    this.details = make('details', {}, make('summary', {}, 'Table', make('span', { class: 'unseen' }, ` of ${spec.title}`)), scroll);
    this.element = make('figure', { class: 'card chart' },
      make('figcaption', {}, make('h3', {}, spec.title, ' ', make('small', {}, spec.unit)), this.when),
      make('ul', { class: 'legend' }, legend), this.svg, this.details);
    this.details.addEventListener('toggle', () => this.tabulate());
    this.svg.addEventListener('pointermove', (event) => this.point(event));
    this.svg.addEventListener('pointerdown', (event) => this.point(event));
    this.svg.addEventListener('pointerleave', () => this.choose(null));
    this.svg.addEventListener('blur', () => this.choose(null));
    this.svg.addEventListener('keydown', (event) => this.press(event));
    new ResizeObserver(() => this.paint()).observe(this.svg);
  }

  // rows: {step, at (milliseconds), values by column}, oldest first; view: {from, to} in steps, toTime(step).
  update(rows, view) {
    this.all = rows;
    this.rows = rows.filter((row) => this.spec.series.some((each) => each.read(row) !== null));
    this.view = view;
    this.paint();
    this.tabulate();
  }

  x(step) {
    return MARGIN.left + ((step - this.view.from) / (this.view.to - this.view.from)) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return HEIGHT - MARGIN.bottom - (value / this.top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  paint() {
    this.width = this.svg.clientWidth;
    if (!this.view || this.width < 80) {
      return;
    }
    const { series, kind, whole, limit } = this.spec;
    const highest = Math.max(0, ...this.rows.map((row) => (kind === 'bars'
      ? series.reduce((sum, each) => sum + (each.read(row) ?? 0), 0) : Math.max(...series.map((each) => each.read(row) ?? 0)))));
    const ticks = chooseTicks(highest || limit || 1, whole);
    this.top = limit ? Math.min(limit, ticks.at(-1)) : ticks.at(-1);
    this.svg.replaceChildren(...this.drawGrid(ticks.filter((tick) => tick <= this.top)),
      ...(kind === 'bars' ? this.drawBars() : [...series].reverse().flatMap((each) => this.drawLine(each))), this.mark = draw('g'));
    this.choose(this.at, false);
    this.svg.setAttribute('aria-label', this.describe());
  }

  drawGrid(ticks) {
    const { from, to, toTime } = this.view;
    const lines = ticks.flatMap((tick) => [
      draw('line', { x1: MARGIN.left, x2: this.width - MARGIN.right, y1: this.y(tick), y2: this.y(tick), class: tick ? 'grid' : 'axis' }),
      draw('text', { x: MARGIN.left - 8, y: this.y(tick) + 4, 'text-anchor': 'end' }, tick ? this.spec.format(tick) : '0'),
    ]);
    const room = Math.max(2, Math.floor((this.width - MARGIN.left) / 90));
    const minutes = [1, 2, 5, 10, 15, 20, 30].find((each) => ((toTime(to) - toTime(from)) / 60000) / each <= room) ?? 60;
    const times = [];
    for (let time = Math.ceil(toTime(from) / (minutes * 60000)) * minutes * 60000; time < toTime(to); time += minutes * 60000) {
      const x = this.x(from + ((time - toTime(from)) / (toTime(to) - toTime(from))) * (to - from));
      if (x > MARGIN.left + 14 && x < this.width - 20) {
        times.push(draw('text', { x, y: HEIGHT - 4, 'text-anchor': 'middle' }, clock(time, false)));
      }
    }
    return [...lines, ...times];
  }

  drawBars() {
    const floors = this.rows.map(() => 0);
    return this.spec.series.map((each) => {
      const path = this.rows.map((row, number) => {
        const value = each.read(row) ?? 0;
        const [left, right] = [Math.max(this.x(row.step), MARGIN.left), Math.min(this.x(row.step + 1), this.width - MARGIN.right)];
        const [bottom, top] = [this.y(floors[number]), this.y(floors[number] + value)];
        floors[number] += value;
        const gap = right - left > 4 ? 1 : 0;
        return value ? `M${left.toFixed(1)} ${bottom.toFixed(1)}V${Math.min(top, bottom - 1).toFixed(1)}H${(right - gap).toFixed(1)}V${bottom.toFixed(1)}z` : '';
      });
      return draw('path', { d: path.join(''), class: `bar ${each.tone}` });
    });
  }

  drawLine(each) {
    const points = this.rows.filter((row) => each.read(row) !== null);
    const dots = [];
    let path = '';
    points.forEach((row, number) => {
      const [before, after] = [points[number - 1], points[number + 1]];
      const starts = !before || row.step - before.step > LINKED_STEPS;
      const [x, y] = [this.middle(row), this.y(each.read(row))].map((place) => place.toFixed(1));
      path += `${starts ? 'M' : 'L'}${x} ${y}`;
      if (starts && (!after || after.step - row.step > LINKED_STEPS)) {
        dots.push(draw('circle', { cx: x, cy: y, r: 2, class: `dot ${each.tone}` }));
      }
    });
    return [draw('path', { d: path, class: `line ${each.tone}` }), ...dots];
  }

  middle(row) {
    return Math.min(Math.max(this.x(row.step + 0.5), MARGIN.left), this.width - MARGIN.right);
  }

  point(event) {
    const place = event.clientX - this.svg.getBoundingClientRect().left;
    const near = (row) => Math.abs(this.middle(row) - place);
    const row = this.rows.reduce((best, each) => (best === null || near(each) < near(best) ? each : best), null);
    this.choose(row && near(row) < 40 ? row.step : null);
  }

  press(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -this.rows.length, End: this.rows.length };
    if (!(event.key in moves) || !this.rows.length) {
      return;
    }
    event.preventDefault();
    const now = this.at === null ? this.rows.length : this.rows.findIndex((row) => row.step === this.at);
    const row = this.rows[Math.min(Math.max(now + moves[event.key], 0), this.rows.length - 1)];
    this.choose(row.step);
    say(`${clock(row.at)}: ${this.spec.series.map((each) => `${each.name} ${this.spec.format(each.read(row))}`).join(', ')}`);
  }

  // Shows one step's values, or the newest where none is pointed at.
  choose(step) {
    const chosen = this.rows.find((row) => row.step === step) ?? null;
    this.at = chosen?.step ?? null;
    const shown = chosen ?? this.rows.at(-1);
    this.spec.series.forEach((each, number) => {
      this.values[number].textContent = this.spec.format(shown ? each.read(shown) : null);
    });
    this.when.textContent = shown ? clock(shown.at) : 'nothing measured';
    this.mark?.replaceChildren(...(chosen ? [draw('line', {
      x1: this.middle(chosen), x2: this.middle(chosen), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, class: 'mark',
    })] : []));
  }

  describe() {
    const { title, unit, series, format } = this.spec;
    const told = series.map((each) => {
      const values = this.rows.map(each.read).filter((value) => value !== null);
      return values.length
        ? `${each.name}: ${format(values.at(-1))} at the end, between ${format(Math.min(...values))} and ${format(Math.max(...values))}`
        : `${each.name}: not measured`;
    });
    return `${title}, ${unit}. ${told.join('; ')}. Arrow keys read single points.`;
  }

  tabulate() {
    if (!this.details.open || !this.all) {
      return;
    }
    const { series, format, title } = this.spec;
    const rows = this.rows.slice(-ROWS_MAX).reverse().map((row) => make('tr', {},
      make('th', { scope: 'row' }, clock(row.at)), series.map((each) => make('td', { class: 'number' }, format(each.read(row))))));
    const head = make('tr', {}, make('th', { scope: 'col' }, 'Time'), series.map((each) => make('th', { scope: 'col', class: 'number' }, each.name)));
    this.table.replaceChildren(make('caption', { class: 'unseen' }, `${title}, the newest first`), make('thead', {}, head), make('tbody', {}, rows));
  }
}
