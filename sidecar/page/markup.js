// Elements made by hand. What comes from outside is only ever text: nothing here reads HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const find = (id) => document.getElementById(id);

// Tells those who do not see the page; the same words twice are said once.
export function say(text) {
  const said = find('said');
  if (said.textContent !== text) {
    said.textContent = text;
  }
}

// Columns are [heading, how a row's cell is made, class of both]; the first is the row's own heading.
export function fillTable(table, caption, columns, rows) {
  const head = make('tr', {}, columns.map(([title, , kind]) => make('th', { scope: 'col', class: kind }, title)));
  const body = rows.map((row) => make('tr', {}, columns.map(([, show, kind], number) => (
    make(number === 0 ? 'th' : 'td', { class: kind, scope: number === 0 ? 'row' : null }, show(row))))));
  table.replaceChildren(make('caption', { class: 'unseen' }, caption), make('thead', {}, head), make('tbody', {}, body));
}
