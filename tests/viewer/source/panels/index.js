// What draws which type of panel. Those of ours stand in for panels that Grafana has in its application, not in its packages.

import { BarGaugePanel, StatPanel } from './values.jsx';
import { HeatmapPanel } from './heatmap.jsx';
import { StateTimelinePanel } from './states.jsx';
import { TablePanel } from './table.jsx';
import { TextPanel } from './text.jsx';
import { TimeSeriesPanel } from './timeseries.jsx';

export const drawings = {
  bargauge: BarGaugePanel,
  heatmap: HeatmapPanel, // ours
  stat: StatPanel,
  'state-timeline': StateTimelinePanel, // ours
  table: TablePanel,
  text: TextPanel,
  timeseries: TimeSeriesPanel,
};
