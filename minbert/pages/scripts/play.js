"use strict";
(() => {
  const {about, byId, element, visible} = page;
  const {models, limits} = about;
  const MASK = "[MASK]", GAP = "The text has a gap. Choose a word for it, and this reads the whole text.";
  let round = 0; // each press of Ask begins one; answers to an earlier one are dropped
  class Old extends Error {}

  const percent = p => `${(100 * p).toFixed(p >= 0.0001 ? 2 : 4)} %`;
  const signed = x => (Math.abs(x) < 0.005 ? "" : x < 0 ? "−" : "+") + Math.abs(x).toFixed(2);
  const minus = x => x.toFixed(2).replace("-", "−");
  const top = () => Math.min(50, Math.max(1, Math.round(Number(byId("top").value)) || 5));

  // Why the text is too long, or nothing. The box takes a long text whole: of one that it cuts nobody would know.
  function tooLong() {
    const {length} = [...byId("text").value], [had, most] = [length, limits.characters].map(each => each.toLocaleString("en"));
    return length > limits.characters ? `the text has ${had} characters, and ${most} are the most here: shorten it` : "";
  }

  // The answer to a question. The message of the error is for people.
  async function ask(route, question, mine = round) {
    let answer;
    if (tooLong()) throw new Error(tooLong());
    try {
      const body = JSON.stringify({text: byId("text").value, ...question});
      answer = await fetch(route, {method: "POST", headers: {"Content-Type": "application/json"}, body});
    } catch {
      throw new Error("minbert does not answer: is it still running in its terminal?");
    }
    const found = await answer.json();
    if (mine !== round) throw new Old();
    if (!answer.ok) throw new Error(found.error);
    return found;
  }

  // Put nodes, or what is wrong, into a place of the page.
  async function into(id, make) {
    const place = byId(id);
    place.setAttribute("aria-busy", "true");
    try {
      place.replaceChildren(...await make());
    } catch (error) {
      if (error instanceof Old) return false;
      place.replaceChildren(note(error.message));
      return false;
    } finally {
      place.removeAttribute("aria-busy");
    }
    return true;
  }

  const counted = number => `${number} ${number === 1 ? "token" : "tokens"}`;
  const note = text => element("p", {class: "note"}, visible(text));
  const sentence = (...parts) => element("p", {}, ...parts);

  // A token: its spaces and line ends are shown.
  function written(token) {
    const nodes = document.createDocumentFragment();
    for (const part of token.split(/(^ +| +$|\n)/)) {
      const marks = part.replaceAll(" ", "␣").replaceAll("\n", "⏎");
      nodes.append(marks === part ? visible(part) : element("span", {class: "space"}, marks));
    }
    return nodes;
  }

  function chip(name, text, below) {
    return element(name, {class: "chip text", dir: "auto"}, text, " ", element("small", {}, below));
  }

  function shade(node, colour, share) { // at most 45 %, so that the text on it can be read
    node.style.backgroundColor = `color-mix(in srgb, var(--${colour}) ${Math.round(45 * share)}%, var(--ground))`;
    return node;
  }

  const chips = (nodes, label) =>
    element("ul", {class: "chips", "aria-label": label}, ...nodes.map(node => element("li", {}, node)));

  function table(caption, header, rows) {
    const head = header.map(name => element("th", name.endsWith("|") ? {scope: "col", colspan: "2"} : {scope: "col"}, name.replace("|", "")));
    return element("div", {class: "scroll", tabindex: "0", role: "group", "aria-label": caption}, element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows.map(([name, ...cells]) =>
        element("tr", {}, element("th", {scope: "row"}, name), ...cells)))));
  }

  function bar(share) {
    const inside = element("span");
    inside.style.width = `${100 * share}%`;
    return element("td", {class: "bar"}, inside);
  }

  const number = text => element("td", {class: "number"}, text);

  function pick(token, act) {
    const button = element("button", {class: "pick text", type: "button"}, written(token));
    button.addEventListener("click", act);
    return button;
  }

  function change(text) {
    byId("text").value = text;
    askAll();
  }

  // The tokens that models read alike; names: of these models.
  function tokens({names, list}) {
    const made = list.map(({id, token, known}) => chip("span", written(token), known ? String(id) : `${id} unknown`));
    const said = [`${counted(list.length)}, as ${names.map(name => `“${name}”`).join(" and ")} ${names.length > 1 ? "read" : "reads"} the text.`];
    if (list.some(({token}) => token === "[CLS]")) said.push("[CLS] and [SEP] mark its beginning and its end.");
    if (list.some(({token}) => token.startsWith("##"))) said.push("## continues a word.");
    if (list.some(({token}) => /^ | $/.test(token))) said.push("␣ is a space, which belongs to its token.");
    if (list.some(({known}) => !known)) said.push("Unknown is what the vocabulary cannot spell.");
    return [sentence(visible(said.join(" "))), chips(made, "tokens")];
  }

  // Ask each of these models for its tokens. Returns the nodes, the models that can read the text, and what is wrong.
  async function allTokens(parts) {
    const lists = [], readable = [], wrong = [];
    for (const part of parts) {
      try {
        const list = await ask(`${part}/tokens`, {});
        const same = lists.find(other => JSON.stringify(other.list) === JSON.stringify(list));
        if (same) same.names.push(models[part].name);
        else lists.push({names: [models[part].name], list});
        readable.push(part);
      } catch (error) {
        if (error instanceof Old) throw error;
        wrong.push(error.message);
      }
    }
    return {nodes: [...lists.flatMap(tokens), ...new Set(wrong)].map(each => typeof each === "string" ? note(each) : each), readable, wrong};
  }

  async function classes() {
    const {header, rows} = await ask("classifier/classes", {});
    const kind = models.classifier.task;
    if (kind === "tags") return [chips(rows.map(([word, tag]) => chip("span", visible(word), tag)), "words and their tags")];
    const [[answer, ...shares]] = rows;
    if (kind === "number") return [sentence(element("b", {}, answer.toFixed(4)))];
    const sorted = header.slice(1).map((name, at) => [name.replace(/^p_/, ""), shares[at]]).sort((a, b) => b[1] - a[1]);
    const lines = sorted.map(([name, p]) => [visible(name), bar(p), number(p.toFixed(4))]);
    return [sentence(element("b", {}, visible(answer))), table("probability of each label", ["label", "probability|"], lines)];
  }

  async function evidence() {
    const {text, label, p, words, area} = await ask("classifier/evidence", {});
    const most = Math.max(...words.map(word => Math.abs(word[2]))) || 1, letters = [...text]; // as Python counts them
    const list = words.map(([start, end, weight]) =>
      shade(chip("span", visible(letters.slice(start, end).join("")), signed(weight)),
        weight < 0 ? "against" : "for", Math.abs(weight) / most));
    const trust = area > 0
      ? `A check: hidden in this order, the weightiest first, they lower the probability by ${area.toFixed(2)} more than words hidden at random.`
      : "A check: hidden in this order they lower the probability no faster than words hidden at random. Do not trust these weights.";
    return [
      sentence("+ spoke for ", element("b", {}, visible(label)), ` (probability ${p.toFixed(4)}), − against it. `,
        "The number is how far the log-odds fall when the word is hidden behind [MASK]."),
      chips(list, "words and their weights"), sentence(trust)];
  }

  async function fill() {
    const text = byId("text").value;
    if (!text.includes(MASK)) return [note(`There is no gap in the text. Select a word and press “Put ${MASK} for the selected word”.`)];
    const {masks} = await ask("language/fill", {top: top()});
    return masks.map((rows, at) => table(masks.length > 1 ? `gap ${at + 1} of ${masks.length}; the others stay hidden` : "at the gap",
      ["token", "probability|"],
      rows.map(({token, score}) => [pick(token, () => change(filled(text, at, token.trim()))), bar(score), number(percent(score))])));
  }

  function filled(text, gap, word) {
    const parts = text.split(MASK), before = parts.slice(0, gap + 1).join(MASK), after = parts.slice(gap + 1).join(MASK);
    return word.startsWith("##") ? before.trimEnd() + word.slice(2) + after : before + word + after;
  }

  async function next() {
    const text = byId("text").value;
    if (text.includes(MASK) && models.language.kind === "masked") return [note(GAP)];
    const {rows} = await ask("language/next_tokens", {top: top(), readout: byId("readout").value});
    const lines = rows.map(({token, p, prior}) => [
      pick(token, () => change(added(text, token))), bar(p), number(percent(p)),
      number(prior === null ? "none" : percent(prior)), number(prior === null ? "" : `× ${Number((p / prior).toPrecision(2))}`)]);
    return [table("after the text", ["token", "probability|", "without the text", "factor"], lines)];
  }

  function added(text, token) {
    if (token.startsWith("##")) return text.trimEnd() + token.slice(2);
    return models.language.kind === "causal" ? text.trimEnd() + token : `${text.trimEnd()} ${token.trim()}`;
  }

  // The rows of all tokens, a part at a time, as one answer has only some of them.
  async function spectrum() {
    if (byId("text").value.includes(MASK) && models.language.kind === "masked") return [note(GAP)];
    const mine = round, rows = [];
    for (let start = 0; start !== null;) {
      const found = await ask("language/spectrum", {top: top(), start}, mine);
      rows.push(...found.rows);
      start = found.next;
      if (start !== null) byId("spectrum").replaceChildren(sentence(`${counted(rows.length)} so far`));
    }
    const detail = element("p", {class: "detail", role: "status"});
    const buttons = rows.map((row, at) => {
      const button = chip("button", written(row.token), row.p === null ? "none" : percent(row.p));
      button.tabIndex = at ? -1 : 0;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => choose(buttons, at, detail, row));
      button.addEventListener("keydown", event => walk(buttons, at, event));
      return shade(button, "accent", row.p || 0);
    });
    const scored = rows.filter(row => row.p !== null), sum = scored.reduce((total, row) => total + row.log_p, 0);
    const way = models.language.kind === "masked" ? ", the pseudo-log-likelihood" : ", the log-likelihood";
    return [chips(buttons, "tokens and their probabilities"), detail,
      sentence(`Sum of log p: ${minus(sum)} over ${counted(scored.length)}${way}. Closer to 0 is more expected.`),
      element("details", {}, element("summary", {}, "The same as a table"), asTable(rows))];
  }

  const asTable = rows => table("each token, and what was expected in its place", ["token", "probability", "log p", "likeliest", "these cover"],
    rows.map(row => [written(row.token), number(row.p === null ? "none" : percent(row.p)), number(row.p === null ? "" : minus(row.log_p)),
      element("td", {}, ...expected(row)), number(percent(row.covered))]));

  const expected = row => row.top.flatMap(({token, p}, at) => [at ? " · " : "", element("span", {class: "token"}, written(token)), ` ${percent(p)}`]);

  function choose(buttons, at, detail, row) {
    buttons.forEach((button, other) => {
      button.setAttribute("aria-pressed", String(other === at));
      button.tabIndex = other === at ? 0 : -1; // Tab leads to the one that was chosen
    });
    const own = row.p === null ? " has no probability: the vocabulary cannot spell it, or nothing stands before it. "
      : ` has ${percent(row.p)}, log p ${minus(row.log_p)}. `;
    const list = row.top.length ? ["Expected: ", ...expected(row), `; these ${row.top.length} cover ${percent(row.covered)}.`] : [];
    detail.replaceChildren(element("span", {class: "token"}, written(row.token)), own, ...list);
  }

  function walk(buttons, at, event) {
    const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1}[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[to].focus();
    buttons[to].click();
  }

  async function attention(part) {
    const found = await ask(`${part}/attention`, {});
    const link = element("a", {href: found.page, target: "_blank", rel: "noopener"}, "Open the attention view (a new tab)");
    queueMicrotask(() => link.focus());
    return [link];
  }

  async function askAll() {
    const mine = ++round, start = performance.now(), gap = byId("text").value.includes(MASK);
    byId("status").textContent = "asking …";
    for (const id of ["evidence", "attention"]) byId(id)?.replaceChildren();
    let readable = [], wrong = [];
    const parts = Object.keys(models).filter(part => !gap || part === "language"); // a classifier reads whole texts
    if (!await into("tokens", async () => {
      const found = await allTokens(parts);
      ({readable, wrong} = found);
      return found.nodes;
    })) return;
    for (const [id, part, make] of PARTS) {
      if (mine !== round) return;
      if (!byId(id)) continue;
      if (readable.includes(part)) await into(id, make);
      else byId(id).replaceChildren(note(gap && part === "classifier" ? GAP : "No answer: see the top of the page."));
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    if (mine === round) byId("status").replaceChildren(visible(wrong.length ? `Not answered: ${wrong[0]}` : `answered in ${seconds} s`));
  }

  function hide() {
    if (tooLong()) return askAll();
    const box = byId("text"), {value, selectionStart: from, selectionEnd: to} = box;
    const begin = from < to ? from : value.slice(0, from).search(/\S*$/);
    const end = from < to ? to : from + value.slice(from).search(/\s|$/);
    const word = value.slice(begin, end), [, before, middle, after] = word.match(/^([^\p{L}\p{N}]*)([^]*?)([^\p{L}\p{N}]*)$/u);
    change(value.slice(0, begin) + before + (middle ? MASK : "") + after + value.slice(end));
  }

  function readout() {
    const known = models.language.readouts.find(([name]) => name === byId("readout").value);
    byId("readout-note").textContent = known ? known[1] : "";
  }

  const PARTS = [ // a place of the page, the model that answers there, and how
    ["classes", "classifier", classes], ["fill", "language", fill], ["next", "language", next], ["spectrum", "language", spectrum]];

  page.start(async () => {
    byId("ask").addEventListener("click", askAll);
    byId("text").addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) askAll(); });
    byId("hide")?.addEventListener("click", hide);
    byId("why")?.addEventListener("click", () => into("evidence", evidence));
    byId("readout")?.addEventListener("change", () => { readout(); into("next", next); });
    for (const button of document.querySelectorAll(".example")) button.addEventListener("click", () => change(button.dataset.text));
    for (const button of document.querySelectorAll(".attention[data-part]")) {
      button.addEventListener("click", () => into("attention", () => attention(button.dataset.part)));
    }
    if (models.language) readout();
    await askAll();
  });
})();
