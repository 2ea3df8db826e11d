"use strict";
// Where each head looked: a small picture of every head, and one head as lines, as a matrix or as a table.
(() => {
  const {about, byId, element} = page;
  const {layers, heads, real, causal, steps} = about;
  const MOST_LINES = 500, SMALL = 96, FAINT = 0.005, TOP = 5;
  const share = Float64Array.from({length: steps + 1}, (_, code) => about.linear ? code / steps : (code / steps) ** 2);
  const codes = new Map(); // layer -> the stored numbers of its heads, one after the other
  const state = {kind: "words", dim: false, order: "", layer: about.first[0], head: about.first[1], view: "lines", least: 0.05, row: null, column: 0};
  let units, matrix, ink; // of what is shown: [name, first token, token after the last]; shares [N * N]; colours

  const special = unit => about.special.includes(unit[1]);
  const hidden = (row, column) => units[column][1] >= real || (causal && units[column][1] >= units[row][2]);
  const name = unit => page.visible(unit[0]).textContent;
  const digits = value => value.toFixed(about.digits);
  const figures = (layer, head) => about.figures[state.kind][layers.indexOf(layer)][head];

  // The shares of a head between units: to a unit the sum over its tokens, from a unit their mean.
  function sharesOf(layer, head) {
    const size = about.tokens.length, count = units.length, from = head * size * size, stored = codes.get(layer);
    const found = new Float64Array(count * count);
    for (let row = 0; row < count; row++) {
      const [, first, end] = units[row];
      for (let token = first; token < end; token++) {
        for (let column = 0; column < count; column++) {
          for (let at = units[column][1]; at < units[column][2]; at++) {
            found[row * count + column] += share[stored[from + token * size + at]] / (end - first);
          }
        }
      }
    }
    return found;
  }

  // Colours of the theme, as numbers: [red, green, blue].
  function readInk() {
    const style = getComputedStyle(byId("ink"));
    const numbers = text => text.match(/[\d.]+/g).slice(0, 3).map(Number);
    ink = {strong: numbers(style.color), ground: numbers(style.backgroundColor), line: style.borderTopColor, text: style.outlineColor};
  }

  // A share's colour goes with its root: small ones are seen.
  const mix = value => ink.ground.map((from, at) => Math.round(from + (ink.strong[at] - from) * Math.sqrt(Math.min(value, 1))));
  const strength = (shares, row, column) =>
    shares[row * units.length + column] * (state.dim && (special(units[row]) || special(units[column])) ? 0.05 : 1);

  // Shares as squares of `side` pixels, hatched where a mask hides. Of a long text, `group` rows and columns are one
  // square, as strong as their strongest.
  function paint(context, left, top, side, shares, group = 1) {
    const count = Math.ceil(units.length / group), image = new ImageData(count, count);
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < count; column++) {
        let most = 0;
        for (let y = row * group; y < Math.min((row + 1) * group, units.length); y++) {
          for (let x = column * group; x < Math.min((column + 1) * group, units.length); x++) {
            most = Math.max(most, strength(shares, y, x));
          }
        }
        image.data.set([...mix(most), 255], 4 * (row * count + column));
      }
    }
    const small = new OffscreenCanvas(count, count);
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, top, count * side, count * side);
    context.fillStyle = hatch(context);
    for (let row = 0; row < count; row++) { // what is hidden from a row stands at its end
      const y = Math.min(row * group, units.length - 1);
      const column = units.findIndex((_, at) => hidden(y, at));
      if (column >= 0) context.fillRect(left + Math.ceil(column / group) * side, top + row * side, (count - Math.ceil(column / group)) * side, side);
    }
  }

  function hatch(context) {
    const tile = new OffscreenCanvas(6, 6), pen = tile.getContext("2d");
    pen.strokeStyle = ink.line;
    pen.beginPath();
    for (const shift of [-6, 0, 6]) { pen.moveTo(shift, 6); pen.lineTo(shift + 6, 0); }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }

  // All heads.

  function drawHead(layer, head) {
    const button = byId(`head-${layer}-${head}`), group = Math.ceil(units.length / SMALL);
    const side = Math.max(1, Math.floor(SMALL / Math.ceil(units.length / group)));
    const canvas = button.querySelector("canvas");
    canvas.width = canvas.height = side * Math.ceil(units.length / group);
    paint(canvas.getContext("2d"), 0, 0, side, sharesOf(layer, head), group);
    button.setAttribute("aria-label", `layer ${layer}, head ${head}, entropy ${figures(layer, head)[0].toFixed(2)} bits`);
  }

  function listHeads() {
    const all = layers.flatMap(layer => Array.from({length: heads}, (_, head) => [layer, head]));
    const key = {"0": ([layer, head]) => figures(layer, head)[0], "1": ([layer, head]) => -figures(layer, head)[1]}[state.order];
    if (key) all.sort((one, other) => key(one) - key(other));
    const box = byId("heads"), buttons = all.map(([layer, head]) => byId(`head-${layer}-${head}`) ?? makeHead(layer, head));
    const label = text => element("span", {class: "label", "aria-hidden": "true"}, text);
    for (const button of buttons) button.querySelector("span").hidden = !state.order;
    box.style.gridTemplateColumns = state.order ? "repeat(auto-fill, minmax(3.5rem, 1fr))" : `1.5rem repeat(${heads}, minmax(0, 4.5rem))`;
    box.dataset.columns = state.order ? "" : heads;
    if (state.order) return box.replaceChildren(...buttons);
    const rows = layers.flatMap((layer, at) => [label(layer), ...buttons.slice(at * heads, (at + 1) * heads)]);
    box.replaceChildren(label(""), ...Array.from({length: heads}, (_, head) => label(head)), ...rows);
  }

  function makeHead(layer, head) {
    const button = element("button", {type: "button", id: `head-${layer}-${head}`, tabindex: -1, "aria-pressed": "false"},
      element("canvas", {width: 1, height: 1}), element("span", {}, `${layer}.${head}`));
    button.addEventListener("click", () => choose(layer, head));
    button.addEventListener("keydown", event => {
      const all = [...byId("heads").querySelectorAll("button")];
      const wide = Number(byId("heads").dataset.columns) || all.filter(each => each.offsetTop === all[0].offsetTop).length;
      const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide}[event.key];
      const next = step && all[all.indexOf(button) + step];
      if (!step) return;
      event.preventDefault();
      next?.focus();
    });
    return button;
  }

  function choose(layer, head) {
    byId(`head-${state.layer}-${state.head}`).setAttribute("aria-pressed", "false");
    byId(`head-${state.layer}-${state.head}`).tabIndex = -1;
    Object.assign(state, {layer, head});
    byId(`head-${layer}-${head}`).setAttribute("aria-pressed", "true");
    byId(`head-${layer}-${head}`).tabIndex = 0;
    byId("one-title").textContent = `Layer ${layer}, head ${head}`;
    [...byId("figures").querySelectorAll("dd")].forEach((cell, at) => { cell.textContent = figures(layer, head)[at].toFixed(2); });
    matrix = sharesOf(layer, head);
    show();
  }

  // One head.

  const views = {lines: drawLines, matrix: drawMatrix, table: drawTable};

  function show() {
    for (const view of Object.keys(views)) {
      byId(view).setAttribute("aria-pressed", view === state.view);
      byId(`${view}-view`).hidden = view !== state.view;
    }
    byId("from").hidden = state.view !== "lines";
    views[state.view]();
    say();
  }

  // The columns that a row looks at, the strongest first.
  function strongest(row) {
    const columns = units.map((_, column) => column).filter(column => !hidden(row, column));
    return columns.sort((one, other) => matrix[row * units.length + other] - matrix[row * units.length + one]);
  }

  function say(pair = false) {
    const {row, column} = state, count = units.length;
    if (row === null) return say.text(state.view === "lines" ? linesInWords() : "Point at a cell, or move with the arrow keys.");
    if (pair && hidden(row, column)) return say.text(`“${name(units[row])}” may not look at “${name(units[column])}”: a mask hides it.`);
    const best = strongest(row).slice(0, TOP).map(at => `${name(units[at])} ${digits(matrix[row * count + at])}`).join(", ");
    if (!pair) return say.text(`“${name(units[row])}” looks most at: ${best}`);
    say.text(`“${name(units[row])}” (${row}) looks at “${name(units[column])}” (${column}): ${digits(matrix[row * count + column])}. Most at: ${best}`);
  }
  say.text = text => { byId("status").textContent = text; };

  function lineEnds() {
    const found = [];
    for (let row = 0; row < units.length; row++) {
      for (let column = 0; column < units.length; column++) {
        const value = matrix[row * units.length + column], only = state.row === null ? state.least : FAINT;
        if (value >= only && !hidden(row, column) && (state.row ?? row) === row) found.push([value, row, column]);
      }
    }
    return found.sort((one, other) => other[0] - one[0]);
  }

  function linesInWords() {
    const count = lineEnds().length, shown = Math.min(count, MOST_LINES);
    return `${count} looks of ${state.least} or more${shown < count ? `, the ${shown} strongest drawn` : ""}. Point at a ${state.kind.slice(0, -1)} on the left, or go there with Tab and the arrow keys, to see where it looks.`;
  }

  function drawLines() {
    const second = at => units[at][1] === about.second ? "second" : "";
    const from = element("div", {role: "group", "aria-label": "from"}, ...units.map((unit, at) => {
      const button = element("button", {type: "button", class: second(at), tabindex: at === (state.row ?? 0) ? 0 : -1, "aria-pressed": "false"}, page.visible(unit[0]));
      button.addEventListener("focus", () => point(at));
      button.addEventListener("mouseenter", () => point(at));
      button.addEventListener("keydown", event => {
        const next = {ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: units.length - 1}[event.key];
        if (event.key === "Escape") { byId(`head-${state.layer}-${state.head}`).focus(); point(null); }
        if (next === undefined) return;
        event.preventDefault();
        from.children[next]?.focus();
      });
      return button;
    }));
    const to = element("div", {"aria-hidden": "true"}, ...units.map((unit, at) => element("div", {class: `to ${second(at)}`},
      element("span", {class: "name"}, page.visible(unit[0])), element("span", {class: "number"}), element("span", {class: "bar"}))));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    byId("lines-view").replaceChildren(from, svg, to);
    byId("lines-view").onmouseleave = () => { if (!from.contains(document.activeElement)) point(null); };
    point(state.row);
  }

  // Show the lines of one row, or those of all.
  function point(row) {
    state.row = row;
    const [from, svg, to] = byId("lines-view").children, high = from.firstChild.offsetHeight, wide = svg.clientWidth || 160;
    [...from.children].forEach((each, at) => {
      each.setAttribute("aria-pressed", at === row);
      each.tabIndex = at === (row ?? 0) ? 0 : -1;
    });
    svg.style.height = `${units.length * high}px`;
    svg.replaceChildren(...lineEnds().slice(0, MOST_LINES).reverse().map(([value, one, other]) => {
      const line = document.createElementNS(svg.namespaceURI, "line");
      const places = {x1: 0, y1: (one + 0.5) * high, x2: wide, y2: (other + 0.5) * high, "stroke-width": 0.5 + 4 * value};
      for (const [key, number] of Object.entries(places)) line.setAttribute(key, number);
      line.style.opacity = Math.min(1, (0.15 + value) * (state.dim && (special(units[one]) || special(units[other])) ? 0.15 : 1));
      return line;
    }));
    [...to.children].forEach((each, at) => {
      const value = row === null ? 0 : matrix[row * units.length + at], [, number, bar] = each.children;
      const out = row === null ? units[at][1] >= real : hidden(row, at);
      bar.className = out ? "bar hatched" : "bar";
      bar.style.width = out ? "100%" : `${100 * value}%`;
      number.textContent = row !== null && !out && value >= FAINT ? digits(value) : "";
    });
    say();
  }

  function drawMatrix() {
    const count = units.length, room = Math.min(byId("matrix-view").clientWidth || 600, 720);
    const labels = count <= 48, pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.font = "12px system-ui, sans-serif";
    const shorten = text => text.length > 14 ? `${text.slice(0, 13)}…` : text;
    const names = units.map(unit => shorten(name(unit)));
    const margin = labels ? Math.ceil(Math.max(...names.map(text => pen.measureText(text).width))) + 8 : 0;
    const side = Math.max(labels ? 14 : 1, Math.min(36, Math.floor((room - margin) / count)));
    const size = margin + side * count + 1, scale = labels ? Math.ceil(devicePixelRatio) : 1;
    const canvas = element("canvas", {role: "img", width: size * scale, height: size * scale, "data-margin": margin * scale, "data-side": side * scale,
      "aria-label": `The ${count} rows and columns of layer ${state.layer}, head ${state.head}; the table says the same in words`});
    canvas.style.width = canvas.style.height = `${size}px`;
    const box = element("div", {role: "application", tabindex: 0, "aria-label": "Matrix: move with the arrow keys", "aria-describedby": "status"}, canvas);
    const context = canvas.getContext("2d");

    function draw() {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      paint(context, margin * scale, margin * scale, side * scale, matrix);
      context.scale(scale, scale);
      context.font = pen.font;
      context.fillStyle = ink.text;
      context.strokeStyle = ink.text;
      context.textBaseline = "middle";
      if (labels) names.forEach((text, at) => {
        const middle = margin + (at + 0.5) * side;
        context.textAlign = "right";
        context.fillText(text, margin - 5, middle);
        context.save();
        context.translate(middle, margin - 5);
        context.rotate(-Math.PI / 2);
        context.textAlign = "left";
        context.fillText(text, 0, 0);
        context.restore();
      });
      const second = units.findIndex(unit => unit[1] === about.second);
      if (second > 0) {
        const edge = margin + second * side;
        context.setLineDash([6, 4]);
        context.strokeRect(edge, margin, 0, count * side);
        context.strokeRect(margin, edge, count * side, 0);
        context.setLineDash([]);
      }
      if (state.row !== null) context.strokeRect(margin + state.column * side + 0.5, margin + state.row * side + 0.5, side - 1, side - 1);
    }

    function move(row, column) {
      const inside = at => Math.max(0, Math.min(count - 1, at));
      Object.assign(state, {row: inside(row), column: inside(column)});
      draw();
      say(true);
    }

    box.addEventListener("keydown", event => {
      const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (event.key === "Escape") byId(`head-${state.layer}-${state.head}`).focus();
      if (!step) return;
      event.preventDefault();
      if (state.row === null) move(0, 0);
      else move(state.row + step[0], state.column + step[1]);
    });
    box.addEventListener("pointermove", event => {
      const place = canvas.getBoundingClientRect(), at = offset => Math.floor((offset - margin) / side);
      const [row, column] = [at(event.clientY - place.top), at(event.clientX - place.left)];
      if (row >= 0 && column >= 0 && row < count && column < count) move(row, column);
    });
    byId("matrix-view").replaceChildren(box);
    draw();
  }

  function drawTable() {
    byId("rows").replaceChildren(...units.map((unit, row) => {
      const value = column => matrix[row * units.length + column], best = strongest(row).slice(0, TOP);
      const sum = units.reduce((total, _, column) => total + value(column), 0);
      const rest = Math.max(sum - best.reduce((total, column) => total + value(column), 0), 0);
      const cells = best.map(column => element("td", {}, page.visible(units[column][0]), " ", element("span", {class: "number"}, digits(value(column)))));
      while (cells.length < TOP) cells.push(element("td"));
      const numbers = [rest, sum].map(each => element("td", {class: "number"}, digits(each)));
      return element("tr", {}, element("th", {scope: "row"}, page.visible(unit[0])), ...cells, ...numbers);
    }));
  }

  // All of it anew: words or tokens, or another theme.
  function redraw() {
    readInk();
    units = about[state.kind];
    for (const kind of ["words", "tokens"]) byId(kind).setAttribute("aria-pressed", kind === state.kind);
    listHeads();
    for (const layer of codes.keys()) for (let head = 0; head < heads; head++) drawHead(layer, head);
    const numbers = about.figures[state.kind].flat(2);
    byId("numbers").querySelectorAll("td").forEach((cell, at) => { cell.textContent = numbers[at].toFixed(2); });
    choose(state.layer, state.head);
  }

  page.start(async () => {
    document.body.append(element("span", {id: "ink", hidden: true}));
    readInk();
    units = about[state.kind];
    listHeads();
    const first = [state.layer, ...layers.filter(layer => layer !== state.layer)];
    for (const layer of first) {
      const bytes = await page.bytes(`layer-${layer}`);
      codes.set(layer, about.linear ? new Uint16Array(bytes.buffer) : bytes);
      for (let head = 0; head < heads; head++) drawHead(layer, head);
      if (layer === state.layer) choose(layer, state.head);
    }
    for (const kind of ["words", "tokens"]) byId(kind).addEventListener("click", () => { Object.assign(state, {kind, row: null}); redraw(); });
    for (const view of Object.keys(views)) byId(view).addEventListener("click", () => { Object.assign(state, {view, row: null}); show(); });
    byId("least").addEventListener("change", event => { state.least = Number(event.target.value); point(null); });
    byId("order").addEventListener("change", event => { state.order = event.target.value; listHeads(); });
    byId("dim")?.addEventListener("change", event => { state.dim = event.target.checked; redraw(); });
    byId("theme").addEventListener("change", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
})();
