// Panels of single values: BigValue and BarGauge of @grafana/ui, repeated as Grafana's own panels repeat them.

import { getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, VizRepeater } from '@grafana/ui';

import { leaveAsIs } from '../fields.js';

const read = ({ data, fieldConfig, options, theme, timeZone }, sparkline) =>
  getFieldDisplayValues({ data, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: leaveAsIs, sparkline, theme, timeZone });

export function StatPanel(props) {
  const { options, timeRange, theme, width, height } = props;
  const values = read(props, options.graphMode !== 'none');
  const renderValue = ({ value, count, alignmentFactors, ...size }) => (
    <BigValue
      {...size}
      alignmentFactors={alignmentFactors}
      colorMode={options.colorMode}
      count={count}
      disableWideLayout={!options.wideLayout}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      sparkline={value.sparkline && { ...value.sparkline, timeRange }}
      text={options.text}
      textMode={options.textMode}
      theme={theme}
      value={value.display}
    />
  );
  return (
    <VizRepeater
      autoGrid
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      getValues={() => values}
      height={height}
      itemSpacing={3}
      orientation={options.orientation ?? VizOrientation.Auto}
      renderCounter={0}
      renderValue={renderValue}
      source={values}
      width={width}
    />
  );
}

export function BarGaugePanel(props) {
  const { fieldConfig, options, theme, width, height } = props;
  const values = read(props, false);
  const itemSpacing = options.displayMode === 'lcd' ? 2 : 10;
  const renderValue = ({ value, count, alignmentFactors, ...size }) => (
    <BarGauge
      {...size}
      alignmentFactors={count > 1 ? alignmentFactors : undefined}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      displayMode={options.displayMode}
      field={value.field}
      itemSpacing={itemSpacing}
      namePlacement={options.namePlacement}
      showUnfilled={options.showUnfilled}
      text={options.text}
      theme={theme}
      value={count === 1 && !fieldConfig.defaults.displayName ? { ...value.display, title: undefined } : value.display}
      valueDisplayMode={options.valueMode}
    />
  );
  const isManual = options.sizing === 'manual';
  return (
    <div style={{ height, overflow: 'auto' }}>
      <VizRepeater
        getAlignmentFactors={getDisplayValueAlignmentFactors}
        getValues={() => values}
        height={height}
        itemSpacing={itemSpacing}
        maxVizHeight={isManual ? options.maxVizHeight : 300}
        minVizHeight={isManual ? options.minVizHeight : 16}
        minVizWidth={isManual ? options.minVizWidth : 8}
        orientation={options.orientation ?? VizOrientation.Auto}
        renderCounter={0}
        renderValue={renderValue}
        source={values}
        width={width}
      />
    </div>
  );
}
