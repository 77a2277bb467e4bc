// A board and its answers, as the panels want them.

import { dateTime, FieldType } from '@grafana/data';

import { finishFrames } from './fields.js';
import { listEmpty, readExemplars, readFrames, readNotes } from './frames.js';

// Text needs no data; a table needs rows; what draws numbers needs a number.
function hasData(panel, data) {
  if (panel.type === 'text' || panel.type === 'table') {
    return panel.type === 'text' || data.some((frame) => frame.length > 0);
  }
  const isNumber = (field) => field.type === FieldType.number && field.values.some((value) => Number.isFinite(value));
  return data.some((frame) => frame.fields.some(isNumber));
}

async function readPanel(panel, answers, step) {
  const read = { panel, data: [], fieldConfig: panel.fieldConfig, problems: [], empty: listEmpty(panel, answers), exemplars: readExemplars(answers, step) };
  read.problems.push(...Object.entries(answers).flatMap(([refId, { error }]) => (error ? [`${refId}: ${error}`] : [])));
  try {
    Object.assign(read, await finishFrames(panel, readFrames(panel, answers, step)));
  } catch (error) {
    read.problems.push(String(error));
  }
  return { ...read, hasData: hasData(panel, read.data) };
}

export async function readBoard(asked) {
  const { board, answers, step } = asked;
  const timeRange = { from: dateTime(asked.from), to: dateTime(asked.to), raw: { from: dateTime(asked.from), to: dateTime(asked.to) } };
  const panels = await Promise.all(
    board.panels.map((panel) =>
      panel.type === 'row' ? { panel, isRow: true } : readPanel(panel, answers[panel.id] ?? {}, step)
    )
  );
  return { board, panels, timeRange, notes: readNotes(asked.annotations ?? [], step) };
}
