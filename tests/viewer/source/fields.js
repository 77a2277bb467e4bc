// Units, colours, mappings and overrides of a board put upon data frames, by @grafana/data.
//
// Grafana registers the options of a panel in the application, not in its packages. Here each option that the board itself names is
// registered as it is met, so that @grafana/data copies it from defaults and overrides as it would there.

import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  FieldConfigOptionsRegistry,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

export const theme = createTheme({ colors: { mode: 'dark' } });
export const timeZone = 'utc';
export const leaveAsIs = (text) => text;

const STANDARD = [
  'unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'actions', 'filterable', 'fieldMinMax',
];

export function prepare() {
  const known = new Map(Object.values(standardTransformers).map((transformation) => [transformation.id, transformation]));
  standardTransformersRegistry.setInit(() =>
    [...known].map(([id, transformation]) => ({ id, name: transformation.name, transformation: () => Promise.resolve(transformation) }))
  );
}

const option = (id, path, isCustom) => ({
  id,
  path,
  isCustom,
  name: id,
  process: leaveAsIs,
  shouldApply: () => true,
  settings: {},
});

function registerOptions(fieldConfig) {
  const set = fieldConfig.overrides.flatMap((override) => override.properties.map((property) => property.id));
  const custom = new Set([
    ...Object.keys(fieldConfig.defaults.custom ?? {}),
    ...set.filter((id) => id.startsWith('custom.')).map((id) => id.slice('custom.'.length)),
  ]);
  return new FieldConfigOptionsRegistry(() => [
    ...STANDARD.map((id) => option(id, id, false)),
    ...[...custom].map((path) => option(`custom.${path}`, path, true)),
  ]);
}

// Steps and transformations of a panel, done; the frames know how to show their values.
export async function finishFrames(panel, frames) {
  const known = (panel.transformations ?? []).filter((step) => !step.disabled);
  for (const step of known) {
    if (!standardTransformersRegistry.getIfExists(step.id)) {
      throw new Error(`unknown transformation ${step.id}`);
    }
  }
  const transformed = known.length ? await firstValueFrom(transformDataFrame(known, frames, { interpolate: leaveAsIs })) : frames;
  const fieldConfig = withThresholds(panel.fieldConfig ?? { defaults: {}, overrides: [] });
  const data = applyFieldOverrides({
    data: transformed,
    fieldConfig,
    fieldConfigRegistry: registerOptions(fieldConfig),
    replaceVariables: leaveAsIs,
    theme,
    timeZone,
  });
  cacheFieldDisplayNames(data); // which tables take for the heads of their columns
  return { data, fieldConfig };
}

// The lowest step is null in JSON, where Infinity cannot be written; Grafana reads it so.
function withThresholds(fieldConfig) {
  const { thresholds } = fieldConfig.defaults;
  const steps = thresholds?.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return {
    overrides: fieldConfig.overrides ?? [],
    defaults: thresholds ? { ...fieldConfig.defaults, thresholds: { ...thresholds, steps } } : fieldConfig.defaults,
  };
}
