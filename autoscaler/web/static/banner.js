// The strip at the top: what the autoscaler is, and what is wrong with it.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { MODES, duration, moment } from "./words.js";

const LATE = 3; // intervals without an evaluation after which something is wrong

/** Return the strip: mode, role, backends, age of the figures. */
export function strip(daemon, problems, now, stale) {
  const kinds = new Set(problems.map((problem) => problem.kind));
  const mode = daemon.mode === "live" && daemon.role === "standby" ? "standby" : daemon.mode;
  const age = daemon.last_evaluation === null ? null : now - daemon.last_evaluation;
  return html`<div class="strip" role="group" aria-label="The autoscaler">
    <span class=${`mode ${mode}`}>${mode === "standby" ? "STANDBY" : MODES[mode]}</span>
    <span>${meaning(daemon)}</span>
    ${backend("Swarm", !kinds.has("swarm"), daemon.docker)}
    ${backend("Prometheus", !kinds.has("prometheus") && !kinds.has("swarm"), daemon.prometheus)}
    <span class=${stale ? "late" : ""}>${age === null ? "not evaluated yet" : `evaluated ${duration(age)} ago`}</span>
    <span class="quiet">policies ${daemon.revision || "not loaded"}</span>
    <span class="quiet">version ${daemon.version}</span>
  </div>`;
}

function meaning(daemon) {
  if (daemon.mode === "dry_run") return "It proposes, and changes nothing.";
  if (daemon.role === "standby") return `It watches. ${daemon.leader ?? "Nobody"} leads.`;
  return `It scales for real${daemon.leader ? `, as ${daemon.leader}` : ""}.`;
}

function backend(name, good, address) {
  return html`<span class=${good ? "backend" : "backend lost"} title=${address}
    ><span aria-hidden="true">${good ? "●" : "✖"}</span> ${name} ${good ? "answers" : "is lost"}</span
  >`;
}

/** Return what is wrong, the gravest first; nothing if all is well. */
export function banners({ overview, now, silence, error, speed }) {
  const said = [];
  if (silence) {
    said.push(banner("wrong", `The autoscaler has not answered for ${duration(silence)}.`, `What you see is old. ${error}`));
  }
  if (!overview) return said;
  const { daemon, problems } = overview;
  const age = now - (daemon.last_evaluation ?? daemon.started ?? now);
  if (!silence && age > LATE * (daemon.interval + speed)) {
    said.push(banner("wrong", `No evaluation has ended for ${duration(age)}.`, `One is due every ${duration(daemon.interval)}.`));
  }
  if (daemon.role === "standby" && !daemon.leader) {
    said.push(banner("wrong", "No autoscaler leads.", "Nothing is scaled until one holds the lease."));
  }
  for (const problem of problems) {
    const since = problem.since === null ? "" : ` Since ${moment(problem.since, now)}.`;
    said.push(banner("wrong", sentence(problem.sentence), `${sentence(problem.consequence)}${since}`));
  }
  if (overview.policy_problems.length) {
    const [first, ...more] = overview.policy_problems;
    const rest = more.length ? ` And ${more.length} more.` : "";
    said.push(banner("wrong", "The policy files are refused; the last valid set stays in force.", `${first}${rest}`));
  }
  for (const pause of overview.paused) said.push(banner("note", sentence(pause), ""));
  return said;
}

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?)]$/.test(text) ? "" : "."}` : "");

function banner(kind, what, more) {
  return html`<div class=${`banner ${kind}`}><strong>${what}</strong>${more ? html` <span>${more}</span>` : nothing}</div>`;
}
