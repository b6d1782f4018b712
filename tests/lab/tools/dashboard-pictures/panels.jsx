// Draws the panels of a dashboard with Grafana's component library, in the page that draw.js opens.
import React from 'react';
import { createRoot } from 'react-dom/client';
import {
  FieldType, createTheme, dateTime, getDisplayProcessor, standardTransformers, standardTransformersRegistry,
  toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BigValue, LegendDisplayMode, Table, ThemeContext, TimeSeries } from '@grafana/ui';
import { firstValueFrom } from 'rxjs';

const COLUMN = 60;
const ROW = 34;
const TITLE = 32;

const { mergeTransformer, organizeFieldsTransformer, limitTransformer } = standardTransformers;
standardTransformersRegistry.setInit(() =>
  [mergeTransformer, organizeFieldsTransformer, limitTransformer].map((one) => ({ id: one.id, name: one.name, transformation: async () => one })));

const name = (legend, labels) => (legend ?? '').replace(/{{\s*(\w+)\s*}}/g, (_, key) => labels[key] ?? '').trim();

// Gives each field what the panel says about it, and its display.
function configured(panel, frame, theme) {
  const overrides = panel.fieldConfig.overrides;
  for (const [index, field] of frame.fields.entries()) {
    field.state = { ...field.state, seriesIndex: index - 1 };
    const config = { ...panel.fieldConfig.defaults, ...field.config };
    for (const { matcher, properties } of overrides) {
      if (matcher.options !== (config.displayName ?? field.name)) continue;
      for (const { id, value } of properties) {
        if (id.startsWith('custom.')) config.custom = { ...config.custom, [id.slice(7)]: value };
        else config[id] = value;
      }
    }
    field.config = { ...config, links: undefined };
    field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  }
  return frame;
}

function seriesFrame(panel, answers) {
  const times = [...new Set(answers.flatMap((answer) => answer.values.map(([time]) => time)))].sort((a, b) => a - b);
  const fields = [{ name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000), config: {} }];
  for (const answer of answers) {
    const known = new Map(answer.values);
    const shown = name(answer.legend, answer.metric);
    fields.push({
      name: shown, type: FieldType.number, config: { displayName: shown },
      values: times.map((time) => (known.has(time) ? Number(known.get(time)) : null)), labels: answer.metric,
    });
  }
  return toDataFrame({ refId: 'A', fields });
}

async function tableFrame(panel, targets) {
  const frames = targets.map(({ refId, answers }) => {
    const labels = [...new Set(answers.flatMap((answer) => Object.keys(answer.metric)))].sort();
    const fields = labels.map((label) => ({
      name: label, type: FieldType.string, config: {}, values: answers.map((answer) => answer.metric[label] ?? ''),
    }));
    const values = targets.length === 1 ? 'Value' : `Value #${refId}`;
    fields.push({ name: values, type: FieldType.number, config: {}, values: answers.map((one) => Number(one.value[1])) });
    return toDataFrame({ refId, fields });
  });
  const made = await firstValueFrom(transformDataFrame(panel.transformations, frames));
  return made[0];
}

const Nothing = ({ panel }) => <div className="nothing">{panel.fieldConfig.defaults.noValue}</div>;

function Timeline({ panel, answers, theme }) {
  const options = panel.fieldConfig.defaults.mappings[0].options;
  const [from, to] = window.range;
  const rows = answers.slice(0, 12);
  return <div className="timeline">{rows.map((answer, row) => <div key={row}>
    <span>{name(answer.legend, answer.metric)}</span>
    <div>{answer.values.map(([time, value], index) => {
      const next = answer.values[index + 1]?.[0] ?? time + window.step;
      const style = {
        left: `${(100 * (time - from)) / (to - from)}%`, width: `${(100 * (Math.min(next, time + window.step) - time)) / (to - from) + 0.1}%`,
        background: theme.visualization.getColorByName(options[value]?.color ?? 'blue'),
      };
      return <i key={index} style={style} />;
    })}<b>{options[answer.values.at(-1)?.[1]]?.text}</b></div>
  </div>)}</div>;
}

function Content({ panel, targets, frame, theme, width, height }) {
  const answers = targets.flatMap(({ legend, answers }) => answers.map((answer) => ({ ...answer, legend })));
  if (!answers.length) return <Nothing panel={panel} />;
  if (panel.type === 'stat') {
    const field = { config: panel.fieldConfig.defaults, type: FieldType.number, values: [] };
    const display = getDisplayProcessor({ field, theme });
    return <div className="stats">{answers.map((answer, index) => {
      const value = { ...display(Number(answer.value[1])), title: answers.length > 1 ? name(answer.legend, answer.metric) : undefined };
      return <BigValue key={index} theme={theme} width={width / answers.length} height={height} value={value} colorMode="value" graphMode="none" justifyMode="auto" textMode={answers.length > 1 ? 'value_and_name' : 'value'} />;
    })}</div>;
  }
  if (panel.type === 'table') return <Table data={frame} width={width - 16} height={height} initialSortBy={panel.options.sortBy} />;
  if (panel.type === 'state-timeline') return <Timeline panel={panel} answers={answers} theme={theme} />;
  const begin = panel.interval === '1d' ? window.range[1] - 7 * 86400 : window.range[0];
  const range = { from: dateTime(begin * 1000), to: dateTime(window.range[1] * 1000) };
  const legend = { displayMode: LegendDisplayMode.List, placement: 'bottom', calcs: [], showLegend: true };
  return <TimeSeries frames={[frame]} timeRange={{ ...range, raw: range }} timeZone="utc" width={width} height={height} legend={legend} structureRev={1} options={{}} />;
}

async function draw({ dashboard, asked }) {
  const theme = createTheme({ colors: { mode: 'light' } });
  const boxes = [];
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const place = { left: x * COLUMN, top: y * ROW, width: w * COLUMN - 8, height: h * ROW - 8 };
    if (panel.type === 'row') {
      boxes.push(<h2 key={panel.id} style={{ ...place, height: ROW }}>{panel.title}</h2>);
      continue;
    }
    const targets = asked[panel.id];
    const answers = targets.flatMap(({ legend, answers }) => answers.map((answer) => ({ ...answer, legend })));
    let frame;
    if (answers.length && panel.type === 'table') frame = configured(panel, await tableFrame(panel, targets), theme);
    if (answers.length && panel.type === 'timeseries') frame = configured(panel, seriesFrame(panel, answers), theme);
    boxes.push(<section key={panel.id} style={place}>
      <h3>{panel.title}</h3>
      <Content panel={panel} targets={targets} frame={frame} theme={theme} width={place.width - 16} height={place.height - TITLE - 8} />
    </section>);
  }
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * ROW;
  createRoot(document.getElementById('page')).render(<ThemeContext.Provider value={theme}>
    <div style={{ position: 'relative', width: 24 * COLUMN, height: bottom }}>{boxes}</div>
  </ThemeContext.Provider>);
}

draw(window.given).then(() => { window.done = true; }, (error) => { document.title = `failed: ${error.stack}`; window.done = true; });
