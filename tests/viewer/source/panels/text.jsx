// Text: Markdown or HTML, by @grafana/data.

import { renderMarkdown } from '@grafana/data';

export function TextPanel({ options, width, height }) {
  const html = options.mode === 'markdown' ? renderMarkdown(options.content) : options.content;
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} style={{ width, height, overflow: 'auto' }} />;
}
