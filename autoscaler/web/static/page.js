// The page: which view is shown, and when it is drawn again.

import { html, render, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { banners, strip } from "./banner.js";
import { eventsPaths, eventsView } from "./events.js";
import { Feed } from "./feed.js";
import { inSight, overviewView, watchRows } from "./overview.js";
import { policiesPaths, policiesView } from "./policies.js";
import { servicePaths, serviceView } from "./service.js";

const OVERVIEW = "/api/v1/overview";
const LATE = 3; // seconds without an answer after which what is shown counts as old
const TICK = 1000; // milliseconds between two drawings of ages and countdowns

const app = document.getElementById("app");
const announcer = document.getElementById("announcer");
const feed = new Feed(() => {
  announce();
  draw();
});

const VIEWS = {
  "": { title: "Services", paths: () => [windowsPath()].filter(Boolean), view: servicesView },
  services: { title: "Services", paths: servicePaths, view: serviceView },
  policies: { title: "Policies", paths: policiesPaths, view: policiesView },
  events: { title: "Events", paths: eventsPaths, view: eventsView },
};

/** Return the view and its argument as the address names them: `#/services/NAME`. */
function place() {
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/");
  const argument = decoded(rest.join("/"));
  if (name === "services" && !argument) return { ...VIEWS[""], name: "", argument };
  return { ...(VIEWS[name] ?? VIEWS[""]), name: VIEWS[name] ? name : "", argument };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed a lone percent sign
  }
}

/** Return the path of the windows of the services that are in sight; empty if there is none. The server bounds its length. */
function windowsPath() {
  const names = [];
  let length = 0;
  for (const name of inSight().map(encodeURIComponent)) {
    length += name.length + 1;
    if (length > 3500) break;
    names.push(name);
  }
  return names.length ? `/api/v1/windows?services=${names.sort().join(",")}` : "";
}

function servicesView(overview, answers) {
  const path = windowsPath();
  const windows = (path && answers(path)?.services) || latestWindows;
  latestWindows = windows;
  return overviewView(overview, windows, feed.now(), draw);
}
let latestWindows = null;

function draw() {
  const shown = place();
  const overview = feed.get(OVERVIEW);
  const now = feed.now();
  const silence = feed.silence();
  const stale = silence > LATE;
  document.title = title(shown, overview, stale);
  const state = overview ? strip(overview.daemon, overview.problems, now, stale) : nothing;
  render(
    html`<header>
        <h1><a href="#/">swarm-autoscaler</a></h1>
        <nav aria-label="Views">${tab("", "Services", shown)}${tab("policies", "Policies", shown)}${tab("events", "Events", shown)}</nav>
        ${state}
      </header>
      <section class="banners" aria-label="What is wrong">${banners({ overview, now, silence: stale ? silence : 0, error: feed.error, speed: feed.clock?.speed ?? 1 })}</section>
      <main class=${stale ? "stale" : ""}>${overview ? shown.view(overview, (path) => feed.get(path), shown.argument, { now, draw, refresh: () => feed.refresh() }) : waiting(stale)}</main>`,
    app,
  );
  watchRows(app, soon);
}

function title(shown, overview, stale) {
  const what = shown.argument || shown.title;
  if (stale) return `✖ ${what} · swarm-autoscaler`;
  const count = overview?.attention.length ?? 0;
  return `${count ? `(${count}) ` : ""}${what} · swarm-autoscaler`;
}

function tab(name, text, shown) {
  const here = shown.name === name || (name === "" && shown.name === "services");
  return html`<a href=${`#/${name}`} aria-current=${here ? "page" : "false"}>${text}</a>`;
}

const waiting = (stale) => html`<p class="sum">${stale ? "Nothing is known yet." : "Asking the autoscaler …"}</p>`;

/** Draw once, however often it is asked for before the next frame; rows that came near want their windows too. */
function soon() {
  if (soon.due) return;
  soon.due = true;
  requestAnimationFrame(() => {
    soon.due = false;
    draw();
    clearTimeout(soon.asking);
    soon.asking = setTimeout(ask, 200);
  });
}

function ask() {
  const shown = place();
  return feed.want([OVERVIEW, ...shown.paths(shown.argument)]);
}

let told = null;

/** Tell those who hear the page what changed: that something needs attention, or that nothing does any more. */
function announce() {
  const overview = feed.get(OVERVIEW);
  if (!overview) return;
  const count = overview.attention.length;
  const text = `${overview.problems.length} problems, ${count} services need attention`;
  if (told !== null && told !== text) announcer.textContent = text;
  told = text;
}

addEventListener("hashchange", () => {
  scrollTo(0, 0);
  draw();
  ask();
});
setInterval(() => document.hidden || draw(), TICK);
draw();
ask();
