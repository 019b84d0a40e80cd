// The policies as they are loaded.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { duration, moment, plain, short } from "./words.js";

const PATH = "/api/v1/policies";

export const policiesPaths = () => [PATH];

/** Return the view of the policies in force. */
export function policiesView(overview, answers, _, { now }) {
  const loaded = answers(PATH);
  if (!loaded) return html`<p class="sum">Asking for the policies …</p>`;
  return html`<section aria-label="Policies">
    ${loaded.problems.length
      ? html`<h2>What is wrong with the files as they are now</h2>
          <ul class="faults">${loaded.problems.map((problem) => html`<li>${problem}</li>`)}</ul>`
      : nothing}
    <p class="sum">${loaded.policies.length} policies are in force, revision ${overview.daemon.revision}.</p>
    ${loaded.policies.map((policy) => drawPolicy(policy, now))}
  </section>`;
}

function drawPolicy(policy, now) {
  return html`<article class="card">
    <h2>${policy.name} <small title=${policy.place}>${short(policy.place)}</small></h2>
    <p>
      ${policy.min} to ${policy.max} replicas.
      ${policy.paused ? html`<b>Paused${policy.paused === true ? "" : ` ${policy.paused}`}.</b>` : nothing} It means
      ${[...policy.services, ...Object.entries(policy.match_labels).map(([label, value]) => `${label}=${value}`)].join(", ") || "services that choose it by label"}${policy.exclude.length ? `, but not ${policy.exclude.join(", ")}` : ""}.
    </p>
    <p>${applies(policy.applies_to)}</p>
    ${policy.rules.length
      ? html`<ul class="facts">${policy.rules.map((rule) => html`<li><b>${rule.name}</b> ${rule.strategy} on ${rule.metric}${bounds(rule)}</li>`)}</ul>`
      : nothing}
    ${policy.schedules.length
      ? html`<ul class="facts">${policy.schedules.map((schedule) => drawSchedule(schedule, now))}</ul>`
      : nothing}
  </article>`;
}

function applies(names) {
  if (!names.length) return html`<b>It applies to no service.</b>`;
  return html`It applies to ${names.map((name, index) => html`${index ? ", " : ""}<a href=${`#/services/${encodeURIComponent(name)}`}>${name}</a>`)}.`;
}

function bounds(rule) {
  const said = Object.entries(rule.bounds).map(([side, value]) => `${plain(side)} ${value}`).join(", ");
  const lasting = rule.look_back ? ` for ${duration(rule.look_back)}` : "";
  return said ? `: ${said}${lasting}` : "";
}

function drawSchedule(schedule, now) {
  const range = [schedule.min === null ? "" : `min ${schedule.min}`, schedule.max === null ? "" : `max ${schedule.max}`].filter(Boolean).join(", ");
  const next = schedule.active ? schedule.next_end : schedule.next_start;
  const when = next === null ? "" : `, ${schedule.active ? "until" : "from"} ${moment(next, now)} (in ${duration(next - now)})`;
  return html`<li><b>${schedule.name}</b> ${range} <span class=${schedule.active ? "active" : "quiet"}>${schedule.active ? "in force" : "not in force"}</span>${when} <small>${schedule.timezone}</small></li>`;
}
