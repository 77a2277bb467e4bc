// The board: its head, and panels on the grid of 24 columns at the sizes that Grafana gives them.

import { Icon, PanelChrome } from '@grafana/ui';
import { Component } from 'react';

import { theme, timeZone } from './fields.js';
import { drawings } from './panels/index.js';

// Grafana's grid: a row of 30 px, 8 px between panels.
const CELL_PX = 30;
const GAP_PX = 8;
const COLUMNS = 24;
const MARGIN_PX = 16;

function place({ x, y, w, h }, width) {
  const column = (width - GAP_PX * (COLUMNS - 1)) / COLUMNS;
  return {
    position: 'absolute',
    left: Math.round((column + GAP_PX) * x),
    top: (CELL_PX + GAP_PX) * y,
    width: Math.round(column * w + GAP_PX * (w - 1)),
    height: CELL_PX * h + GAP_PX * (h - 1),
  };
}

// What throws within one panel is a problem of that panel, and the others are drawn.
class Guard extends Component {
  constructor(props) {
    super(props);
    this.state = { error: null };
  }

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    this.props.read.problems.push(`could not be drawn: ${error}`);
  }

  render() {
    return this.state.error ? <div>{String(this.state.error)}</div> : this.props.children;
  }
}

export function Nothing({ fieldConfig, width, height }) {
  const style = { width, height, display: 'flex', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary };
  return (
    <div style={style}>
      {fieldConfig?.defaults?.noValue ?? 'No data'}
    </div>
  );
}

function Content({ read, board, width, height }) {
  const Drawing = drawings[read.panel.type];
  if (!Drawing) {
    throw new Error(`no drawing for panels of the type ${read.panel.type}`);
  }
  const options = read.panel.options ?? {};
  const given = { options, width, height, theme, timeZone, timeRange: board.timeRange, notes: board.notes };
  return <Drawing {...given} {...read} nothing={<Nothing fieldConfig={read.fieldConfig} width={width} height={height} />} />;
}

function Panel({ read, board, width }) {
  const { panel } = read;
  const style = place(panel.gridPos, width);
  if (read.isRow) {
    return (
      <div data-row={panel.title} style={{ ...style, display: 'flex', alignItems: 'center', gap: 8, ...theme.typography.h5 }}>
        <Icon name="angle-down" /> {panel.title}
      </div>
    );
  }
  return (
    <div data-panel={panel.id} style={style}>
      <PanelChrome width={style.width} height={style.height} title={panel.title} description={panel.description}>
        {(innerWidth, innerHeight) => (
          <Guard read={read}>
            <Content read={read} board={board} width={innerWidth} height={innerHeight} />
          </Guard>
        )}
      </PanelChrome>
    </div>
  );
}

// A plain stand-in for Grafana's bar of controls: which choices there are. It is the application's, and not in the packages.
function Head({ board }) {
  const variables = board.templating.list.filter((variable) => variable.hide !== 2);
  const pill = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '4px 8px', marginRight: 8 };
  return (
    <div style={{ padding: '12px 0 16px' }}>
      <h1 style={{ ...theme.typography.h3, margin: 0 }}>{board.title}</h1>
      <p style={{ color: theme.colors.text.secondary, margin: '4px 0 12px' }}>{board.description}</p>
      {variables.map((variable) => (
        <span key={variable.name} style={pill}>
          {variable.label ?? variable.name}: {variable.includeAll ? 'All' : variable.type === 'datasource' ? 'prometheus' : String(variable.current?.text ?? '')}
        </span>
      ))}
      {(board.links ?? []).map((link) => (
        <span key={link.title} style={{ ...pill, color: theme.colors.text.link }}>
          {link.title}
        </span>
      ))}
    </div>
  );
}

export function Board({ read }) {
  const width = window.innerWidth - 2 * MARGIN_PX;
  const rows = Math.max(...read.panels.map(({ panel }) => panel.gridPos.y + panel.gridPos.h));
  return (
    <div key={read.board.uid} style={{ padding: `0 ${MARGIN_PX}px`, background: theme.colors.background.canvas }}>
      <Head board={read.board} />
      <div style={{ position: 'relative', height: rows * (CELL_PX + GAP_PX) + MARGIN_PX }}>
        {read.panels.map((panel) => (
          <Panel key={panel.panel.id} read={panel} board={read} width={width} />
        ))}
      </div>
    </div>
  );
}
