// What is wrong with the look of panels, found by looking at the page: nothing shown, texts cut, hidden or on top of each other.

import { readInk } from './ink.js';

const SLACK_PX = 1.5;
// A plot lower than this cannot be read: two labels of an axis need as much.
const PLOT_PX = 50;
const FONT_PX = 9;
// The first and the last of an axis of time may stick out, wherever one happens to be; those between can be read.
const TIME = /^\d\d[:/]\d\d(?::\d\d)?$/;

function boxesOf(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  return [...range.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
}

const isSeen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

// Text that only screen readers get is in a box of one pixel.
const isForReaders = (element) => element.closest('title, style') !== null || element.clientWidth === 1;

// The pieces of text of a panel: elements' and canvases'.
function readTexts(element) {
  const texts = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const text = node.data.trim();
    if (text && isSeen(node.parentElement) && !isForReaders(node.parentElement)) {
      texts.push(...boxesOf(node).map(({ left, right, top, bottom }) => ({ text, node, left, right, top, bottom })));
    }
  }
  for (const canvas of element.querySelectorAll('canvas')) {
    texts.push(...readInk(canvas).map((ink) => ({ ...ink, canvas })));
  }
  return texts;
}

const clips = ({ overflowX, overflowY }) => ({
  x: overflowX !== 'visible',
  y: overflowY !== 'visible',
  scrolls: /auto|scroll/.test(overflowY) || /auto|scroll/.test(overflowX),
});

// The nearest ancestors that hide what is beyond their edges, up to the panel.
function listFrames(node, panel) {
  const frames = [];
  for (let element = node.parentElement; element && element !== panel.parentElement; element = element.parentElement) {
    const { x, y, scrolls } = clips(getComputedStyle(element));
    if (x || y) {
      frames.push({ box: element.getBoundingClientRect(), x, y, scrolls, element });
    }
  }
  return frames;
}

// How a text is cut: null, 'cut', or 'scrolled' where it can be scrolled to.
function findCut(text, panel) {
  if (text.canvas) {
    const isTime = TIME.test(text.text);
    return isWithin(text, text.canvas.getBoundingClientRect(), !isTime, true) ? null : 'cut';
  }
  for (const { box, x, y, scrolls } of listFrames(text.node, panel)) {
    if (!isWithin(text, box, x, y)) {
      return scrolls ? 'scrolled' : 'cut';
    }
  }
  return isWithin(text, panel.getBoundingClientRect(), true, true) ? null : 'cut';
}

function isWithin(text, box, x, y) {
  const fitsAcross = text.left >= box.left - SLACK_PX && text.right <= box.right + SLACK_PX;
  const fitsDown = (text.top + text.bottom) / 2 >= box.top && (text.top + text.bottom) / 2 <= box.bottom;
  return (!x || fitsAcross) && (!y || fitsDown);
}

function doOverlap(one, other) {
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  const height = Math.min(one.bottom - one.top, other.bottom - other.top);
  return across > 2 && down > height * 0.3;
}

function findOverlaps(texts) {
  const found = [];
  texts.forEach((one, index) => {
    for (const other of texts.slice(index + 1)) {
      if (one.node !== other.node || one.canvas) {
        if (doOverlap(one, other)) {
          found.push(`“${one.text}” and “${other.text}” are on top of each other`);
        }
      }
    }
  });
  return found;
}

function findSmall(texts) {
  const isSmall = (text) => text.node && parseFloat(getComputedStyle(text.node.parentElement).fontSize) < FONT_PX;
  return texts.filter(isSmall).map(({ text }) => `“${text}” is too small to read`);
}

// The line below a single value only hints at where it goes, and may be low.
function findLow(element, type) {
  const plots = [...element.querySelectorAll(type === 'stat' ? 'none' : '.u-over')].map((plot) => plot.getBoundingClientRect().height);
  return plots.filter((height) => height < PLOT_PX).map((height) => `the plot is only ${Math.round(height)} px high`);
}

// The line of a single value is below the value, where there is room for both.
function findCrossed(element, texts, type) {
  const lines = type === 'stat' ? [...element.querySelectorAll('canvas')].map((canvas) => canvas.getBoundingClientRect()) : [];
  const isCrossed = (text) => text.node && lines.some((line) => doOverlap(text, line));
  return texts.filter(isCrossed).map(({ text }) => `a line goes through “${text}”`);
}

// Whether something other than text and background was painted: a line, an area, a bar.
function isPainted(element) {
  return [...element.querySelectorAll('canvas')].every((canvas) => {
    if (!canvas.width || !canvas.height) {
      return false;
    }
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value !== 0);
  });
}

function surveyPanel(read) {
  const element = document.querySelector(`[data-panel="${read.panel.id}"]`);
  const texts = readTexts(element);
  const cuts = texts.map((text) => ({ ...text, cut: findCut(text, element) }));
  const shown = cuts.filter(({ cut }) => cut === null);
  const isEmpty = !read.hasData;
  const problems = [
    ...read.problems,
    ...(isEmpty ? ['no data'] : []),
    ...cuts.filter(({ cut }) => cut === 'cut').map(({ text }) => `“${text}” is cut`),
    ...findOverlaps(shown),
    ...findSmall(shown),
    ...findCrossed(element, shown, read.panel.type),
    ...findLow(element, read.panel.type),
    ...(isPainted(element) ? [] : ['nothing is painted']),
  ];
  return {
    title: read.panel.title,
    type: read.panel.type,
    drawn: !isEmpty && !problems.length,
    text: [...new Set(shown.map(({ text }) => text))].join(' · '),
    problems: [...new Set(problems)],
    empty: read.empty,
    scrolled: [...new Set(cuts.filter(({ cut }) => cut === 'scrolled').map(({ text }) => text))],
  };
}

export function survey({ panels }) {
  return panels.filter(({ isRow }) => !isRow).map(surveyPanel);
}
