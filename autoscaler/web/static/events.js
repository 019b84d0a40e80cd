// What happened in the last day.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { duration, moment, plain } from "./words.js";

const KINDS = ["change", "hold", "problem", "pause", "policies", "leader", "started", "stopped"];
const shown = new Set(KINDS.filter((kind) => kind !== "hold"));

const path = () => `/api/v1/history?order=newest&limit=300&kind=${KINDS.filter((kind) => shown.has(kind)).join(",")}`;

export const eventsPaths = () => (shown.size ? [path()] : []);

/** Return the view of what happened. */
export function eventsView(overview, answers, _, { now, refresh, draw }) {
  const history = shown.size ? answers(path()) : { happenings: [] };
  return html`<section aria-label="Events">
    <div class="chips" role="group" aria-label="Show">
      ${KINDS.map((kind) => html`<button type="button" class="chip" aria-pressed=${shown.has(kind)} @click=${() => {
        if (shown.has(kind)) shown.delete(kind);
        else shown.add(kind);
        dispatchEvent(new Event("hashchange"));
        draw();
        refresh();
      }}>${plain(kind)}</button>`)}
    </div>
    ${history?.problem ? html`<div class="banner note">${history.problem}</div>` : nothing}
    ${history?.happenings ? listOf(history.happenings, now, true) : html`<p class="sum">Asking for the history …</p>`}
    ${history?.kept_since ? html`<p class="quiet">Something is known from ${moment(history.kept_since, now)} on. It is kept in ${history.kept_in === "file" ? "a file, and survives a restart" : "memory, and a restart forgets it"}.</p>` : nothing}
  </section>`;
}

/** Return happenings as a list, the newest first. */
export function listOf(happenings, now, named) {
  if (!happenings.length) return html`<p class="sum">Nothing is known to have happened.</p>`;
  return html`<ol class="events">${happenings.map((each) => html`<li class=${each.kind}>
    <time>${moment(each.at, now)}${each.until > each.at ? ` – ${each.ongoing ? "now" : moment(each.until, now)}` : ""}</time>
    <span class="kind">${plain(each.kind)}</span>
    ${named && each.service ? html`<a href=${`#/services/${encodeURIComponent(each.service)}`}>${each.service}</a>` : nothing}
    <span>${inWords(each)}</span>
    ${each.times > 1 ? html`<small>${each.times} evaluations, ${duration(each.until - each.at)}</small>` : nothing}
  </li>`)}</ol>`;
}

function inWords({ kind, facts }) {
  const reason = facts.reason ? `${plain(facts.reason)}${facts.rule ? ` [${facts.rule}]` : ""}` : "";
  switch (kind) {
    case "change":
      if (facts.before === undefined) return reason;
      return `${facts.before} → ${facts.after} by ${plain(facts.by ?? "unknown")}${reason ? `, ${reason}` : ""}${facts.why ? `: ${facts.why}` : ""}`;
    case "hold":
    case "unchanged":
      return `${reason}${facts.why ? `: ${facts.why}` : ""}`;
    case "problem":
      return `${plain(facts.problem)}${facts.subject ? ` ${facts.subject}` : ""}: ${facts.detail}`;
    case "policies":
      return facts.refused ? `refused: ${(facts.problems ?? []).join("; ")}` : `revision ${facts.revision}, ${facts.policies} policies`;
    case "leader":
      return `${facts.role}${facts.holder ? `, ${facts.holder} leads` : ""}`;
    case "started":
      return [facts.version && `version ${facts.version}`, facts.mode && plain(facts.mode)].filter(Boolean).join(", ");
    default:
      return facts.detail ?? "";
  }
}
