// What the page is made with: elements, the bar that tells, forms, the words of index.html.
// It must not know frames or conversations.

import { WireError } from "./wire.js";
import { explain, language, t } from "./words.js";

export const $ = (id) => document.getElementById(id);

/** Makes an element; strings among the children become text. */
export function el(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Shows one of login, list, chat; on a wide screen the last two stand side by side. */
export const view = (name) => (document.body.dataset.view = name);

/** Tells something in the bar above everything, good news if kind says so; "" takes it away. */
export function tell(text, kind = "") {
  $("bar").className = kind;
  $("alert").textContent = text;
  $("bar").hidden = !text;
}

/** A time for people: of today without the date. */
export function clock(ms) {
  const day = new Date(ms).toDateString() === new Date().toDateString() ? {} : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(navigator.language, { hour: "2-digit", minute: "2-digit", ...day }).format(ms);
}

/** Runs what a form is for; the form waits for it, and a failure is told in words. */
export function onSubmit(id, run) {
  $(id).addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = e.target.querySelector("[type=submit]");
    button.disabled = true;
    tell("");
    try {
      await run(e.target.elements, e.target);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      tell(explain(error));
    } finally {
      button.disabled = false;
    }
  });
}

/** Puts the words into index.html. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  for (const node of document.querySelectorAll("[data-hint]")) node.placeholder = t(node.dataset.hint);
}
