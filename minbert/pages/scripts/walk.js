
"use strict";
// The walk: one step at a time; results shown, hidden until they are clicked, or asked for in a quiz.
(() => {
  const steps = [...document.querySelectorAll(".step")];
  const links = [...document.querySelectorAll("nav a")];
  const modes = [...document.querySelectorAll("button[data-mode]")];
  const covered = new Map(); // cells that show something else than their number: cell -> number
  let at = 0, mode = "show", all = false;

  const say = message => { page.byId("message").textContent = message; };
  const cells = step => [...step.querySelectorAll("table[data-asked] tbody td:not(.quiet)")];
  const text = node => node.textContent.trim();

  // The quiz asks for the row of the token that the walk follows, and for all numbers of a table without such a row.
  function followed(cell) {
    const row = cell.closest("tbody").querySelector("tr.chosen");
    return !row || row === cell.parentNode;
  }

  // Where a cell is, in words: "row cat, column is".
  function where(cell) {
    const table = cell.closest("table");
    const column = table.tHead.rows[0].cells[cell.cellIndex];
    const row = cell.parentNode.cells[0];
    return `row ${text(row)}, column ${text(column)}`;
  }

  function cover(cell, control) {
    if (!covered.has(cell)) covered.set(cell, text(cell));
    cell.replaceChildren(control);
  }

  function uncover(cell) {
    if (!covered.has(cell)) return;
    cell.textContent = covered.get(cell);
    covered.delete(cell);
  }

  // Hide: a button in place of each number.
  function hide() {
    const hidden = cells(steps[at]);
    for (const cell of hidden) {
      const button = page.element("button", {type: "button", "aria-label": `show ${where(cell)}`}, "?");
      button.addEventListener("click", () => {
        const next = hidden[hidden.indexOf(cell) + 1];
        uncover(cell);
        const other = next && next.querySelector("button");
        if (other) other.focus();
      });
      cover(cell, button);
    }
    say(hidden.length ? "Results are hidden: choose a ? to see its number." : "This step has no numbers to hide.");
  }

  // Whether what was typed is this number, to as many decimals as are printed of it.
  function right(typed, printed) {
    const decimal = typed.trim().replace(",", ".").replace("−", "-");
    if (/^-inf(inity)?$|^-∞$/.test(decimal)) return printed === "-inf";
    if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(decimal)) return false;
    const decimals = (printed.split(".")[1] ?? "").length;
    return Number(decimal).toFixed(decimals).replace(/^-(?=[0.]*$)/, "") === printed;
  }

  // Quiz: an input in place of one number, drawn by chance.
  function ask() {
    [...covered.keys()].forEach(uncover);
    const asked = cells(steps[at]).filter(followed);
    if (!asked.length) return say("This step has no numbers to ask for: go on to the next one.");
    const cell = asked[Math.floor(Math.random() * asked.length)];
    const printed = text(cell), place = where(cell);
    const input = page.element("input", {
      type: "text", inputmode: "text", autocomplete: "off", "aria-label": `your number for ${place}`,
    });
    const table = text(cell.closest("table").caption);
    say(`Which number is missing? ${table}; ${place}. Type it and press Enter.`);
    input.addEventListener("keydown", event => {
      if (input.value.trim()) event.stopPropagation(); // arrows move in what was typed
      if (event.key === "Escape") return setMode("show");
      if (event.key !== "Enter") return;
      if (!right(input.value, printed)) return say(`Not ${input.value || "nothing"}: ${place}. Try again, or press Escape to see the results.`);
      ask();
      say(`Right: ${place} is ${printed}. ${text(page.byId("message"))}`);
    });
    cover(cell, input);
    input.focus({preventScroll: true});
    input.scrollIntoView({block: "nearest", inline: "nearest"});
  }

  // The scores: the sum of the cell that was chosen, as Python wrote that of the first one.
  async function choose() {
    const {query, key, root, decimals, long} = await page.json("meetings");
    const from = page.byId("from"), to = page.byId("to");
    const table = page.byId("scores").querySelector("table[data-asked]"), line = document.querySelector("[data-sum=score]");
    const number = x => x.toFixed(decimals).replace(/^-(?=[0.]*$)/, "");
    const term = x => number(x).startsWith("-") ? `(${number(x)})` : number(x);

    function write() {
      const row = Number(from.value), column = Number(to.value);
      const products = query[row].map((x, place) => x * key[column][place]);
      const terms = query[row].map((x, place) => `${term(x)} × ${term(key[column][place])}`);
      if (terms.length > long) {
        const rest = products.slice(3).reduce((sum, x) => sum + x, 0);
        terms.splice(3, terms.length, `${term(rest)} for the other ${terms.length - 3}`);
      }
      for (const old of table.querySelectorAll("td.chosen, th.chosen")) old.classList.remove("chosen");
      const cell = table.tBodies[0].rows[row].cells[column + 1];
      cell.classList.add("chosen");
      table.tHead.rows[0].cells[column + 1].classList.add("chosen");
      const [what, how, result] = line.children;
      what.textContent = `“${from.selectedOptions[0].text}” looks at “${to.selectedOptions[0].text}”:`;
      how.textContent = `(${terms.join(" + ")}) / ${number(root)}`;
      result.textContent = covered.get(cell) ?? text(cell);
    }

    from.addEventListener("change", write);
    to.addEventListener("change", write);
    table.tBodies[0].addEventListener("click", event => {
      const cell = event.target.closest("td");
      if (!cell || mode !== "show") return;
      from.value = cell.parentNode.sectionRowIndex;
      to.value = cell.cellIndex - 1;
      write();
    });
  }

  function setMode(name) {
    mode = name;
    if (mode !== "show") all = false;
    show();
  }

  function show() {
    [...covered.keys()].forEach(uncover);
    steps.forEach((step, number) => step.classList.toggle("away", !all && number !== at));
    links.forEach((link, number) => number === at && !all ? link.setAttribute("aria-current", "step") : link.removeAttribute("aria-current"));
    for (const button of modes) button.setAttribute("aria-pressed", button.dataset.mode === mode);
    page.byId("all").setAttribute("aria-pressed", all);
    page.byId("previous").disabled = all || at === 0;
    page.byId("next").disabled = all || at === steps.length - 1;
    page.byId("place").textContent = all ? `${steps.length} steps` : `${at + 1} of ${steps.length}`;
    document.querySelector(".steps").dataset.mode = mode;
    say("");
    if (mode === "hide") hide();
    if (mode === "quiz") ask();
    reach();
  }

  // What is wider than its place can be scrolled by keyboard, too.
  function reach() {
    for (const place of document.querySelectorAll(".scroll")) {
      const wide = place.scrollWidth > place.clientWidth;
      const caption = place.querySelector("caption");
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", caption ? text(caption) : "table"]]) {
        wide ? place.setAttribute(name, value) : place.removeAttribute(name);
      }
    }
  }

  function go(number) {
    const to = Math.min(steps.length - 1, Math.max(0, number));
    if (all || to === at) return;
    at = to;
    show();
    scrollTo(0, 0);
  }

  page.start(async () => {
    addEventListener("resize", reach);
    if (!page.byId("next")) return reach(); // a worksheet is for paper
    page.byId("previous").addEventListener("click", () => go(at - 1));
    page.byId("next").addEventListener("click", () => go(at + 1));
    page.byId("all").addEventListener("click", () => { all = !all; setMode("show"); });
    for (const button of modes) button.addEventListener("click", () => setMode(button.dataset.mode));
    links.forEach((link, number) => link.addEventListener("click", event => {
      if (all) return; // the browser scrolls
      event.preventDefault();
      go(number);
    }));
    addEventListener("keydown", event => {
      if (event.target.closest("select") || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "ArrowRight") go(at + 1);
      if (event.key === "ArrowLeft") go(at - 1);
    });
    const wanted = steps.findIndex(step => `#${step.id}` === location.hash);
    at = Math.max(0, wanted);
    show();
    await choose();
  });
})();
