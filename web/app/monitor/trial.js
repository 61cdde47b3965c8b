// Failures as a test: the plan, how it goes, and the paper's three figures (§IV.B) with their export.

import { call } from "./api.js";
import { Chart } from "./charts.js";
import { askFirst, byId, html, make, nameField, save, setText } from "./page.js";
import { milliseconds, span } from "./words.js";

/** @typedef {import("./api.js").Stream} Stream */
/** @typedef {import("./api.js").Trial} Trial */

/** Parameters of each distribution, with the paper's values. @type {Record<string, [name: string, label: string, value: number][]>} */
const PARAMETERS = {
  uniform: [],
  binomial: [
    ["trials", "Trials", 20],
    ["probability", "Probability", 0.8],
  ],
  beta: [
    ["alpha", "α", 0.5],
    ["beta", "β", 3],
  ],
  "chi-squared": [["freedom", "Degrees of freedom", 5]],
  poisson: [["mean_share", "Mean, as a share of all", 0.5]],
};

/** @type {Record<Trial["phase"], string>} */
const PHASES = {
  running: "Viewers fail",
  settling: "Nobody fails any more; the last reports come in",
  done: "Done",
  stopped: "Stopped",
  interrupted: "The stream ended before it was done",
};

/** The paper's names of its three figures. */
const FIGURES = [
  { title: "Stalled", colour: "--accent", format: (/** @type {number} */ n) => String(Math.round(n)) },
  { title: "Total stalled time", colour: "--warn-mark", format: milliseconds },
  { title: "Average stalled time", colour: "--relay", format: milliseconds },
];

/** See the file's own words. */
export class TrialPanel {
  #stream;
  /** @type {Trial | null} */
  #trial = null;
  /** @type {Chart[]} */
  #charts = [];

  /** @param {() => Stream | null} stream */
  constructor(stream) {
    this.#stream = stream;
    byId("trial-kind", HTMLSelectElement).onchange = () => this.#showParameters();
    byId("trial-form", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
    html("trial-stop").onclick = () => this.#stop();
    html("trial-csv").onclick = () => this.#csv();
    html("trial-png").onclick = () => this.#png();
    this.#showParameters();
  }

  /** Another stream: its trial comes with its events. */
  clear() {
    this.#trial = null;
    setText(html("trial-problem"), "");
    this.show();
  }

  /** @param {Trial} trial */
  take(trial) {
    this.#trial = trial;
    this.show();
  }

  show() {
    const stream = this.#stream();
    const allowed = Boolean(stream?.allow_failures);
    const goesOn = this.#trial?.phase === "running" || this.#trial?.phase === "settling";
    html("trial-forbidden").hidden = allowed;
    html("trial-form").hidden = !allowed;
    html("trial-start").hidden = goesOn;
    html("trial-stop").hidden = !goesOn;
    html("trial-result").hidden = !this.#trial;
    if (this.#trial) this.#showResult(this.#trial);
  }

  /** @param {Trial} trial */
  #showResult(trial) {
    const words = [
      PHASES[trial.phase],
      trial.failures === 1 ? "1 failure" : `${trial.failures} failures`,
      `${trial.stalls === 1 ? "1 stall" : `${trial.stalls} stalls`} of others`,
      `${milliseconds(trial.stalled_ms)} in all`,
    ];
    if (trial.average_ms !== null) words.push(`${milliseconds(trial.average_ms)} each`);
    words.push(`${trial.plan.distribution.kind}, ${trial.plan.rate} a second for ${span(trial.plan.seconds)}, seed ${trial.seed}`);
    setText(html("trial-state"), words.join(" · "));
    if (!this.#charts.length) {
      this.#charts = FIGURES.map(
        ({ title, colour, format }) =>
          new Chart({ title, series: [{ label: title, colour }], format, elapsed: true }, html("trial-charts"), "panel"),
      );
    }
    const at = trial.samples.map(({ at_ms }) => Math.round(at_ms / 1000));
    const average = trial.samples.map(({ stalls, stalled_ms }) => (stalls ? stalled_ms / stalls : null));
    const values = [trial.samples.map((s) => s.stalls), trial.samples.map((s) => s.stalled_ms), average];
    this.#charts.forEach((chart, i) => chart.show([at, values[i]]));
  }

