// Small charts of a window: its samples, gaps as gaps, the bounds as lines, the judged time shaded.

import { svg, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";

const WIDTH = 120;
const HEIGHT = 28;

/** Return the path of the samples; each run between two gaps is a line of its own. */
function path(samples, x, y) {
  let text = "";
  let pen = false;
  samples.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    text += `${pen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!pen && (samples[index + 1] ?? null) === null) text += "h0.1"; // a sample alone is a dot
    pen = true;
  });
  return text;
}

/** Draw the window of a metric as the rules see it. */
export function sparkline({ samples, bounds, shaded, label }) {
  if (!samples || samples.length < 2) return nothing;
  const lines = Object.values(bounds ?? {}).filter(Number.isFinite);
  const known = samples.filter((value) => value !== null);
  const most = Math.max(...known, ...lines, 1e-9) * 1.1;
  const x = (index) => (index / (samples.length - 1)) * (WIDTH - 2) + 1;
  const y = (value) => HEIGHT - 2 - (Math.max(0, value) / most) * (HEIGHT - 4);
  const from = shaded === undefined ? null : x(Math.max(0, samples.length - 1 - shaded));
  return svg`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${label} preserveAspectRatio="none">
    ${from === null ? nothing : svg`<rect class="judged" x=${from} y="0" width=${WIDTH - from} height=${HEIGHT}></rect>`}
    ${lines.map((line) => svg`<line class="bound" x1="0" x2=${WIDTH} y1=${y(line)} y2=${y(line)}></line>`)}
    <path class="samples" d=${path(samples, x, y)}></path>
  </svg>`;
}

/** Draw requested, running and wanted on the scale of what is allowed. */
export function scale({ min, max, requested, running, recommended }) {
  if (min === null || max === null) return nothing;
  const top = Math.max(max, requested, recommended, 1);
  const x = (count) => 4 + (count / top) * 92;
  const says = `${requested} requested, ${running} running, ${recommended} wanted, ${min} to ${max} allowed`;
  return svg`<svg class="scale" viewBox="0 0 100 12" role="img" aria-label=${says}>
    <title>${says}</title>
    <line class="track" x1="4" x2="96" y1="6" y2="6"></line>
    <line class="allowed" x1=${x(min)} x2=${x(max)} y1="6" y2="6"></line>
    ${recommended === requested ? nothing : svg`<path class="wanted" d=${`M${x(recommended)} 1.5l3 4.5l-3 4.5l-3 -4.5z`}></path>`}
    <circle class=${running < requested ? "count short" : "count"} cx=${x(requested)} cy="6" r="3.4"></circle>
  </svg>`;
}
