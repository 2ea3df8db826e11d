
"use strict";
// What every page has: its data, elements made of text (never of markup), and the theme.
const page = (() => {
  const byId = id => document.getElementById(id);
  const about = JSON.parse(byId("about").textContent);
  const hidden = /(?<![^\x00-\x7f])[\u200c\u200d]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

  // A block's bytes; null if the browser cannot unpack them.
  async function bytes(name) {
    const packed = Uint8Array.from(atob(byId(name).textContent), letter => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const json = async name => JSON.parse(new TextDecoder().decode(await bytes(name)));

  // An element. Attributes are names and texts; children are texts and nodes.
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on") || key === "style") throw new Error(`${key} is code: set it otherwise`);
      if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  // A text as nodes: characters that cannot be seen are shown by their numbers.
  function visible(text) {
    const nodes = document.createDocumentFragment();
    let from = 0;
    for (const {0: letter, index} of text.matchAll(hidden)) {
      const number = letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
      nodes.append(text.slice(from, index), element("span", {class: "hidden-character"}, `U+${number}`));
      from = index + 1;
    }
    nodes.append(text.slice(from));
    return nodes;
  }

  function trouble(message) {
    byId("trouble").textContent = message;
    byId("trouble").hidden = false;
  }

  // Run a page's own part. What only works with scripts appears.
  async function start(run) {
    for (const each of document.querySelectorAll("[data-script]")) each.hidden = false;
    byId("theme").addEventListener("change", event => { document.documentElement.dataset.theme = event.target.value; });
    if (about.format !== 1) return trouble(`This page is of format ${about.format}; its script reads format 1.`);
    if (typeof DecompressionStream === "undefined") {
      return trouble("This browser cannot unpack the data of this page: you see the summary. A newer one shows all.");
    }
    try {
      await run();
      document.documentElement.dataset.ready = "yes"; // tests wait for it
    } catch (error) {
      trouble(`This page could not be shown whole: ${error.message}`);
      throw error;
    }
  }

  return {about, bytes, byId, element, json, start, trouble, visible};
})();
