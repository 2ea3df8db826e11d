"use strict";
// Where each head looked: a small picture of every head, and one head as lines, as a matrix or as a table.
(() => {
  const {about, byId, element} = page;
  const {layers, heads, real, causal, steps} = about;
  const MOST_LINES = 500, SMALL = 96, LABELLED = 48, FAINT = 0.005, DIM = 0.05, TOP = 5;
  const kinds = ["words", "tokens"], views = {lines: drawLines, matrix: drawMatrix, table: drawTable};
  const state = {kind: "words", view: "lines", order: "", dim: false, least: 0.05, row: null, column: 0};
  [state.layer, state.head] = about.first;
  const share = Float64Array.from({length: steps + 1}, (_, code) => about.linear ? code / steps : (code / steps) ** 2);
  const codes = new Map(); // layer -> the stored numbers of its heads, one after the other
  let units, seen, special; // the rows, which are the columns; how many of these each may look at; which are special
  let shares, ink; // of the head that is shown, [N * N]; the colours of the theme
  const value = (row, column) => shares[row * units.length + column];
  const digits = number => number.toFixed(about.digits);
  const places = layers.flatMap(layer => Array.from({length: heads}, (_, head) => [layer, head]));
  const figures = (layer, head) => about.figures[state.kind][layers.indexOf(layer)][head];
  const button = (layer, head) => byId(`head-${layer}-${head}`);
  const name = at => page.visible(units[at][0]).textContent;

  // What is shown in which colours, as the settings and the theme say.
  function settle() {
    const style = getComputedStyle(byId("ink")), numbers = text => text.match(/[\d.]+/g).slice(0, 3).map(Number);
    ink = {strong: numbers(style.color), ground: numbers(style.backgroundColor), line: style.borderTopColor, text: style.outlineColor};
    units = about[state.kind];
    special = units.map(unit => about.special.includes(unit[1]));
    seen = units.map(row => units.filter(unit => unit[1] < (causal ? Math.min(real, row[2]) : real)).length);
  }

  // The shares of a head between units: to a unit the sum over its tokens, from a unit their mean.
  function sharesOf(layer, head) {
    const size = about.tokens.length, stored = codes.get(layer), found = new Float64Array(units.length ** 2);
    const owner = units.flatMap(([, first, end], at) => Array(end - first).fill(at)); // of each token
    for (let from = 0; from < size; from++) {
      const row = owner[from], parts = units[row][2] - units[row][1], start = (head * size + from) * size;
      for (let to = 0; to < size; to++) found[row * units.length + owner[to]] += share[stored[start + to]] / parts;
    }
    return found;
  }

  // Shares as squares of `side` pixels, hatched where a mask hides; the colour goes with the root, so that small shares
  // are seen. Of a long text `group` rows and columns are one square, as strong as the strongest among them.
  function paint(context, left, side, matrix, group = 1) {
    const size = units.length, count = Math.ceil(size / group), most = new Float64Array(count ** 2);
    for (let row = 0; row < size; row++) {
      const start = Math.floor(row / group) * count, end = seen[row], rests = state.dim ? special[row] : null;
      for (let column = 0; column < end; column++) {
        const at = start + Math.floor(column / group), much = matrix[row * size + column];
        most[at] = Math.max(most[at], rests === null || !(rests || special[column]) ? much : much * DIM);
      }
    }
    const image = new ImageData(count, count), small = new OffscreenCanvas(count, count);
    most.forEach((strength, at) => {
      const part = Math.sqrt(Math.min(strength, 1));
      for (let c = 0; c < 3; c++) image.data[4 * at + c] = Math.round(ink.ground[c] + (ink.strong[c] - ink.ground[c]) * part);
      image.data[4 * at + 3] = 255;
    });
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, left, count * side, count * side);
    context.fillStyle = hatch(context);
    for (let row = 0; row < count; row++) {
      const column = Math.ceil(seen[Math.min((row + 1) * group, size) - 1] / group);
      context.fillRect(left + column * side, left + row * side, (count - column) * side, side);
    }
  }

  function hatch(context) {
    const tile = new OffscreenCanvas(6, 6), pen = tile.getContext("2d");
    pen.strokeStyle = ink.line;
    for (const shift of [-6, 0, 6]) { pen.moveTo(shift, 6); pen.lineTo(shift + 6, 0); }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }

  // keys: {a key's name: what to do}
  const onKeys = (box, keys) => box.addEventListener("keydown", event => {
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  const arrows = move => ({ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0), ArrowLeft: () => move(0, -1),
    ArrowRight: () => move(0, 1)});
  const fill = (cells, numbers) => document.querySelectorAll(cells).forEach((cell, at) => { cell.textContent = numbers[at].toFixed(2); });
  const toHead = () => button(state.layer, state.head).focus();

  function drawHead(layer, head) {
    const group = Math.ceil(units.length / SMALL), count = Math.ceil(units.length / group);
    const canvas = button(layer, head).querySelector("canvas"), side = Math.max(1, Math.floor(SMALL / count));
    canvas.width = canvas.height = side * count;
    paint(canvas.getContext("2d"), 0, side, sharesOf(layer, head), group);
    const entropy = figures(layer, head)[0].toFixed(2);
    button(layer, head).ariaLabel = `L${layer} H${head}: layer ${layer}, head ${head}, entropy ${entropy} bits`;
  }

  const inPlace = [...byId("heads").children]; // with the numbers of layers and heads

  function sortHeads() {
    const key = {entropy: place => figures(...place)[0], distance: place => -figures(...place)[1]}[state.order];
    const sorted = key && [...places].sort((one, other) => key(one) - key(other)).map(place => button(...place));
    byId("heads").className = state.order && "sorted";
    byId("heads").replaceChildren(...(sorted || inPlace));
  }

  function moveHead(down, right) {
    const all = [...byId("heads").querySelectorAll("button")], at = all.indexOf(document.activeElement);
    const wide = all.filter(each => each.offsetTop === all[0].offsetTop).length;
    all[at + down * wide + right]?.focus();
  }

  function choose(layer, head) {
    Object.assign(button(state.layer, state.head), {ariaPressed: false, tabIndex: -1});
    Object.assign(button(layer, head), {ariaPressed: true, tabIndex: 0});
    Object.assign(state, {layer, head});
    byId("one-title").textContent = `Layer ${layer}, head ${head}`;
    fill("#figures dd", figures(layer, head));
    shares = sharesOf(layer, head);
    show();
  }

  function show() {
    for (const view of Object.keys(views)) {
      byId(view).ariaPressed = view === state.view;
      byId(`${view}-view`).hidden = view !== state.view;
    }
    byId("from").hidden = state.view !== "lines";
    views[state.view]();
    say();
  }

  // The columns that a row looks at most.
  const stronger = row => (one, other) => value(row, other) - value(row, one);
  const best = row => [...units.keys()].slice(0, seen[row]).sort(stronger(row)).slice(0, TOP);

  function say() {
    const {row, column, view} = state;
    if (row === null) {
      const kind = state.kind.slice(0, -1), count = looks().length;
      const more = count > MOST_LINES ? `; the ${MOST_LINES} strongest are drawn` : "";
      byId("status").textContent = {
        lines: `${count} shares are ${state.least} or more${more}. Point at a ${kind} on the left, or use Tab and the arrow keys.`,
        matrix: `A row is where one ${kind} looks. Point at a square, or use Tab and the arrow keys.`,
        table: `${units.length} rows, one for each of the ${state.kind}.`}[view];
      return;
    }
    const most = `“${name(row)}” looks most at: ${best(row).map(at => `${name(at)} ${digits(value(row, at))}`).join(", ")}.`;
    const pair = column < seen[row] ? `looks at “${name(column)}”: ${digits(value(row, column))}.` :
      `cannot look at “${name(column)}”: a mask hides it.`;
    byId("status").textContent = view === "matrix" ? `“${name(row)}” ${pair} ${most}` : most;
  }

  // What is drawn as lines, the strongest first: [share, row, column]
  function looks() {
    const all = state.row === null, least = all ? state.least : FAINT, found = [];
    for (let at = 0; at < shares.length; at++) {
      const row = Math.floor(at / units.length), column = at % units.length;
      if (shares[at] >= least && column < seen[row] && (all || row === state.row)) found.push([shares[at], row, column]);
    }
    return found.sort((one, other) => other[0] - one[0]);
  }

  function drawLines() {
    const second = at => units[at][1] === about.second ? "second" : "";
    const from = element("div", {role: "group", "aria-label": "From"}, ...units.map((unit, at) => {
      const made = element("button", {type: "button", class: second(at)}, page.visible(unit[0]));
      for (const event of ["focus", "mouseenter"]) made.addEventListener(event, () => point(at));
      const go = to => () => from.children[to]?.focus();
      onKeys(made, {ArrowUp: go(at - 1), ArrowDown: go(at + 1), Home: go(0), End: go(units.length - 1), Escape: toHead});
      return made;
    }));
    const to = element("div", {"aria-hidden": "true"}, ...units.map((unit, at) => element("div", {class: `to ${second(at)}`},
      element("span", {class: "name"}, page.visible(unit[0])), element("span", {class: "number"}), element("span"))));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    byId("lines-view").replaceChildren(from, svg, to);
    byId("lines-view").onmouseleave = () => { if (!from.contains(document.activeElement)) point(null); };
    point(state.row);
  }

  // Show the lines of one row, or those of all.
  function point(row) {
    state.row = row;
    const [from, svg, to] = byId("lines-view").children, high = from.firstChild.offsetHeight;
    [...from.children].forEach((each, at) => Object.assign(each, {ariaPressed: at === row, tabIndex: at === (row ?? 0) ? 0 : -1}));
    svg.style.height = `${units.length * high}px`;
    svg.replaceChildren(...looks().slice(0, MOST_LINES).reverse().map(([much, one, other]) => {
      const line = document.createElementNS(svg.namespaceURI, "line");
      const ends = {x1: 0, y1: (one + 0.5) * high, x2: svg.clientWidth, y2: (other + 0.5) * high, "stroke-width": 0.5 + 4 * much};
      for (const [key, number] of Object.entries(ends)) line.setAttribute(key, number);
      const dimmed = state.dim && (special[one] || special[other]) ? 0.3 : 1;
      line.style.opacity = Math.min(1, (row === null ? 0.15 : 0.35) + much) * dimmed;
      return line;
    }));
    [...to.children].forEach((each, at) => {
      const [, number, bar] = each.children, out = at >= (row === null ? seen.at(-1) : seen[row]);
      const much = row === null || out ? 0 : value(row, at);
      bar.className = out ? "hatched" : "bar";
      bar.style.width = out ? "100%" : `${100 * much}%`;
      number.textContent = much >= FAINT ? digits(much) : "";
    });
    say();
  }

  function drawMatrix() {
    const count = units.length, room = Math.min(byId("matrix-view").clientWidth, 720), labels = count <= LABELLED;
    const font = "12px system-ui, sans-serif", pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.font = font;
    const names = units.map((_, at) => name(at).length > 14 ? `${name(at).slice(0, 13)}…` : name(at));
    const margin = labels ? Math.ceil(Math.max(...names.map(text => pen.measureText(text).width))) + 8 : 0;
    const side = Math.max(labels ? 14 : 1, Math.min(36, Math.floor((room - margin) / count)));
    const size = margin + side * count + 1, scale = Math.ceil(devicePixelRatio);
    const canvas = element("canvas", {role: "img", height: size * scale, "data-margin": margin * scale,
      "data-side": side * scale, "aria-label": `Layer ${state.layer}, head ${state.head}: the table says the same in words`});
    canvas.style.width = `${size}px`;
    const box = element("div", {role: "application", tabindex: 0, "aria-label": "Matrix", "aria-describedby": "status"}, canvas);
    const context = canvas.getContext("2d"), second = units.findIndex(unit => unit[1] === about.second);

    function write(text, x, y, textAlign, turn) {
      context.save();
      context.translate(x, y);
      context.rotate(turn);
      Object.assign(context, {textAlign}).fillText(text, 0, 0);
      context.restore();
    }

    function draw() {
      canvas.width = size * scale; // which also clears it
      paint(context, margin * scale, side * scale, shares);
      context.scale(scale, scale);
      Object.assign(context, {font, fillStyle: ink.text, strokeStyle: ink.text, textBaseline: "middle"});
      for (const [at, text] of labels ? names.entries() : []) {
        write(text, margin - 5, margin + (at + 0.5) * side, "right", 0);
        write(text, margin + (at + 0.5) * side, margin - 5, "left", -Math.PI / 2);
      }
      const parts = second > 0 ? [[second, count], [count, second]] : []; // the pair's first text, as columns and rows
      for (const [wide, high] of parts) context.strokeRect(margin, margin, wide * side, high * side);
      const [x, y] = [state.column, state.row].map(at => margin + at * side + 0.5);
      if (state.row !== null) context.strokeRect(x, y, Math.max(side - 1, 2), Math.max(side - 1, 2));
    }

    function move(row, column) {
      const [y, x] = [row, column].map(at => Math.max(0, Math.min(count - 1, at)));
      Object.assign(state, {row: y, column: x});
      draw();
      say();
    }

    const step = (down, right) => state.row === null ? move(0, 0) : move(state.row + down, state.column + right);
    onKeys(box, {...arrows(step), Escape: toHead});
    canvas.addEventListener("pointermove", event => {
      const [row, column] = [event.offsetY, event.offsetX].map(at => Math.floor((at - margin) / side));
      if (Math.min(row, column) >= 0 && Math.max(row, column) < count) move(row, column);
    });
    byId("matrix-view").replaceChildren(box);
    draw();
  }

  function drawTable() {
    byId("rows").replaceChildren(...units.map((unit, row) => {
      const top = best(row), sum = units.reduce((total, _, column) => total + value(row, column), 0);
      const rest = Math.max(top.reduce((left, column) => left - value(row, column), sum), 0);
      const cells = Array.from({length: TOP}, (_, at) => element("td", {},
        ...(at < top.length ? [page.visible(units[top[at]][0]), " ", element("span", {class: "number"}, digits(value(row, top[at])))] : [])));
      const ends = [rest, sum].map(much => element("td", {class: "number"}, digits(much)));
      return element("tr", {}, element("th", {scope: "row"}, page.visible(unit[0])), ...cells, ...ends);
    }));
  }

  // All of it anew: words or tokens, dimmed or not, another theme.
  function redraw() {
    settle();
    for (const kind of kinds) byId(kind).ariaPressed = kind === state.kind;
    sortHeads();
    for (const place of places) if (codes.has(place[0])) drawHead(...place);
    fill("#numbers td", about.figures[state.kind].flat(2));
    choose(state.layer, state.head);
  }

  page.start(async () => {
    byId("heads").style.setProperty("--heads", heads);
    for (const layer of [state.layer, ...layers.filter(each => each !== state.layer)]) {
      const bytes = await page.bytes(`layer-${layer}`);
      codes.set(layer, about.linear ? new Uint16Array(bytes.buffer) : bytes);
      if (codes.size === 1) redraw();
      else for (let head = 0; head < heads; head++) drawHead(layer, head);
    }
    for (const place of places) button(...place).addEventListener("click", () => choose(...place));
    onKeys(byId("heads"), arrows(moveHead));
    const change = changes => { Object.assign(state, changes); redraw(); };
    for (const kind of kinds) byId(kind).addEventListener("click", () => change({kind, row: null}));
    for (const view of Object.keys(views)) byId(view).addEventListener("click", () => { Object.assign(state, {view, row: null}); show(); });
    byId("least").addEventListener("change", event => { state.least = Number(event.target.value); point(null); });
    byId("order").addEventListener("change", event => { state.order = event.target.value; sortHeads(); });
    byId("dim").addEventListener("change", event => change({dim: event.target.checked}));
    byId("theme").addEventListener("change", redraw);
    addEventListener("beforeprint", drawTable);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
})();
