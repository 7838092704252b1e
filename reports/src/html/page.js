"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const tip = document.getElementById("tip");
  const details = document.getElementById("details");
  const FIRST_ROWS = 100;
  // A table with more columns is no table on paper.
  const MOST_PRINTED = 9;
  const SVG = document.getElementById("blank").namespaceURI;

  // Text is only ever set as text, so that no value can be markup.
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

  const show = (x) => {
    // What is not finite has no number in JSON.
    if (x === null) return "∞";
    const size = Math.abs(x);
    if (Number.isInteger(x) && size < 1e15) return x.toLocaleString("en");
    if (size >= 1e6 || (size > 0 && size < 1e-3)) return x.toExponential(2);
    if (size >= 1000) return Math.round(x).toLocaleString("en");
    return x.toFixed(size >= 100 ? 1 : size >= 1.05 ? 2 : 4);
  };
  const axisText = (x) => {
    const size = Math.abs(x);
    for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]])
      if (size >= unit) return `${+(x / (letter === "k" ? 1e3 : unit)).toPrecision(4)} ${letter}`;
    return String(+x.toPrecision(4));
  };
  const signed = (x, digits) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);
  const changeText = (change, scale) => {
    const part = (x) => (Math.abs(x) >= 1000 ? signed(100 * x, 0) : signed(100 * x, 2));
    const ends = change.interval ? ` [${part(change.interval[0])}, ${part(change.interval[1])}]` : "";
    return [part(change.value) + (scale === "points" ? " points" : " %"), ends];
  };
  const cut = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
  const short = (text) => cut(text, 34);

  // What a plot can have on an axis: a number, or its change against the dense model.
  const axesOf = (section) => section.axes.map((axis) => ({
    ...axis,
    of: (row) => {
      const number = row.numbers[axis.name];
      if (!axis.against || !number) return number;
      if (number.change) return { value: 100 * number.change.value, interval: number.change.interval?.map((end) => 100 * end) };
      return row.dense ? { value: 0 } : undefined;
    },
  }));

  const frontOf = (points, x, y) => {
    if (!x.better || !y.better) return new Set();
    const sign = (axis) => (axis.better === "lower" ? 1 : -1);
    const [sx, sy] = [sign(x), sign(y)];
    const sorted = [...points].sort((a, b) => sx * (a.x.value - b.x.value) || sy * (a.y.value - b.y.value));
    const front = new Set();
    let last = null;
    for (const point of sorted) {
      const equal = last && point.x.value === last.x.value && point.y.value === last.y.value;
      if (last && !equal && sy * point.y.value >= sy * last.y.value) continue;
      front.add(point);
      last = point;
    }
    return front;
  };

  const rules = data.scale;
  const scaleOf = (values, from, to, axis) => {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const log = axis.values !== "signed" && low > 0 && high / low > rules.logarithmic;
    if (log) { low = Math.log10(low); high = Math.log10(high); }
    const pad = (high - low || Math.abs(high) || 1) * rules.pad;
    low -= pad; high += pad;
    const at = (x) => from + ((log ? Math.log10(x) : x) - low) / (high - low) * (to - from);
    const ticks = [];
    if (log) {
      const steps = high - low > 4 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 5];
      for (let power = Math.floor(low); power <= high; power++)
        for (const step of steps) if (Math.log10(step) + power >= low && Math.log10(step) + power <= high) ticks.push(step * 10 ** power);
    } else {
      const rough = (high - low) / Math.min(rules.most, Math.max(2, Math.abs(to - from) / rules.apart));
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
      for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(n * step);
    }
    return { at, ticks, log };
  };

  const place = (event, target) => {
    const box = target.getBoundingClientRect();
    const [x, y] = event.clientX ? [event.clientX, event.clientY] : [box.right, box.top];
    tip.style.left = `${Math.max(8, Math.min(x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8)) + scrollX}px`;
    tip.style.top = `${(y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18) + scrollY}px`;
  };
  const describe = (row, axes) => [
    html("b", {}, row.recipe),
    html("div", { class: "quiet" }, `${row.place}, ${row.ok} of ${row.seeds} seed${row.seeds === 1 ? "" : "s"}`),
    ...axes.map((axis) => {
      const number = axis.of(row);
      const ends = number.interval ? ` [${number.interval.map(show).join(", ")}]` : "";
      return html("div", {}, `${axis.title}: ${show(number.value)}${ends}`);
    }),
    html("div", { class: "quiet" }, `record ${row.origins[0].key.slice(0, 16)}, ${row.origins[0].finished}`),
  ];
  // One set of listeners for all points of a plot, of which there may be thousands.
  const react = (drawing, points, content, choose) => {
    const pointOf = (event) => points[event.target.closest?.(".point")?.dataset.place];
    const enter = (event) => {
      const point = pointOf(event);
      tip.hidden = !point;
      if (!point) return;
      tip.replaceChildren(...content(point));
      place(event, event.target);
    };
    for (const name of ["pointerover", "focusin"]) drawing.addEventListener(name, enter);
    drawing.addEventListener("pointermove", (event) => !tip.hidden && place(event, event.target));
    for (const name of ["pointerleave", "focusout"]) drawing.addEventListener(name, () => { tip.hidden = true; });
    drawing.addEventListener("click", (event) => { const point = pointOf(event); if (point) choose(point); });
    drawing.addEventListener("keydown", (event) => { const point = pointOf(event); if (point && event.key === "Enter") choose(point); });
  };

  const plot = (section, rows, x, y, width) => {
    const all = rows.map((row) => ({ row, x: x.of(row), y: y.of(row) })).filter((point) => Number.isFinite(point.x?.value) && Number.isFinite(point.y?.value));
    const compact = width < 560;
    const height = Math.round(Math.max(300, Math.min(440, width * 0.55)));
    const margin = { left: 66, right: compact ? 16 : 26, top: 16, bottom: 52 };
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group" });
    const title = `${section.model}: ${y.title} against ${x.title}`;
    drawing.append(svg("title", {}, title), svg("desc", {}, `${all.length} points with 95 % intervals where there is one; the dashed line joins the Pareto front, whose points have rings; hollow points are of masked models.`));
    drawing.dataset.title = title;
    if (!all.length) {
      drawing.append(svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "quiet" }, "No record has both numbers."));
      return { drawing, legend: [], front: new Set(), masked: false };
    }
    const [x0, x1, y0, y1] = [margin.left, width - margin.right, height - margin.bottom, margin.top];
    const xs = scaleOf(all.map((p) => p.x.value), x0, x1, x);
    // Whiskers may be cut at the frame, rather than squeeze the points.
    const values = all.map((p) => p.y.value);
    const reach = (Math.max(...values) - Math.min(...values)) * rules.reach;
    const ends = all.flatMap((p) => p.y.interval ?? []).filter((end) => end >= Math.min(...values) - reach && end <= Math.max(...values) + reach && (end > 0 || y.values === "signed" || !values.every((v) => v > 0)));
    const ys = scaleOf([...values, ...ends], y0, y1, y);
    for (const tick of xs.ticks) drawing.append(
      svg("line", { class: "grid", x1: xs.at(tick), x2: xs.at(tick), y1: y0, y2: y1 }),
      svg("text", { class: "quiet", x: xs.at(tick), y: y0 + 17, "text-anchor": "middle" }, axisText(tick)));
    for (const tick of ys.ticks) drawing.append(
      svg("line", { class: "grid", x1: x0, x2: x1, y1: ys.at(tick), y2: ys.at(tick) }),
      svg("text", { class: "quiet", x: x0 - 7, y: ys.at(tick) + 4, "text-anchor": "end" }, axisText(tick)));
    const better = (axis, low, high) => axis.better ? (axis.better === "lower" ? `, ${low} better` : `, ${high} better`) : "";
    const fit = (text, room) => cut(text, Math.floor(room / 6.3));
    drawing.append(
      svg("path", { class: "axis", d: `M${x0},${y1}V${y0}H${x1}` }),
      svg("text", { x: (x0 + x1) / 2, y: height - 12, "text-anchor": "middle" }, fit(x.title + (xs.log ? ", log" : "") + better(x, "←", "→"), x1 - x0)),
      svg("text", { transform: `translate(14,${(y0 + y1) / 2}) rotate(-90)`, "text-anchor": "middle" }, fit(y.title + (ys.log ? ", log" : "") + better(y, "←", "→"), y0 - y1)));
    const front = frontOf(all, x, y);
    const line = [...front].sort((a, b) => a.x.value - b.x.value);
    if (line.length > 1) drawing.append(svg("path", { class: "front", d: "M" + line.map((p) => `${xs.at(p.x.value)},${ys.at(p.y.value)}`).join("L") }));
    const legend = new Set();
    const clamp = (value) => Math.min(y0, Math.max(y1, value));
    const many = all.length > 300;
    // The front last, so that nothing covers it.
    const order = all.map((_, number) => number).sort((a, b) => front.has(all[a]) - front.has(all[b]));
    order.forEach((number) => {
      const point = all[number];
      const look = section.looks[point.row.look];
      legend.add(point.row.look);
      const [cx, cy] = [xs.at(point.x.value), ys.at(point.y.value)].map((at) => at.toFixed(1));
      const node = svg("g", {
        class: "point", "data-place": number, tabindex: many ? null : 0, role: many ? null : "button",
        "aria-label": many ? null : `${point.row.recipe}: ${x.title} ${show(point.x.value)}, ${y.title} ${show(point.y.value)}`,
      });
      if (point.y.interval) {
        const [a, b] = point.y.interval.map((end) => (end === null ? -Infinity : ys.log && end <= 0 ? Infinity : ys.at(end)));
        // A whisker that is cut at the frame points beyond it.
        const cap = (end) => {
          const y = clamp(end);
          const back = end < y ? 5 : end > y ? -5 : 0;
          return `M${cx - 3},${(y + back).toFixed(1)}l3,${-back}l3,${back}`;
        };
        node.append(svg("path", { d: `M${cx},${clamp(a).toFixed(1)}V${clamp(b).toFixed(1)}${cap(a)}${cap(b)}`, stroke: look.colour, "stroke-width": 1.1, opacity: many ? .25 : .55, fill: "none" }));
      }
      node.append(svg("path", {
        class: `mark${point.row.masked ? " hollow" : ""}`, d: look.shape, transform: `translate(${cx},${cy})`, stroke: look.colour, "stroke-width": 1.5,
        fill: point.row.masked ? "var(--paper)" : look.colour,
      }));
      if (front.has(point)) node.append(svg("circle", { class: "ring", cx, cy, r: 9 }));
      drawing.append(node);
    });
    react(drawing, all, (point) => describe(point.row, [x, y]), (point) => provenance(section, point.row));
    // Names at the front, where they do not run into one another.
    const taken = all.map((p) => { const reach = front.has(p) ? 9 : 5; return [xs.at(p.x.value) - reach, ys.at(p.y.value) - reach, 2 * reach, 2 * reach]; });
    const named = new Set();
    for (const point of [...line, ...all.filter((p) => p.row.dense)]) {
      const text = short(point.row.recipe);
      if (named.has(text)) continue;
      named.add(text);
      const [cx, cy, wide] = [xs.at(point.x.value), ys.at(point.y.value), text.length * 6.4];
      for (const [left, top] of [[cx + 12, cy - 7], [cx - 12 - wide, cy - 7], [cx - wide / 2, cy - 25], [cx - wide / 2, cy + 11]]) {
        const box = [left, top, wide, 14];
        const clear = left > x0 && left + wide < width - 2 && top > 2 && top + 14 < y0
          && taken.every(([a, b, c, d]) => a > left + wide || a + c < left || b > top + 14 || b + d < top);
        if (!clear) continue;
        taken.push(box);
        drawing.append(svg("text", { class: "halo", x: left, y: top + 11 }, text));
        break;
      }
    }
    return { drawing, legend: [...legend].sort((a, b) => a - b).map((place) => section.looks[place]), front, masked: all.some((point) => point.row.masked) };
  };

  const bars = (chart) => {
    const [width, height, left, bottom, top] = [440, 170, 52, 34, 10];
    const numeric = chart.places.every((p) => typeof p === "number");
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    drawing.append(svg("title", {}, `${chart.method}: ${chart.name}`));
    const ys = scaleOf(chart.values, height - bottom, top, { values: "signed" });
    const at = (i) => left + (i + .5) / chart.values.length * (width - left - 8);
    for (const tick of ys.ticks.filter((_, i, all) => all.length < 6 || i % 2 === 0)) drawing.append(
      svg("line", { class: "grid", x1: left, x2: width - 8, y1: ys.at(tick), y2: ys.at(tick) }),
      svg("text", { class: "quiet", x: left - 5, y: ys.at(tick) + 4, "text-anchor": "end" }, axisText(tick)));
    if (numeric) drawing.append(svg("path", { d: "M" + chart.values.map((v, i) => `${at(i)},${ys.at(v)}`).join("L"), stroke: "var(--c0)", fill: "none", "stroke-width": 1.3 }));
    chart.values.forEach((value, i) => {
      const mark = svg("circle", { cx: at(i), cy: ys.at(value), r: chart.values.length > 60 ? 1.8 : 3.2, fill: "var(--c0)" });
      mark.append(svg("title", {}, `${chart.across} ${chart.places[i]}: ${show(value)}`));
      drawing.append(mark);
    });
    const last = chart.places.length - 1;
    const every = numeric ? Math.ceil(chart.places.length / 12) : last;
    chart.places.forEach((name, i) => i % every === 0 && drawing.append(
      svg("text", { class: "quiet", x: numeric ? at(i) : i ? width - 8 : left, y: height - bottom + 15, "text-anchor": numeric ? "middle" : i ? "end" : "start" },
        numeric ? axisText(name) : String(name).replace(/^model\./, "").slice(0, 28))));
    if (chart.across) drawing.append(svg("text", { class: "quiet", x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, chart.across));
    return drawing;
  };

  const list = (pairs) => html("dl", {}, ...pairs.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, String(value))]));
  let opener = null;
  const close = () => { details.hidden = true; opener?.focus?.(); };
  const open = (...nodes) => {
    if (details.hidden) opener = document.activeElement;
    tip.hidden = true;
    details.replaceChildren(html("button", { class: "close", onclick: close }, "Close"), ...nodes);
    details.hidden = false;
    details.scrollTop = 0;
    details.querySelector(".close").focus();
  };
  const provenance = (section, row) => {
    const numbers = section.measures.filter((m) => row.numbers[m.name]).map((m) => {
      const { value, interval, change } = row.numbers[m.name];
      const against = change ? `; against dense ${changeText(change, m.scale).join("")}${change.p === undefined ? "" : `, p ${change.p > 0 ? `= ${change.p.toPrecision(2)}` : "under 1e-300"}, uncorrected`}` : "";
      return [m.name, `${show(value)}${m.unit ? ` ${m.unit}` : ""}${interval ? ` [${interval.map(show).join(", ")}]` : ""}${against}`];
    });
    open(
      html("h2", {}, row.recipe),
      html("p", { class: "quiet" }, `${section.model}, ${row.place}${section.setting && `; ${section.setting}`}`),
      list(numbers),
      ...(row.charts ?? []).flatMap((chart) => [html("h3", {}, `${chart.method}: ${chart.name}`), bars(chart)]),
      ...row.origins.flatMap((origin) => {
        const where = data.places[origin.place];
        return [html("h3", {}, `Record of seed ${origin.seed}`), list([
          ["key", origin.key], ["status", origin.status], ["store", section.store], ["experiment", origin.experiment],
          ["measured", `${origin.started} to ${origin.finished}`], ["tries", origin.attempts],
          ["revision", where.revision], ["prunebench", where.prunebench], ["engine", where.engine], ["compiler", where.rustc],
          ["machine", where.machine], ["system", where.os],
        ])];
      }));
  };
  document.addEventListener("keydown", (event) => event.key === "Escape" && !details.hidden && close());

  const save = (blob, name) => {
    const link = html("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  // A picture of its own has no style sheet, so what the page's gives is written into it.
  const alone = (drawing) => {
    const copy = drawing.cloneNode(true);
    const [from, to] = [drawing, copy].map((node) => [node, ...node.querySelectorAll("*")]);
    from.forEach((node, i) => {
      const style = getComputedStyle(node);
      for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "paint-order"])
        to[i].setAttribute(name, style.getPropertyValue(name));
    });
    const [, , width, height] = drawing.getAttribute("viewBox").split(" ");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.prepend(svg("rect", { width, height, fill: getComputedStyle(document.documentElement).backgroundColor }));
    return [new XMLSerializer().serializeToString(copy), +width, +height];
  };
  const savePlot = (drawing, kind) => {
    const [text, width, height] = alone(drawing);
    const name = drawing.dataset.title.replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 100);
    if (kind === "svg") return save(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
    const image = new Image();
    image.onload = () => {
      const canvas = html("canvas", { width: 2 * width, height: 2 * height });
      canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
      canvas.toBlob((blob) => save(blob, `${name}.png`));
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  };

  const columnsOf = (section) => {
    const columns = [
      { title: "method", words: true, key: (row) => row.recipe, cell: (row) => [row.recipe] },
      { title: "where", words: true, key: (row) => row.place, cell: (row) => [row.place] },
      { title: "seeds", key: (row) => row.ok, cell: (row) => [row.ok === row.seeds ? row.ok : `${row.ok} of ${row.seeds}`] },
    ];
    const same = [];
    for (const measure of section.measures) {
      const values = new Set(section.rows.map((row) => row.numbers[measure.name]?.value));
      if (!measure.quality && values.size === 1) { same.push(`${measure.name} ${show([...values][0])}`); continue; }
      const of = (row) => row.numbers[measure.name];
      columns.push({
        title: measure.name, unit: [measure.unit, measure.quality ? "95 %" : ""].filter(Boolean).join(", "), key: (row) => of(row)?.value,
        cell: (row) => of(row) ? [show(of(row).value), of(row).interval && html("small", {}, `[${of(row).interval.map(show).join(", ")}]`)] : ["—"],
      });
      if (measure.scale) columns.push({
        title: "against dense", full: `${measure.name}, against dense`, unit: measure.scale === "points" ? "points, 95 %" : "%, 95 %", key: (row) => of(row)?.change?.value,
        cell: (row) => {
          const change = of(row)?.change;
          if (!change) return ["—"];
          const [value, ends] = changeText(change, measure.scale);
          return [value.replace(/ .*/, ""), ends && html("small", {}, ends.trim())];
        },
      });
    }
    columns.push({ title: "status", words: true, key: (row) => row.status, cell: (row) => [cut(row.status, 90)] });
    return [columns, same];
  };

  const sectionNode = (section) => {
    const axes = axesOf(section);
    const index = (wanted, other) => Math.max(0, axes.findIndex((axis) => wanted(axis)), other ?? 0);
    const varies = (axis) => new Set(section.rows.map((row) => axis.of(row)?.value).filter((v) => v !== undefined)).size > 1;
    const first = (...tests) => {
      for (const test of tests) { const at = axes.findIndex(test); if (at >= 0) return at; }
      return index(() => true);
    };
    const quality = axes.some((axis) => axis.quality);
    const startY = first((a) => a.quality && a.better === "lower", (a) => a.quality, (a) => a.name === "decode speed");
    const startX = first(...[...data.sizes, "decode speed", "method cost"].map((name) => (a) => a.name === name && varies(a) && (quality || name !== "decode speed")));
    const select = (label, chosen) => {
      const node = html("select", { "aria-label": label }, ...axes.map((axis, i) => html("option", { value: i }, axis.title)));
      node.value = chosen;
      return node;
    };
    const [xSelect, ySelect] = [select("horizontal axis", startX), select("vertical axis", startY)];
    const filter = html("input", { type: "search", placeholder: "words, such as a method", "aria-label": "filter" });
    const frontOnly = html("input", { type: "checkbox" });
    const [columns, same] = columnsOf(section);
    let order = null;
    let limit = FIRST_ROWS;
    const figure = html("div");
    const legend = html("div", { class: "legend" });
    const body = html("tbody");
    const count = html("p", { class: "quiet" });
    const more = html("button", { class: "more", onclick: () => { limit = Infinity; draw(); } });
    const heads = columns.map((column, i) => html("th", { class: column.words ? "words" : null, scope: "col", "aria-sort": "none" },
      html("button", { "aria-label": column.full, title: column.full, onclick: () => { order = [i, order?.[0] === i ? -order[1] : 1]; draw(); } }, column.title, column.unit ? html("small", {}, column.unit) : null)));
    let drawing = null;
    const draw = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let rows = section.rows.filter((row) => {
        const text = `${row.recipe} ${row.place} ${row.status}`.toLowerCase();
        return words.every((word) => text.includes(word));
      });
      let front = new Set();
      if (axes.length) {
        const made = plot(section, rows, axes[xSelect.value], axes[ySelect.value], Math.max(320, Math.min(1100, figure.clientWidth || 900)));
        drawing = made.drawing;
        front = new Set([...made.front].map((point) => point.row));
        figure.replaceChildren(drawing);
        const sign = (mark) => svg("svg", { viewBox: "-7 -7 14 14" }, mark);
        const note = (text, mark) => html("span", { class: "quiet" }, mark ? sign(mark) : null, text);
        legend.replaceChildren();
        fill(legend, {}, [...made.legend.map((look) => html("span", {}, sign(svg("path", { d: look.shape, fill: look.colour })), look.name)),
          made.masked ? note("hollow: masked, its zeros are stored", svg("circle", { r: 5, fill: "var(--paper)", stroke: "var(--quiet)", "stroke-width": 1.5 })) : null,
          front.size ? note("ringed and joined: Pareto front", svg("circle", { class: "ring", r: 6.3 })) : null,
          note("whiskers: 95 %")]);
      }
      if (frontOnly.checked) rows = rows.filter((row) => front.has(row));
      if (order) {
        const [key, sign] = [columns[order[0]].key, order[1]];
        // Rows without the number stay last either way.
        rows = [...rows].sort((a, b) => {
          const [p, q] = [key(a), key(b)];
          if (p === undefined || q === undefined) return (p === undefined) - (q === undefined);
          return sign * (typeof p === "number" ? p - q : String(p).localeCompare(String(q), "en", { numeric: true }));
        });
      }
      heads.forEach((head, i) => head.setAttribute("aria-sort", order?.[0] === i ? (order[1] > 0 ? "ascending" : "descending") : "none"));
      body.replaceChildren(...rows.slice(0, limit).map((row) => html("tr", {
        tabindex: 0, onclick: () => provenance(section, row), onkeydown: (event) => event.key === "Enter" && provenance(section, row),
      }, ...columns.map((column) => html("td", { class: column.words ? "words" : null, "data-title": column.full ?? column.title }, ...column.cell(row))))));
      count.textContent = `${rows.length} of ${section.rows.length} rows${rows.length > limit ? `, the first ${limit} shown` : ""}`;
      more.hidden = rows.length <= limit;
      more.textContent = `Show all ${rows.length} rows`;
    };
    for (const node of [filter, frontOnly, xSelect, ySelect]) node.addEventListener("input", draw);
    let width = 0;
    new ResizeObserver(() => { if (figure.clientWidth !== width) { width = figure.clientWidth; draw(); } }).observe(figure);
    const label = (text, node, extra) => html("label", { class: extra ?? null }, text, node);
    return html("section", {},
      html("h2", {}, section.model),
      html("p", { class: "quiet" }, `${section.store}${section.setting && `; ${section.setting}`}; ${section.rows.length} recipes and places; choose a point or a row to see where its numbers come from`),
      html("div", { class: "controls" }, label("Filter", filter, "grow"), label("Across", xSelect), label("Up", ySelect), label("Front only", frontOnly, "check"),
        html("span", { class: "saves" }, html("button", { onclick: () => savePlot(drawing, "svg"), title: "Save the plot" }, "SVG"),
          html("button", { onclick: () => savePlot(drawing, "png"), title: "Save the plot" }, "PNG"))),
      figure, legend, count,
      html("div", { class: "scroll", tabindex: 0 }, html("table", { class: columns.length > MOST_PRINTED ? "wide" : null }, html("thead", {}, html("tr", {}, ...heads)), body)),
      more,
      same.length ? html("p", { class: "quiet" }, `The same in all rows: ${same.join("; ")}.`) : null);
  };

  const VERDICTS = { reproduced: "✓ reproduced", not_reproduced: "✗ not reproduced", inconclusive: "? inconclusive", not_run: "– not run" };
  const verdict = (name) => html("span", { class: `verdict ${name}` }, VERDICTS[name]);
  const figures = (x) => (x === null ? "∞" : x !== 0 && Math.abs(x) < 0.001 ? x.toExponential(2) : x.toFixed(3));
  const ends = (interval) => (interval ? `[${figures(interval.low)}, ${figures(interval.high)}]` : "[too few samples]");
  const probability = (p) => (p < 0.0001 ? "under 0.0001" : p.toFixed(4));
  const rowOf = new Map();
  for (const section of data.sections) for (const row of section.rows) for (const origin of row.origins)
    if (!rowOf.has(origin.key)) rowOf.set(origin.key, { section, row, seed: origin.seed });
  const recordNode = (key) => {
    const known = rowOf.get(key);
    if (!known) return html("span", { class: "quiet" }, key.slice(0, 16));
    return html("button", { onclick: () => provenance(known.section, known.row) }, `${known.row.recipe}, seed ${known.seed}`);
  };
  const claimed = ({ above, below }) => {
    const known = [above, below].map((end) => end !== null && Number.isFinite(end));
    if (known[0] && known[1]) return `between ${above} and ${below}`;
    return known[0] ? `above ${above}` : `below ${below}`;
  };
  const grounds = (paper, claim) => open(
    html("h2", {}, claim.statement),
    html("p", { class: "quiet" }, `${paper}, ${claim.id}; ${claim.source}; ${claim.trust}`),
    html("p", {}, verdict(claim.verdict), claim.shown_by ? `: ${claim.shown_by}` : null),
    ...claim.missing.map((what) => html("p", { class: "quiet" }, `Missing: ${what}`)),
    ...claim.parts.flatMap((part) => [
      html("h3", {}, part.of),
      list([["effect", `${figures(part.value)} ${ends(part.interval)}`], ["claimed", claimed(part)],
        ...(part.p === null ? [] : [["p, uncorrected", probability(part.p)]]), ["measured by", part.setting]]),
      html("p", { class: "records" }, ...part.records.map(recordNode)),
    ]));
  const scorecardNode = (scorecard) => html("section", { class: "claims" },
    html("h2", {}, `Claims of ${scorecard.paper}`),
    html("p", { class: "legend" }, ...Object.keys(VERDICTS).map((name) => html("span", {}, html("b", {}, String(scorecard.totals[name])), verdict(name)))),
    html("p", { class: "quiet" }, "Effects are of the contrast that decides, of perplexities and speeds in logarithms; intervals are 95 %, and give the verdict; p is by Benjamini and Hochberg over the paper's claims. Choose a claim to see every contrast and its records."),
    html("div", { class: "scroll", tabindex: 0 }, html("table", {},
      html("thead", {}, html("tr", {}, ...["claim", "verdict", "effect [95 %]", "holding", "p", "records"].map((title, i) =>
        html("th", { scope: "col", class: i < 3 ? "words" : null }, html("span", {}, title))))),
      html("tbody", {}, ...scorecard.claims.map((claim) => html("tr", {
        tabindex: 0, onclick: () => grounds(scorecard.paper, claim), onkeydown: (event) => event.key === "Enter" && grounds(scorecard.paper, claim),
      },
      html("td", { class: "words" }, claim.statement, html("small", {}, `${claim.id}; ${claim.source}; ${claim.trust}`)),
      html("td", { class: "words" }, verdict(claim.verdict), claim.missing.length ? html("small", {}, claim.missing[0], claim.missing.length > 1 ? `; and ${claim.missing.length - 1} more` : null) : null),
      html("td", { class: "words" }, ...(claim.effect ? [`${figures(claim.effect.value)} ${ends(claim.effect.interval)}`, html("small", {}, `claimed ${claim.effect.wanted}: ${claim.effect.of}`)] : [claim.shown_by ?? "—"])),
      html("td", {}, claim.parts.length ? `${claim.holding} of ${claim.parts.length}` : "—"),
      html("td", {}, claim.p_adjusted === null ? "—" : probability(claim.p_adjusted)),
      html("td", {}, claim.records.length ? String(claim.records.length) : "—")))))));

  document.getElementById("summary").textContent = `${data.records.toLocaleString("en")} records; intervals are 95 %, over windows or items and seeds; changes are paired item by item with the dense model`;
  main.replaceChildren(...data.scorecards.map(scorecardNode), ...data.sections.map(sectionNode));
}
