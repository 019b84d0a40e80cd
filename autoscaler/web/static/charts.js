// The charts of a service's page, drawn by uPlot, which is loaded with the first of them.

import { html } from "./vendor/lit-html-3.3.3/lit-html.js";
import { AsyncDirective, directive } from "./vendor/lit-html-3.3.3/async-directive.js";
import { noChange } from "./vendor/lit-html-3.3.3/lit-html.js";

let Plot = null;
let loading = null;

const load = () =>
  (loading ??= import("./vendor/uplot-1.6.32/uPlot.esm.js").then((module) => {
    Plot = module.default;
  }));

const scheme = matchMedia("(prefers-color-scheme: dark)");

/** Keeps one chart in an element, gives it new data, and makes it as wide as its element. */
class Chart extends AsyncDirective {
  render() {
    return noChange;
  }

  update(part, [options, data, beside]) {
    this.data = data;
    this.beside = beside; // what is drawn beside the data; the options read it at each drawing
    const element = part.element;
    if (this.plot) {
      this.plot.setData(data);
    } else if (!this.begun) {
      this.begun = true;
      load().then(() => this.begin(element, options));
    }
    return noChange;
  }

  begin(element, options) {
    if (!this.isConnected) return;
    const width = () => Math.max(element.clientWidth, 200);
    const make = () => {
      this.plot?.destroy();
      this.plot = new Plot({ ...options(colours(element), () => this.beside), width: width() }, this.data, element);
    };
    make();
    this.resized = new ResizeObserver(() => this.plot.setSize({ width: width(), height: this.plot.height }));
    this.resized.observe(element);
    this.scheme = make; // the canvas keeps the colours that it was drawn with
    scheme.addEventListener("change", make);
  }

  disconnected() {
    scheme.removeEventListener("change", this.scheme);
    this.resized?.disconnect();
    this.plot?.destroy();
    this.plot = null;
    this.begun = false;
  }
}

const chart = directive(Chart);

/** Return the colours of the style sheet as a canvas takes them: those of the scheme in force. */
function colours(element) {
  const probe = element.appendChild(document.createElement("i"));
  const of = (name) => {
    probe.className = `colour ${name}`;
    return getComputedStyle(probe).color;
  };
  const found = { text: getComputedStyle(element).color, line: of("accent"), bound: of("bound"), grid: of("line"), wish: of("wish") };
  probe.remove();
  return found;
}

const axes = (colour) => [
  { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { stroke: colour.grid }, font: "12px system-ui", size: 28, values: [[86400, "{D} {MMM}"], [3600, "{HH}:{mm}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]].map(([size, form]) => [size, form, null, null, null, null, null, null, 1]) },
  { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { stroke: colour.grid }, font: "12px system-ui", size: 44 },
];

/** Draw a window: the samples with their gaps, and each bound as a line over the judged time. */
export function windowChart(window) {
  if (window.end === null || !window.samples.length) return html``;
  const times = window.samples.map((_, index) => window.end - (window.samples.length - 1 - index) * window.step);
  const bounds = Object.entries(window.bounds);
  const judged = times.map((time) => time >= window.end - window.look_back);
  const data = [times, window.samples, ...bounds.map(([, bound]) => judged.map((inside) => (inside ? bound : null)))];
  const options = (colour) => ({
    height: 120,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high, ...bounds.map(([, bound]) => bound), 1e-9) * 1.1] } },
    axes: axes(colour),
    series: [
      {},
      { stroke: colour.line, width: 2, spanGaps: false, points: { size: 3 } },
      ...bounds.map(() => ({ stroke: colour.bound, width: 1.5, dash: [6, 4], points: { show: false } })),
    ],
  });
  const says = `${window.metric}: ${window.samples.filter((value) => value !== null).length} of ${window.samples.length} samples`;
  return html`<div class="chart" role="img" aria-label=${says} ${chart(options, data)}></div>`;
}

/** Draw the count of the last day from what happened: requested as steps, wanted beside it, bounds as they are now. */
export function countChart(happenings, service, from, to) {
  const points = counts(happenings, service, from, to);
  if (points.length < 2) return html`<p class="sum">Nothing is known of the time before now.</p>`;
  const column = (of) => points.map(of);
  const bounds = [service.min, service.max].filter((bound) => bound !== null);
  const data = [column((each) => each.at), column((each) => each.count), column((each) => each.wants), ...bounds.map((bound) => column(() => bound))];
  const beside = {
    held: happenings.filter((each) => each.kind === "hold"),
    changed: new Set(happenings.filter((each) => each.kind === "change").map((each) => each.at)),
    now: to,
    top: Math.max(service.max ?? 0, 1),
  };
  const options = (colour, shown) => ({
    height: 160,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, shown().top) + 1] } },
    axes: [axes(colour)[0], { ...axes(colour)[1], incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }],
    series: [
      {},
      { stroke: colour.line, width: 2, paths: stepped, points: { show: true, size: 6, fill: colour.line, filter: (plot) => plot.data[0].flatMap((at, index) => (shown().changed.has(at) ? [index] : [])) } },
      { stroke: colour.wish, width: 1.5, dash: [4, 4], paths: stepped, points: { show: false } },
      ...bounds.map(() => ({ stroke: colour.bound, width: 1, dash: [2, 4], points: { show: false } })),
    ],
    hooks: { drawClear: [(plot) => shade(plot, shown(), colour.grid)] },
  });
  const says = `${service.requested} replicas now, ${beside.changed.size} changes and ${beside.held.length} holds known`;
  return html`<div class="chart" role="img" aria-label=${says} ${chart(options, data, beside)}></div>
    <p class="keys"><span class="key count">requested, with a dot for each change</span><span class="key wish">wanted</span><span class="key bound">bounds as they are now</span><span class="key held">held</span></p>`;
}

/** Shade the times in which a decision was held. */
function shade(plot, { held, now }, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colour;
  for (const each of held) {
    const [left, right] = [each.at, each.ongoing ? now : each.until].map((at) => Math.min(Math.max(plot.valToPos(at, "x", true), bbox.left), bbox.left + bbox.width));
    ctx.fillRect(left, bbox.top, Math.max(right - left, 1), bbox.height);
  }
  ctx.restore();
}

const stepped = (plot, series, from, to) => Plot.paths.stepped({ align: 1 })(plot, series, from, to);

/** Return the count and the wish after each happening, oldest first; null while nothing is known. */
function counts(happenings, service, from, to) {
  const points = [];
  for (const each of [...happenings].reverse()) {
    const { before, after, wants } = each.facts;
    if (each.until < from || after === undefined) continue;
    if (each.kind === "stopped") points.push({ at: each.at, count: null, wants: null });
    if (each.kind === "change" && !points.length) points.push({ at: Math.max(from, each.at - 1), count: before, wants: null });
    points.push({ at: Math.max(from, each.at), count: after ?? before, wants: wants ?? null });
    if (each.until > each.at) points.push({ at: each.until, count: after ?? before, wants: wants ?? null });
  }
  points.push({ at: to, count: service.requested, wants: service.recommended });
  points.sort((one, other) => one.at - other.at);
  return points;
}
