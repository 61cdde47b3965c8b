// Small hands for the page's elements.

/**
 * @template {Element} E
 * @param {string} id
 * @param {new () => E} kind
 * @returns {E}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`the page lacks #${id}`);
}

/** @param {string} id */
export function html(id) {
  return byId(id, HTMLElement);
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} className
 * @param {...(string | Node)} children
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Only what differs is written: screen readers read out what is. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Fills a list of terms: those that stay are written anew only if they differ.
 * @param {HTMLElement} list
 * @param {[string, string, string?][]} facts term, words, mood
 * @param {boolean} [grouped] each in a `div` of its own
 */
export function fill(list, facts, grouped = false) {
  const signature = facts.map(([term]) => term).join("|");
  if (list.dataset.terms !== signature) {
    list.dataset.terms = signature;
    const pairs = facts.map(([term]) => [make("dt", "", term), make("dd", "")]);
    list.replaceChildren(...(grouped ? pairs.map((pair) => make("div", "", ...pair)) : pairs.flat()));
  }
  list.querySelectorAll("dd").forEach((place, i) => {
    setText(place, facts[i][1]);
    const mood = facts[i][2] ?? "";
    if (place.dataset.mood !== mood) place.dataset.mood = mood;
  });
}

const ask = {
  dialog: () => byId("ask", HTMLDialogElement),
  form: () => byId("ask-form", HTMLFormElement),
};

/**
 * Asks before something is done. What `act` throws is shown, and it can be tried again.
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.words
 * @param {string} question.button
 * @param {HTMLInputElement | HTMLSelectElement} [question.field]
 * @param {string} [question.label]
 * @param {(value: string) => Promise<unknown>} question.act
 */
export function askFirst({ title, words, button, field, label, act }) {
  const dialog = ask.dialog();
  setText(html("ask-title"), title);
  setText(html("ask-words"), words);
  setText(html("ask-do"), button);
  setText(html("ask-problem"), "");
  html("ask-field").replaceChildren(...(field ? [make("label", "", label ?? "", field)] : []));
  ask.form().onsubmit = async (event) => {
    event.preventDefault();
    setText(html("ask-problem"), "");
    await act(field?.value ?? "").then(
      () => dialog.close(),
      (error) => setText(html("ask-problem"), error.message),
    );
  };
  html("ask-cancel").onclick = () => dialog.close();
  dialog.showModal();
  field?.focus();
}

/** A field in which a name is to be typed. */
export function nameField() {
  const field = make("input", "");
  field.required = true;
  field.autocomplete = "off";
  return field;
}

/** Gives the reader a file. @param {string} name @param {Blob} content */
export function save(name, content) {
  const link = make("a", "");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
