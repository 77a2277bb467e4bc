"""How a report's page looks: light or dark as the reader's system is, and on paper."""

from typing import Final

SERIES: Final = 8  # colours there are
_LIGHT: Final = ("#2f6fdf", "#d97706", "#8b3fc4", "#0e8f6e", "#c6302b", "#0891b2", "#a3541c", "#6b7686")
_DARK: Final = ("#5b9bff", "#f0a040", "#c58cf5", "#4cc79c", "#ff8a80", "#4fc3dc", "#d99a6c", "#8d99a8")
_DASHES: Final = ("", "6 3", "2 3")  # so that lines are told apart without colours too
_NAMES: Final = tuple(f"--c{number}" for number in range(SERIES))


def _set(colors: tuple[str, ...]) -> str:
    return ";".join(f"{name}:{color}" for name, color in zip(_NAMES, colors, strict=True))


STYLE: Final = (
    f"""
:root {{ color-scheme: light dark; --ground: #f4f6f9; --card: #fff; --ink: #17202b; --soft: #566273; --edge: #dfe4eb; --grid: #e6eaf0;
  --good: #0e6f3e; --fair: #8f5304; --poor: #c6302b; {_set(_LIGHT)};
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #0e1217; --card: #171d25; --ink: #e7ecf2; --soft: #9aa7b7; --edge: #29323d;
  --grid: #232b35; --good: #5fd39a; --fair: #f2b657; --poor: #ff8a80; {_set(_DARK)} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--ground); color: var(--ink) }}
main {{ max-width: 84rem; margin: 0 auto; padding: 1rem }}
h1, h2, p, ul, ol, dl, dd, figure {{ margin: 0; padding: 0 }}
h1 {{ font-size: 1.3rem }}
h2 {{ font-size: 1.05rem; margin: 1.6rem 0 .7rem }}
ul, ol {{ list-style: none }}
.soft, footer {{ color: var(--soft); font-size: .87rem }}
footer {{ margin-top: 1.6rem }}
figure, .card, .tiles > div {{ background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: .8rem 1rem }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin-top: 1rem }}
.tiles dt {{ color: var(--soft); font-size: .87rem }}
.tiles dd {{ font-size: 1.45rem; font-weight: 650; font-variant-numeric: tabular-nums }}
.tiles dd + dd {{ font-size: .87rem; font-weight: 400; color: var(--soft) }}
.A, .B {{ color: var(--good) }} .C {{ color: var(--fair) }} .D, .F {{ color: var(--poor) }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem }}
figure {{ min-width: 0 }}
figcaption {{ font-weight: 600; margin-bottom: .3rem }}
.legend {{ display: flex; flex-wrap: wrap; gap: .1rem .9rem; font-size: .87rem; color: var(--soft); margin-bottom: .3rem }}
.legend i {{ display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em }}
.legend li, .ranks span {{ overflow-wrap: anywhere }}
.wide {{ overflow-x: auto }}
svg {{ display: block; width: 100%; min-width: 30rem; height: auto }}
svg text {{ font-size: 12px; fill: var(--soft) }}
svg text.limit {{ fill: var(--poor) }}
polyline {{ fill: none; stroke-width: 2; stroke-linejoin: round }}
.grid {{ stroke: var(--grid) }}
.limit {{ stroke: var(--poor); stroke-dasharray: 3 4 }}
text.limit {{ stroke: var(--card); stroke-width: 4px; stroke-dasharray: none; paint-order: stroke }}
.hint {{ fill: transparent }}
.hint:hover {{ fill: var(--ink); fill-opacity: .07 }}
.ranks {{ display: grid; grid-template-columns: minmax(7rem, 32%) 1fr max-content; gap: .4rem .8rem; font-size: .9rem }}
.ranks li {{ display: grid; grid-template-columns: subgrid; grid-column: 1 / -1; align-items: center }}
.ranks b {{ display: flex; height: 1rem }}
.ranks span:last-child {{ text-align: right; font-variant-numeric: tabular-nums; color: var(--soft) }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem }}
th, td {{ text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--edge); white-space: nowrap }}
thead th {{ color: var(--soft); font-weight: 500 }}
th:first-child, td:first-child {{ text-align: left }}
tbody th {{ font-weight: 500 }}
.names tbody th {{ white-space: normal; overflow-wrap: anywhere; min-width: 11rem }}
tbody tr:last-child > * {{ border-bottom: 0 }}
:focus-visible {{ outline: 2px solid var(--c0); outline-offset: 2px }}
@media (max-width: 40rem) {{ .ranks {{ grid-template-columns: 1fr max-content }} .ranks b {{ order: 1; grid-column: 1 / -1 }} }}
@media print {{ body {{ background: none }} figure, .tiles > div {{ break-inside: avoid }} }}
"""
    + "".join(f".f{number} {{ fill: var({name}); background: var({name}) }}\n" for number, name in enumerate(_NAMES))
    + "".join(
        f".l{number} {{ stroke: var({name}); stroke-dasharray: {_DASHES[number] if number < len(_DASHES) else ''} }}\n"
        for number, name in enumerate(_NAMES)
    ).replace("; stroke-dasharray:  ", " ")
)