  #showParameters() {
    const kind = byId("trial-kind", HTMLSelectElement).value;
    const fields = PARAMETERS[kind].map(([name, label, value]) => {
      const field = make("input", "");
      Object.assign(field, { type: "number", step: "any", value: String(value), required: true });
      field.dataset.parameter = name;
      return make("label", "", `${label} `, field);
    });
    html("trial-parameters").replaceChildren(...fields);
  }

  #plan() {
    /** @type {Record<string, string | number>} */
    const distribution = { kind: byId("trial-kind", HTMLSelectElement).value };
    for (const field of html("trial-parameters").querySelectorAll("input")) {
      distribution[field.dataset.parameter ?? ""] = field.valueAsNumber;
    }
    return {
      distribution,
      rate: byId("trial-rate", HTMLInputElement).valueAsNumber,
      seconds: byId("trial-seconds", HTMLInputElement).valueAsNumber,
      how: byId("trial-how", HTMLSelectElement).value,
    };
  }

  #start() {
    const stream = this.#stream();
    if (!stream) return;
    const plan = this.#plan();
    setText(html("trial-problem"), "");
    askFirst({
      title: "Make viewers fail?",
      words: `Viewers of ${stream.name} lose their picture. Type the stream's name to be sure.`,
      button: "Start",
      label: "The stream's name",
      field: nameField(),
      act: async (name) => this.take(await call("POST", `streams/${stream.stream}/failures`, { name, ...plan })),
    });
  }

  async #stop() {
    const stopped = call("DELETE", `streams/${this.#stream()?.stream}/failures`);
    await stopped.then((trial) => this.take(trial)).catch((error) => setText(html("trial-problem"), error.message));
  }

  #fileName() {
    const { plan, began_s } = /** @type {Trial} */ (this.#trial);
    return `${plan.name}-${plan.distribution.kind}-${new Date(began_s * 1000).toISOString().slice(0, 19).replaceAll(":", "")}`;
  }

  #csv() {
    if (this.#trial) save(`${this.#fileName()}.csv`, new Blob([csv(this.#trial)], { type: "text/csv" }));
  }

  #png() {
    if (!this.#trial) return;
    const picture = paint(this.#charts, html("trial-state").textContent ?? "");
    picture.toBlob((blob) => blob && save(`${this.#fileName()}.png`, blob), "image/png");
  }
}

/** The course, then each viewer's life. @param {Trial} trial */
export function csv(trial) {
  const plan = JSON.stringify({ ...trial.plan, seed: trial.seed }).replaceAll('"', "'");
  const course = trial.samples.map((s) => {
    const average = s.stalls ? (s.stalled_ms / s.stalls).toFixed(0) : "";
    return [s.at_ms, s.viewers, s.failures, s.stalls, s.stalled_ms, average].join(",");
  });
  const lives = trial.lives.map((l) => [l.peer, l.failed, l.stalls, l.stalled_ms].join(","));
  return [
    `# ${plan}`,
    "at_ms,viewers,failures,stalled,total_stalled_ms,average_stalled_ms",
    ...course,
    "",
    "peer,failed,stalled,total_stalled_ms",
    ...lives,
    "",
  ].join("\n");
}

/** The three figures above each other, with their titles. @param {Chart[]} charts @param {string} caption */
function paint(charts, caption) {
  const style = getComputedStyle(document.documentElement);
  const canvases = charts.map((chart) => chart.canvas);
  const scale = window.devicePixelRatio || 1;
  const [title, margin] = [28 * scale, 12 * scale];
  const picture = document.createElement("canvas");
  picture.width = Math.max(...canvases.map(({ width }) => width)) + 2 * margin;
  picture.height = canvases.reduce((sum, { height }) => sum + height + title, title + 2 * margin);
  const pen = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  pen.fillStyle = style.getPropertyValue("--card");
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.fillStyle = style.getPropertyValue("--text");
  let y = margin;
  canvases.forEach((canvas, i) => {
    pen.font = `600 ${14 * scale}px system-ui, sans-serif`;
    pen.fillText(FIGURES[i].title, margin, y + 18 * scale);
    pen.drawImage(canvas, margin, y + title);
    y += canvas.height + title;
  });
  pen.font = `${11 * scale}px system-ui, sans-serif`;
  pen.fillText(caption, margin, y + 18 * scale, picture.width - 2 * margin);
  return picture;
}
