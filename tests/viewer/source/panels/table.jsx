// Tables: TableNG of @grafana/ui, of the one frame that the transformations left.

import { TableNG } from '@grafana/ui/unstable';

export function TablePanel({ data, fieldConfig, options, width, height, timeRange, nothing, problems }) {
  if (data.length > 1) {
    problems.push(`${data.length} frames, of which a table shows one: the others are chosen from a list`);
  }
  const frame = data[0];
  if (!frame?.length) {
    return nothing;
  }
  return (
    <TableNG
      cellHeight={options.cellHeight}
      data={frame}
      fieldConfig={fieldConfig}
      height={height}
      noHeader={options.showHeader === false}
      noValue={fieldConfig.defaults.noValue}
      resizable
      sortBy={options.sortBy}
      structureRev={1}
      timeRange={timeRange}
      width={width}
    />
  );
}
