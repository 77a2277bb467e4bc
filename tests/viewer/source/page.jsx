// The page in which boards are drawn. `drawBoard(asked)` draws one, and resolves to what the panels look like.

import { ThemeContext } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

import { Board } from './board.jsx';
import { prepare, theme } from './fields.js';
import { readBoard } from './reading.js';
import { recordInk } from './ink.js';
import { survey } from './survey.js';

const FONTS = ['400 14px Inter', '500 14px Inter', '400 14px "Roboto Mono"'];
// Frames of the browser to wait for: sizes are measured, then texts are fitted to them, then what is overlaid is placed.
const SETTLE_MS = 600;

prepare();
recordInk();

const root = createRoot(document.getElementById('root'));

const render = (shown) =>
  root.render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      {shown}
      <PortalContainer />
    </ThemeContext.Provider>
  );

window.drawBoard = async (asked) => {
  const read = await readBoard(asked);
  // The styles name the fonts. Texts are measured as panels are drawn: the fonts are there before.
  flushSync(() => render(null));
  const fonts = await Promise.all(FONTS.map((font) => document.fonts.load(font)));
  if (fonts.some((faces) => !faces.length)) {
    throw new Error('a font is missing');
  }
  render(<Board read={read} />);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return { height: document.getElementById('root').scrollHeight, panels: survey(read) };
};
