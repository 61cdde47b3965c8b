// Charts over time, on uPlot: their colours are the page's own, in light and in dark.

import uPlot from "../../vendor/uplot.esm.js";
import { clock } from "./words.js";

const HEIGHT = 140;
const dark = matchMedia("(prefers-color-scheme: dark)");

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} colour a CSS variable's name
 * @property {boolean} [bars]
 */

/**
 * @typedef {object} About
 * @property {string} title
 * @property {Series[]} series
 * @property {(value: number) => string} format
 * @property {boolean} [elapsed] the abscissa is seconds since the beginning, not a time of day
 */

const KEYS = ["first", "second", "third"];

function colour(/** @type {string} */ name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** One chart with its title, in a panel of its own. */
export class Chart {
  /** @type {any} */
  #plot;
  #about;
  #place = document.createElement("div");
  panel = document.createElement("section");
  /** @type {(number | null)[][]} */
  #data;
  /** Whether it can be seen, and whether what is drawn is of before. */
  #isSeen = false;
  /** When it was drawn last. */
  drawnAt = 0;
  #isStale = false;

  /** @param {About} about @param {HTMLElement} into @param {string} [className] */
  constructor(about, into, className = "panel card") {
    this.#about = about;
    this.#data = [[], ...about.series.map(() => [])];
    this.panel.className = className;
    const title = document.createElement("h3");
    title.append(about.title);
    const keys = document.createElement("span");
    keys.className = "keys";
    about.series.forEach(({ label }, i) => {
      const key = document.createElement("span");
      key.className = KEYS[i];
      key.textContent = label;
      if (about.series.length > 1) keys.append(key);
    });
    title.append(keys);
    this.#place.className = "plot";
    this.#place.setAttribute("role", "img");
    this.#place.setAttribute("aria-label", about.title);
    this.panel.append(title, this.#place);
    into.append(this.panel);
    this.#draw();
    new ResizeObserver(() => this.#fit()).observe(this.#place);
    new IntersectionObserver((entries) => this.#look(entries.some(({ isIntersecting }) => isIntersecting))).observe(this.#place);
    dark.addEventListener("change", () => this.#draw());
  }

  /** @param {(number | null)[][]} data the abscissa in seconds, then a list for each series */
  show(data) {
    this.take(data);
    if (this.isBehind) this.draw();
  }

  /** The same, to be drawn later. @param {(number | null)[][]} data */
  take(data) {
    this.#data = data;
    this.#isStale = true;
  }

  /** Whether it can be seen, and shows what was. */
  get isBehind() {
    return this.#isSeen && this.#isStale;
  }

  draw() {
    this.#isStale = false;
    this.drawnAt = performance.now();
    this.#plot.setData(this.#data);
    const latest = this.#about.series.map(({ label }, i) => {
      const value = this.#data[i + 1].at(-1);
      return `${label} ${value === null || value === undefined ? "unknown" : this.#about.format(value)}`;
    });
    const said = `${this.#about.title}: ${latest.join(", ")}`;
    if (this.#place.getAttribute("aria-label") !== said) this.#place.setAttribute("aria-label", said);
  }

  /** What is out of sight is not drawn. @param {boolean} isSeen */
  #look(isSeen) {
    this.#isSeen = isSeen;
    if (this.isBehind) this.draw();
  }

  /** What it looks like now, for a file. */
  get canvas() {
    if (this.#isStale) this.draw();
    return /** @type {HTMLCanvasElement} */ (this.#plot.ctx.canvas);
  }

  #fit() {
    const width = Math.floor(this.#place.clientWidth);
    if (width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #draw() {
    this.#plot?.destroy();
    const { series, format, elapsed } = this.#about;
    const grid = { stroke: colour("--edge"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.#plot = new uPlot(
      {
        width: Math.max(200, Math.floor(this.#place.clientWidth)),
        height: HEIGHT,
        padding: [8, 16, 0, 0],
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { x: { time: !elapsed }, y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, nice(most)] } },
        axes: [
          { ...axis, size: 28, space: 92, values: elapsed ? (/** @type {any} */ _, /** @type {number[]} */ all) => all.map((s) => `${s} s`) : times },
          { ...axis, size: 70, space: 34, values: (/** @type {any} */ _, /** @type {number[]} */ all) => all.map(format) },
        ],
        series: [
          {},
          ...series.map(({ label, colour: name, bars }) => ({
            label,
            stroke: colour(name),
            width: bars ? 0 : 2,
            fill: bars ? colour(name) : undefined,
            points: { show: false },
            paths: bars ? uPlot.paths.bars({ size: [0.9, 24, 2] }) : undefined,
          })),
        ],
      },
      this.#data,
      this.#place,
    );
  }
}

function times(/** @type {any} */ _, /** @type {number[]} */ all) {
  return all.map((at) => (all.every((one) => one % 60 === 0) ? clock(at).slice(0, 5) : clock(at)));
}

/** The axis ends a little above the most there is. @param {number} most */
function nice(most) {
  if (!Number.isFinite(most) || most <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(most));
  return Math.ceil((most * 1.08) / (step / 2)) * (step / 2);
}
