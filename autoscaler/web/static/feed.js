// Asks the API again after each evaluation, and knows how old the answer is.

const AFTER_THE_EVALUATION = 400; // milliseconds that an evaluation may take until its answer is there
const LONGEST_WAIT = 2_000;
const PATIENCE = 8_000;

/** Keeps the newest answers of the paths that a view wants, and calls `changed` after each attempt. */
export class Feed {
  constructor(changed) {
    this.changed = changed;
    this.answers = new Map(); // by path: {tag, document}
    this.paths = [];
    this.lost = null; // since when the daemon does not answer, by this machine's clock in milliseconds
    this.asked = null; // when the questions were asked that are not answered yet
    this.error = "";
    this.clock = null; // the daemon's clock when it answered last, and ours at that time
    this.failures = 0;
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    addEventListener("online", () => this.refresh());
  }

  /** Ask for these paths from now on; the first one has the daemon's state. */
  want(paths) {
    this.paths = paths;
    for (const path of this.answers.keys()) if (!paths.includes(path)) this.answers.delete(path);
    return this.refresh();
  }

  get(path) {
    return this.answers.get(path)?.document ?? null;
  }

  /** Return the daemon's time in Unix seconds; the demo's clock runs faster than ours. */
  now() {
    if (!this.clock) return Date.now() / 1000;
    return this.clock.theirs + ((Date.now() - this.clock.ours) / 1000) * this.clock.speed;
  }

  /** Return for how many seconds the daemon has not answered, 0 if it answers. */
  silence() {
    const since = this.lost ?? this.asked;
    return since === null ? 0 : Math.max(0, Date.now() - since) / 1000;
  }

  async refresh() {
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const asked = (this.asked = Date.now());
    let wait;
    try {
      const waits = await Promise.all(this.paths.map((path) => this.ask(path)));
      if (turn !== this.turn) return; // another view asks already
      this.lost = null;
      this.failures = 0;
      wait = waits[0];
    } catch (error) {
      if (turn !== this.turn) return;
      this.lost ??= asked;
      this.error = String(error.message ?? error);
      wait = Math.min(LONGEST_WAIT, 1000 * 2 ** this.failures++);
    }
    this.asked = null;
    this.changed();
    const jitter = Math.random() * 300;
    if (!document.hidden) this.timer = setTimeout(() => this.refresh(), wait + jitter);
  }

  /** Ask for one path; return after how many milliseconds a newer answer is due. */
  async ask(path) {
    const known = this.answers.get(path);
    const headers = known?.tag ? { "If-None-Match": known.tag } : {};
    const answer = await fetch(path, { headers, signal: AbortSignal.timeout(PATIENCE) });
    const due = Number(answer.headers.get("X-Next-Evaluation-In") ?? Number.NaN);
    this.setClock(Number(answer.headers.get("X-Autoscaler-Time") ?? Number.NaN));
    if (answer.status === 200) {
      this.answers.set(path, { tag: answer.headers.get("ETag"), document: await answer.json() });
    } else if (answer.status === 404) {
      this.answers.set(path, { tag: null, document: { missing: (await answer.json()).error } });
    } else if (answer.status !== 304 && path === this.paths[0]) {
      throw new Error(`${path} answers ${answer.status}`); // of the other paths the last answer stays
    }
    return Number.isFinite(due) ? Math.max(500, due * 1000 + AFTER_THE_EVALUATION) : 5000;
  }

  setClock(theirs) {
    if (!Number.isFinite(theirs)) return;
    const ours = Date.now();
    const before = this.clock;
    const passed = before ? (ours - before.ours) / 1000 : 0;
    const speed = before && passed > 1 ? Math.max(0, Math.round((theirs - before.theirs) / passed)) || 1 : (before?.speed ?? 1);
    if (!before || passed > 1) this.clock = { theirs, ours, speed };
  }
}
