
// A run: the table of its predictions, by case, label, kind of text and words, in any order.
(() => {
  const {about, byId, element, visible} = page;
  const SIZE = 100; // rows that are in the table at once
  const UNIT = 10000; // of probabilities
  const BOLD = 5, SHARE = 4; // words of a text that are bold: up to BOLD, and up to one in SHARE
  const FIRST = {case: "all", gold: "", predicted: "", slice: "", find: "", sort: "", down: false, page: 0};
  const state = {...FIRST};
  const body = document.querySelector("#list tbody");
  let rows; // columns, as outcomes.py names them
  let lower; // the texts in lower case
  let chosen = []; // places in the columns, of the rows that pass the filters, in their order

  const right = at => rows.gold[at] === rows.predicted[at];
  const wrong = at => rows.gold[at] >= 0 && !right(at);
  const otherRight = at => rows.gold[at] === rows.other[at];
  const cases = {
    "all": () => true,
    "wrong": wrong,
    "unsure": at => rows.unsure[at] === 1,
    "right": right,
    "fixed": at => wrong(at) && otherRight(at),
    "broken": at => right(at) && !otherRight(at),
    "both wrong": at => wrong(at) && !otherRight(at),
  };

  // The probability of a class, from all of them or from the likeliest ones alone.
  function probability(list, id) {
    return (Array.isArray(list[0]) ? (list.find(pair => pair[0] === id) ?? [id, 0])[1] : list[id]) / UNIT;
  }

  const keys = {
    row: at => rows.row[at],
    gold: at => rows.gold[at],
    predicted: at => rows.predicted[at],
    p: at => probability(rows.p[at], rows.predicted[at]),
    other: at => rows.other[at],
    text: at => rows.text[at],
  };

  // Choose the rows that pass the filters, and put them into order.
  function choose() {
    const words = state.find.toLowerCase();
    chosen = [];
    for (let at = 0; at < rows.row.length; at++) {
      if (cases[state.case](at)
          && (state.gold === "" || rows.gold[at] === Number(state.gold))
          && (state.predicted === "" || rows.predicted[at] === Number(state.predicted))
          && (state.slice === "" || rows.slices[at] >> Number(state.slice) & 1)
          && (words === "" || lower[at].includes(words))) chosen.push(at);
    }
    if (state.sort) {
      const key = keys[state.sort], sign = state.down ? -1 : 1;
      const values = new Map(chosen.map(at => [at, key(at)]));
      chosen.sort((one, two) => {
        const [a, b] = [values.get(one), values.get(two)];
        return a < b ? -sign : a > b ? sign : 0;
      });
    }
  }

  const {format: number} = new Intl.NumberFormat("en-US");

  function show() {
    const from = state.page * SIZE, until = Math.min(from + SIZE, chosen.length);
    body.replaceChildren(...chosen.slice(from, until).map((at, place) => row(at, from + place + 2)));
    byId("list").setAttribute("aria-rowcount", chosen.length + 1);
    byId("status").textContent =
      chosen.length ? `Rows ${number(from + 1)} to ${number(until)} of ${number(chosen.length)}` : "No row is like that";
    byId("back").disabled = state.page === 0;
    byId("next").disabled = until >= chosen.length;
    for (const button of document.querySelectorAll("[data-case]")) {
      button.setAttribute("aria-pressed", button.dataset.case === state.case);
    }
    for (const header of document.querySelectorAll("[data-sort]")) {
      const here = header.dataset.sort === state.sort;
      header.toggleAttribute("data-down", here && state.down);
      if (here) header.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    for (const name of ["gold", "predicted", "slice", "find"]) if (byId(name)) byId(name).value = state[name];
  }

  function update(changes) {
    Object.assign(state, {page: 0}, changes);
    choose();
    show();
  }

  // A cell with a label, which is somebody's text. On a narrow screen the name of its column stands before it.
  const label = (name, id) => element("td", {"data-name": name}, element("span", {class: "label"}, visible(id < 0 ? "" : about.names[id])));

  function caseOf(at) {
    const found = rows.gold[at] < 0 ? [] : [right(at) ? "right" : "wrong"];
    if (rows.unsure[at]) found.push("unsure");
    if (rows.other) for (const name of ["fixed", "broken"]) if (cases[name](at)) found.push(name);
    return found.join(", ");
  }

  function row(at, index) {
    const made = element("tr", {"aria-rowindex": index, class: wrong(at) ? "wrong" : null});
    const more = element("button", {type: "button", "aria-expanded": "false", "aria-label": `more about row ${rows.row[at]}`}, "more");
    more.addEventListener("click", () => open(made, more, at));
    made.append(element("td", {class: "number"}, number(rows.row[at])), element("td", {}, caseOf(at)));
    if (byId("gold")) made.append(label("label", rows.gold[at]));
    made.append(label("predicted", rows.predicted[at]), element("td", {class: "number"}, keys.p(at).toFixed(3)));
    if (rows.other) made.append(label(about.other, rows.other[at]));
    if (rows.text) made.append(element("td", {class: "what"}, ...texts(at)));
    made.append(element("td", {}, more));
    return made;
  }

  // The text of a row, its decisive words in bold, and the second text of a pair.
  function texts(at) {
    const text = rows.text[at], words = rows.words?.[at] || [];
    const most = Math.min(BOLD, Math.ceil(words.length / SHARE));
    const best = [...words].sort((one, two) => two[2] - one[2]).slice(0, most).filter(word => word[2] > 0);
    const first = element("div", {class: "text", dir: "auto"});
    let end = 0;
    for (const [from, to] of best.sort((one, two) => one[0] - two[0])) {
      if (from < end) continue;
      first.append(visible(text.slice(end, from)), element("b", {}, visible(text.slice(from, to))));
      end = to;
    }
    first.append(visible(text.slice(end)));
    const found = [first];
    if (rows.pair?.[at]) found.push(element("div", {class: "text", dir: "auto"}, visible(rows.pair[at])));
    const length = rows.length[at];
    if ([...text].length < length) found.push(element("span", {class: "quiet"}, `… ${number(length)} characters`));
    return found;
  }

  // Show or hide what else is known of a row.
  function open(made, more, at) {
    const opened = more.getAttribute("aria-expanded") === "true";
    more.setAttribute("aria-expanded", !opened);
    made.classList.toggle("open", !opened);
    if (opened) return made.nextElementSibling.remove();
    const parts = [bars(about.other ? "this run" : "probabilities", rows.p[at])];
    if (rows.other) parts.push(bars(about.other, rows.other_p[at]));
    if (rows.words?.[at]) parts.push(evidence(at));
    const cell = element("td", {colspan: made.children.length}, element("div", {class: "columns"}, ...parts));
    made.after(element("tr", {class: "detail"}, cell));
  }

  // The probabilities of a row as a table with bars.
  function bars(title, list) {
    const pairs = Array.isArray(list[0]) ? list : list.map((p, id) => [id, p]);
    const lines = pairs.map(([id, p]) => {
      const bar = element("span", {class: "bar"});
      bar.style.width = `${5 * p / UNIT}rem`;
      return element("tr", {}, element("th", {scope: "row"}, element("span", {class: "label"}, visible(about.names[id]))),
        element("td", {class: "number"}, (p / UNIT).toFixed(4)), element("td", {}, bar));
    });
    return element("table", {class: "bars"}, element("caption", {}, visible(title)), element("tbody", {}, ...lines));
  }

  const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

  // The words that spoke for what was predicted, those against it, and whether hiding them proves it.
  function evidence(at) {
    const words = [...rows.words[at]].sort((one, two) => Math.abs(two[2]) - Math.abs(one[2])).slice(0, 12);
    const list = element("p", {class: "words"});
    for (const [from, to, weight] of words) {
      const word = element("span", {class: weight < 0 ? "objected" : "spoke"}, visible(rows.text[at].slice(from, to)));
      word.append(` ${signed(weight)}`);
      list.append(word);
    }
    const {hidden, own, random} = rows.deletion[at];
    const last = own.length - 1, middle = Math.round(last / 2);
    const said = `With the ${hidden[middle]} weightiest of ${hidden[last]} words hidden, the probability falls from `
      + `${own[0].toFixed(2)} to ${own[middle].toFixed(2)}; with as many hidden at random, to ${random[middle].toFixed(2)}.`;
    const title = ["Words that spoke for ", element("b", {}, visible(about.names[rows.predicted[at]])), " (+) and against it (−)"];
    return element("div", {}, element("p", {}, ...title), list, deletion(hidden, own, random), element("p", {class: "quiet"}, said));
  }

  // The deletion curve: the probability while more and more words are hidden.
  function deletion(hidden, own, random) {
    const svg = (name, attributes, ...children) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.append(...children);
      return made;
    };
    const line = (values, kind) => svg("polyline", {class: kind, points: values.map((p, at) =>
      `${30 + 180 * hidden[at] / Math.max(1, hidden.at(-1))},${70 - 60 * p}`).join(" ")});
    return svg("svg", {role: "img", viewBox: "0 0 330 92", width: 330, height: 92},
      svg("title", {}, "probability while words are hidden"),
      svg("line", {x1: 30, y1: 70, x2: 210, y2: 70, class: "axis"}), svg("line", {x1: 30, y1: 10, x2: 210, y2: 10, class: "grid"}),
      svg("text", {x: 24, y: 14, "text-anchor": "end"}, "1"), svg("text", {x: 24, y: 74, "text-anchor": "end"}, "0"),
      svg("text", {x: 120, y: 87, "text-anchor": "middle"}, "words hidden"),
      line(own, "first"), line(random, "second"),
      svg("text", {x: 216, y: 74 - 60 * own.at(-2) + 6}, "weightiest first"), svg("text", {x: 216, y: 70 - 60 * random.at(-2) - 6}, "at random"));
  }

  // Headers become buttons that sort; counts in the matrix become buttons that filter.
  function prepare() {
    for (const header of document.querySelectorAll("[data-sort]")) {
      const button = element("button", {type: "button"}, ...header.childNodes);
      const name = header.dataset.sort;
      button.addEventListener("click", () => update({sort: name, down: state.sort === name && !state.down}));
      header.append(button);
    }
    document.querySelector("#list thead tr").append(element("td"));
    for (const cell of document.querySelectorAll("#matrix td[data-gold]")) {
      const {gold, predicted} = cell.dataset;
      const said = `${cell.textContent} rows: label ${about.names[gold]}, predicted ${about.names[predicted]}`;
      const button = element("button", {type: "button", "aria-label": said}, cell.textContent);
      button.addEventListener("click", () => {
        update({...FIRST, gold, predicted});
        byId("predictions").scrollIntoView();
      });
      cell.replaceChildren(button);
    }
    const options = {gold: about.names, predicted: about.names, slice: about.slices};
    for (const [name, texts] of Object.entries(options)) {
      if (!byId(name)) continue;
      byId(name).append(...texts.map((text, id) => element("option", {value: id}, visible(text).textContent)));
      byId(name).addEventListener("change", event => update({[name]: event.target.value}));
    }
    byId("find")?.addEventListener("input", event => update({find: event.target.value}));
    byId("reset").addEventListener("click", () => update(FIRST));
    byId("back").addEventListener("click", () => update({page: state.page - 1}));
    byId("next").addEventListener("click", () => update({page: state.page + 1}));
    for (const button of document.querySelectorAll("[data-case]")) {
      button.addEventListener("click", () => update({case: button.dataset.case}));
    }
  }

  page.start(async () => {
    if (!byId("list")) return;
    rows = await page.json("rows");
    lower = rows.text?.map((text, at) => `${text} ${rows.pair?.[at] ?? ""}`.toLowerCase()) ?? [];
    prepare();
    update({});
  });
})();
