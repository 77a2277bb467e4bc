// The page in which boards are drawn. `drawBoard(asked)` draws one; once all of it is there, `surveyBoard()` tells what the panels look like.

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

prepare();
recordInk();

const root = createRoot(document.getElementById('root'));

let drawn = null;

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
  drawn = read;
};

window.surveyBoard = () => ({ height: document.getElementById('root').scrollHeight, panels: survey(drawn) });
