// Pauses and resumes one service, for whoever has the token.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";

const form = { token: "", answer: "", busy: false };

/** Return the form; the token stays in this page's memory alone. */
export function pauseForm(name, service, { draw, refresh }) {
  const paused = service.paused.length > 0;
  return html`<details class="pause" ?open=${paused}>
    <summary>${paused ? "Paused" : "Pause"}</summary>
    ${service.paused.map((text) => html`<p>${text}</p>`)}
    <form @submit=${(event) => {
      event.preventDefault();
      const given = new FormData(event.target);
      const resume = event.submitter?.value === "resume";
      send(resume ? "resume" : "pause", body(name, given, resume), given.get("token"), draw).then(refresh);
    }}>
      <label>Direction <select name="direction"><option value="">both</option><option>up</option><option>down</option></select></label>
      <label>For <input name="for" placeholder="30m" size="6" pattern="([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?"></label>
      <label>Reason <input name="reason" maxlength="200"></label>
      <label>Token <input name="token" type="password" autocomplete="off" required .value=${form.token}></label>
      <button type="submit" value="pause" ?disabled=${form.busy}>Pause</button>
      <button type="submit" value="resume" ?disabled=${form.busy}>Resume</button>
    </form>
    ${form.answer ? html`<p role="status">${form.answer}</p>` : nothing}
    <p class="quiet">The token is AUTOSCALER_HTTP_TOKEN. Without one, use <code>autoscaler pause ${name}</code>.</p>
  </details>`;
}

function body(name, given, resume) {
  if (resume) return { services: [name] };
  const wish = { services: [name] };
  for (const key of ["direction", "for", "reason"]) if (given.get(key)) wish[key] = given.get(key);
  return wish;
}

async function send(verb, wish, token, draw) {
  form.token = token;
  form.busy = true;
  form.answer = "Waiting for Swarm …";
  draw();
  try {
    const answer = await fetch(`/api/v1/${verb}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(wish),
    });
    const said = await answer.json();
    if (!answer.ok) form.answer = `Not done: ${said.error}`;
    else form.answer = said.changed.length ? "Done. It counts from the next evaluation on." : "Nothing had to be changed.";
  } catch (error) {
    form.answer = `Not done: ${error.message}`;
  }
  form.busy = false;
  draw();
}
