// All services: chips that filter, a search, and a row for each.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { repeat } from "./vendor/lit-html-3.3.3/directives/repeat.js";
import { scale, sparkline } from "./spark.js";
import { amount, duration, moment, plain } from "./words.js";

/** What the view remembers between two answers. */
export const chosen = { states: new Set(), search: "", sort: "attention" };

const near = new Set(); // names of the rows that are near the screen; the others show their name alone
let redraw = () => {};
const watcher = new IntersectionObserver(
  (entries) => {
    let changed = false;
    for (const { target, isIntersecting } of entries) {
      const name = target.dataset.service;
      if (isIntersecting === near.has(name)) continue;
      if (isIntersecting) near.add(name);
      else near.delete(name);
      changed = true;
    }
    if (changed) redraw();
  },
  { rootMargin: "400px" },
);

/** Return the names of the services whose rows are near the screen. */
export const inSight = () => [...near];

/** Watch the rows that are drawn now. */
export function watchRows(root, draw) {
  redraw = draw;
  for (const row of root.querySelectorAll("[data-service]")) {
    if (row.watched) continue;
    row.watched = true;
    watcher.observe(row);
  }
}

const ORDER = ["failing", "misconfigured", "lacks_data", "no_room", "at_maximum", "ineffective", "paused", "held", "changed"];
const rank = (row) => Math.min(...row.states.map((state) => ORDER.indexOf(state)), ORDER.length);

const SORTS = {
  attention: ["What needs attention", (a, b) => rank(a) - rank(b)],
  name: ["Name", () => 0],
  changed: ["Last change", (a, b) => (b.last_change?.at ?? 0) - (a.last_change?.at ?? 0)],
  replicas: ["Replicas", (a, b) => b.requested - a.requested],
};

function select(rows) {
  const wanted = chosen.search.trim().toLowerCase();
  const [, compare] = SORTS[chosen.sort];
  return rows
    .filter((row) => !chosen.states.size || row.states.some((state) => chosen.states.has(state)))
    .filter((row) => !wanted || `${row.service} ${row.policy}`.toLowerCase().includes(wanted))
    .sort((a, b) => compare(a, b) || a.service.localeCompare(b.service));
}

/** Return the view of all services. */
export function overviewView(overview, windows, now, draw) {
  const rows = select(overview.services);
  return html`<section aria-label="Services">
    <div class="tools">
      <label class="search">Search <input type="search" .value=${chosen.search} @input=${(event) => {
        chosen.search = event.target.value;
        draw();
      }}></label>
      <div class="chips" role="group" aria-label="Show only">
        ${ORDER.filter((state) => overview.counts[state] || chosen.states.has(state)).map((state) => chip(state, overview.counts[state], draw))}
      </div>
      <label>Sort by <select @change=${(event) => {
        chosen.sort = event.target.value;
        draw();
      }}>${Object.entries(SORTS).map(([key, [text]]) => html`<option value=${key} ?selected=${key === chosen.sort}>${text}</option>`)}</select></label>
    </div>
    <p class="sum">${sum(overview, rows)}</p>
    <div class="rows" role="table" aria-label="Services" aria-rowcount=${rows.length}>
      <div class="row head" role="row">
        ${["Service", "Replicas", "Allowed", "Metrics", "What and why", "Last change"].map((text) => html`<span role="columnheader">${text}</span>`)}
      </div>
      ${repeat(rows, (row) => row.service, (row) => drawRow(row, windows?.[row.service], now))}
    </div>
  </section>`;
}

function sum(overview, rows) {
  const total = overview.services.length;
  if (!total) return "No policy applies to any service yet.";
  const attention = overview.attention.length;
  const said = attention ? `${attention} of ${total} services need attention.` : `${total} services, and none needs attention.`;
  return rows.length === total ? said : `${said} ${rows.length} are shown.`;
}

function chip(state, count, draw) {
  const pressed = chosen.states.has(state);
  return html`<button type="button" class=${`chip ${state}`} aria-pressed=${pressed} @click=${() => {
    if (pressed) chosen.states.delete(state);
    else chosen.states.add(state);
    draw();
  }}>${plain(state)} <b>${count}</b></button>`;
}

function drawRow(row, windows, now) {
  const link = html`<a href=${`#/services/${encodeURIComponent(row.service)}`}>${row.service}</a>`;
  const worst = ORDER.find((state) => row.states.includes(state)) ?? "content";
  if (!near.has(row.service)) {
    return html`<div class="row far" role="row" data-service=${row.service}><span role="cell">${link}</span></div>`;
  }
  return html`<div class=${`row ${worst}`} role="row" data-service=${row.service}>
    <span role="cell" class="name">${link}<small>${row.policy}</small></span>
    <span role="cell" class="replicas">${replicas(row)}</span>
    <span role="cell" class="allowed">${scale(row)}<small>${row.min === null ? "" : `${row.min} to ${row.max}`}</small></span>
    <span role="cell" class="metrics">${row.metrics.map((metric) => drawMetric(metric, windows))}</span>
    <span role="cell" class="why">${why(row, now)}</span>
    <span role="cell" class="last">${change(row.last_change, now)}</span>
  </div>`;
}

/** Return the counts: requested, running if they differ, and what is wanted. */
export function replicas(row) {
  const running = row.running === row.requested ? nothing : html`<small>${row.running} running</small>`;
  const wanted = row.desired === row.requested ? (row.recommended === row.requested ? null : row.recommended) : row.desired;
  const arrow = wanted === null ? nothing : html` <span class="wish"><span aria-hidden="true">→</span> <span class="unseen">wants</span> ${wanted}</span>`;
  return html`<b>${row.requested}</b>${arrow}${running}`;
}

function drawMetric(metric, windows) {
  const bounds = Object.assign({}, ...Object.values(metric.rules));
  const window = windows?.find((each) => each.metric === metric.metric);
  const says = `${metric.metric} ${amount(metric.value, metric.unit)}`;
  const compared = Object.entries(bounds).map(([side, bound]) => `${plain(side)} ${amount(bound, "")}`).join(", ");
  return html`<span class="metric"><span>${says}</span><small>${compared}</small>${window ? sparkline({ ...window, bounds, label: `${says}; ${compared}` }) : nothing}</span>`;
}

/** Return the outcome, the reason and the sentence, with a countdown if a hold ends by itself. */
export function why(row, now) {
  const left = row.hold_ends !== null && row.hold_ends > now ? html` <b class="countdown">${duration(row.hold_ends - now)} left</b>` : nothing;
  const rule = row.rule ? html` <small>[${row.rule}]</small>` : nothing;
  const text = row.detail || row.lacking || row.why;
  return html`<span class="outcome">${plain(row.outcome)}</span> <span class="reason">${plain(row.reason)}</span>${rule}${left}<span class="sentence">${text}</span>`;
}

/** Return a change of the count in words. */
export function change(last, now) {
  if (!last) return nothing;
  const by = last.by_others ? "by somebody else, " : "";
  return html`<b>${last.before} → ${last.after}</b><small>${by}<time title=${moment(last.at, now)}>${duration(now - last.at)} ago</time></small>`;
}
