// One service: its decision explained, its last day, its windows, what happened, and how to pause it.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { countChart, windowChart } from "./charts.js";
import { listOf } from "./events.js";
import { change, replicas, why } from "./overview.js";
import { pauseForm } from "./pause.js";
import { scale } from "./spark.js";
import { amount, duration, moment, plain, short } from "./words.js";

const DAY = 86_400;
const about = (name) => `/api/v1/services/${encodeURIComponent(name)}`;
const history = (name) => `${about(name)}/history?order=newest&limit=500`;

export const servicePaths = (name) => [about(name), `${about(name)}/windows`, history(name)];

/** Return the view of one service. */
export function serviceView(overview, answers, name, { now, draw, refresh }) {
  const found = answers(about(name));
  if (!found) return html`<p class="sum">Asking for ${name} …</p>`;
  if (found.missing) return html`<p class="sum">${name}: ${found.missing}. <a href="#/">All services</a></p>`;
  const { service, decision } = found;
  const windows = answers(`${about(name)}/windows`)?.windows ?? [];
  const happenings = answers(history(name))?.happenings ?? [];
  return html`<section aria-label=${`Service ${name}`}>
    <p class="back"><a href="#/">← All services</a></p>
    <h2 class="service">${name} <small title=${found.place}>policy ${service.policy} ${short(found.place)}</small></h2>
    <div class="facts-row">
      <span class="big">${replicas(service)}</span>
      <span class="allowed">${scale(service)}<small>${service.min === null ? "" : `${service.min} to ${service.max} allowed`}</small></span>
      <span class="why">${why(service, now)}</span>
      <span class="last">${change(service.last_change, now)}</span>
    </div>
    ${found.story ? html`<h3>The last decision</h3><pre class="story" tabindex="0" aria-label="The last decision, explained">${found.story}</pre>${utc(now)}` : reasons(decision)}
    <p class="command">${copied(`autoscaler explain ${name}`)}</p>
    <h3>Replicas over the last day</h3>
    ${countChart(happenings, service, now - DAY, now)}
    <h3>What the rules see</h3>
    <div class="windows">${windows.map((window) => drawWindow(window, now))}</div>
    ${pauseForm(name, service, { now, draw, refresh })}
    <h3>What happened before</h3>
    ${listOf(happenings.filter((each) => each.kind !== "unchanged").slice(0, 50), now, false)}
  </section>`;
}

/** Say whose times these are if this browser's are not UTC. */
const utc = (now) => (new Date(now * 1000).getTimezoneOffset() ? html`<p class="quiet">These times are UTC; all others are this browser's.</p>` : nothing);

function reasons(decision) {
  return html`<ul class="facts">${decision.reasons.map((each) => html`<li><b>${plain(each.reason)}</b>${each.rule ? ` [${each.rule}]` : ""} ${each.detail}</li>`)}</ul>`;
}

function drawWindow(window, now) {
  const newest = window.samples.at(-1) ?? null;
  const sides = Object.entries(window.bounds).map(([side, bound]) => `${plain(side)} ${amount(bound, window.unit)}`).join(", ");
  const lasting = window.look_back ? ` for ${duration(window.look_back)}` : "";
  const until = window.end === null ? "" : `, until ${moment(window.end, now)}`;
  return html`<figure class="window">
    <figcaption><b>${window.rule}</b> ${window.metric} ${amount(newest, window.unit)}${window.base ? ` of ${window.base}` : ""}<small>${sides}${lasting}${until}</small></figcaption>
    ${window.lacking ? html`<p class="lack">${window.lacking}</p>` : nothing} ${windowChart(window)}
  </figure>`;
}

function copied(command) {
  return html`<code>${command}</code> <button type="button" class="quiet" @click=${(event) => {
    navigator.clipboard?.writeText(command);
    event.target.textContent = "Copied";
  }}>Copy as command</button>`;
}
