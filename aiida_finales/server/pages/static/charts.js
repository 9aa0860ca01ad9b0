// Draws figures that the server gives as data (aiida_finales/schemas/chart.py) with Apache ECharts: hover tells all that
// is known of a point, a click opens it, the legend shows and hides; PNG, SVG and CSV are made here, of the same data.
// An element with data-charts="ADDRESS" is filled with one figure per chart (data-given has them already); data-low makes
// them low. It asks again whenever the server tells that something changed.
(() => {
  // colours that remain apart for colour-blind readers (Okabe and Ito), in both themes
  const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31"], MODEL = "#D55E00";
  const VIRIDIS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];
  const SHAPES = { star: "path://M0,-10 L2.4,-3.2 9.5,-3.1 3.8,1.2 5.9,8.1 0,4 -5.9,8.1 -3.8,1.2 -9.5,-3.1 -2.4,-3.2 Z" };

  const resolve = (name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const readLook = () => ({
    ink: resolve("--ink"), quiet: resolve("--quiet"), line: resolve("--line"), paper: resolve("--paper"),
    size: 0.8125 * parseFloat(getComputedStyle(document.documentElement).fontSize),
    font: getComputedStyle(document.body).fontFamily,
  });
  const colourOf = (place, look) => place >= 0 ? PALETTE[place % PALETTE.length] : { "-1": MODEL, "-2": look.ink }[place] || look.quiet;
  const number = (value) => Number.isFinite(value) ? String(+value.toPrecision(5)) : "-";

  const tip = (chart, series, mark) => {
    const box = document.createElement("div");
    box.className = "tip";
    const title = box.appendChild(document.createElement("strong"));
    title.textContent = mark.title || series.name;
    const list = box.appendChild(document.createElement("dl"));
    const rows = mark.lines?.length ? mark.lines : [[chart.x.title, number(mark.x)], [chart.y.title, number(mark.y ?? 0)]];
    for (const [words, said] of rows) {
      list.appendChild(document.createElement("dt")).textContent = words;
      list.appendChild(document.createElement("dd")).textContent = said;
    }
    if (mark.link) box.appendChild(document.createElement("span")).textContent = "click to open";
    return box;
  };

  const makeAxis = (axis, look, isX, isNarrow) => {
    const text = { color: look.ink, fontSize: look.size, fontFamily: look.font };
    const common = { name: axis.title, nameLocation: "middle", nameGap: isX ? look.size * 2.2 : look.size * 3.6, nameTextStyle: text,
      axisLabel: { ...text, hideOverlap: true, ...(axis.is_free ? { showMinLabel: false, showMaxLabel: false } : {}) }, axisLine: { show: true, lineStyle: { color: look.quiet } },
      splitLine: { lineStyle: { color: look.line } } };
    if (axis.labels) return { ...common, type: "category", data: axis.labels, boundaryGap: true, splitLine: { show: false }, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { ...text, interval: 0, rotate: isNarrow && axis.labels.length > 4 ? 40 : 0, formatter: (words) => isNarrow ? words.split("\n")[0] : words, lineHeight: look.size * 1.3, fontSize: look.size * 0.9 } };
    return { ...common, type: "value", scale: true, show: !axis.is_bare, min: axis.low ?? undefined, max: axis.high ?? undefined, minInterval: axis.is_whole ? 1 : undefined };
  };

  // what ECharts has no kind of: error bars, bands, polygons, and lines over all axes
  const errorBar = (colour) => (params, api) => {
    const [x, low] = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), api.value(2)])[1];
    return { type: "line", silent: true, shape: { x1: x, y1: low, x2: x, y2: high }, style: { stroke: colour, lineWidth: 1.2, opacity: 0.6 } };
  };
  const polygon = (corners, style) => (params, api) => params.dataIndex ? null :
    { type: "polygon", silent: true, shape: { points: corners.map((corner) => api.coord(corner)) }, style };
  const path = (marks, styles) => (params, api) => {
    const mark = marks[params.dataIndex];
    const points = (mark.path || []).map((height, index) => height === null ? null : api.coord([index, height])).filter(Boolean);
    return { type: "polyline", shape: { points }, style: styles(mark), emphasis: { style: { lineWidth: 4 } }, z2: 1 };
  };

  const viridis = (share) => {
    const at = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1), index = Math.min(VIRIDIS.length - 2, Math.floor(at));
    return echarts.color.lerp(at - index, [VIRIDIS[index], VIRIDIS[index + 1]]);
  };

  const makeSeries = (item, chart, look, range) => {
    const colour = colourOf(item.place ?? 0, look), name = item.name;
    const data = item.marks.map((mark) => ({ value: [mark.x, mark.y ?? 0, mark.value ?? null], mark }));
    const line = { color: colour, width: item.place === -3 ? 1 : 2, type: item.is_dashed ? "dashed" : "solid" };
    const plain = { name, data, silent: !item.marks.some((mark) => mark.lines || mark.title), itemStyle: { color: colour } };
    if (item.kind === "points") {
      const coloured = chart.colour && item.marks.some((mark) => mark.value !== undefined);
      const found = [{ ...plain, type: "scatter", symbol: SHAPES[item.shape] || item.shape || "circle", symbolSize: item.is_big ? 22 : 11, z: item.is_big ? 6 : 4,
        cursor: item.marks.some((mark) => mark.link) ? "pointer" : "default", isColoured: coloured,
        itemStyle: { color: item.is_open ? "transparent" : colour, borderColor: item.is_open || coloured ? colour : look.paper, borderWidth: item.is_open || coloured ? 2 : 1 },
        emphasis: { scale: 1.5 } }];
      const bars = item.marks.filter((mark) => mark.low !== undefined && mark.high !== undefined);
      if (bars.length) found.push({ name, type: "custom", z: 3, silent: true, clip: true, renderItem: errorBar(colour), itemStyle: { color: colour },
        data: bars.map((mark) => [mark.x, mark.low, mark.high]), encode: { x: 0, y: [1, 2] }, tooltip: { show: false } });
      return found;
    }
    if (item.kind === "band") {
      const corners = [...item.marks.map((mark) => [mark.x, mark.low]), ...item.marks.map((mark) => [mark.x, mark.high]).reverse()];
      return [{ name, type: "custom", silent: true, clip: true, z: 1, itemStyle: { color: colour }, encode: { x: 0, y: [1, 2] },
        renderItem: polygon(corners, { fill: colour, opacity: 0.2 }), data: item.marks.map((mark) => [mark.x, mark.low, mark.high]) }];
    }
    if (item.kind === "area") {
      const corners = item.marks.map((mark) => [mark.x, mark.y ?? 0]);
      return [{ name, type: "custom", silent: true, clip: true, z: 1, itemStyle: { color: colour }, data: corners,
        renderItem: polygon(corners, { fill: colour, fillOpacity: 0.13, stroke: colour, lineWidth: 1.5 }) }];
    }
    if (item.kind === "guide") {
      const words = item.marks[0]?.title || "";
      return [{ type: "line", name: "", data: data.map((one) => one.value.slice(0, 2)), symbol: "none", silent: true, z: 0, lineStyle: { ...line, color: look.line, width: 1 } },
        { type: "scatter", name: "", data: data.length ? [data[0].value.slice(0, 2)] : [], symbolSize: 0.1, silent: true,
          label: { show: true, formatter: words, color: look.quiet, fontSize: look.size * 0.9, fontFamily: look.font, position: item.shape === "rect" ? "bottom" : item.shape === "triangle" ? "top" : "left" } }];
    }
    if (item.kind === "paths") {
      const styles = (mark) => ({ fill: "none", stroke: range && mark.value !== undefined ? viridis((mark.value - range[0]) / (range[1] - range[0] || 1)) : colour, lineWidth: item.is_big ? 3 : 1.6, opacity: 0.85 });
      return [{ ...plain, silent: false, type: "custom", z: item.is_big ? 5 : 3, renderItem: path(item.marks, styles), data: item.marks.map((mark) => ({ value: [0, 0.5], mark })) }];
    }
    return [{ ...plain, type: "line", step: item.kind === "steps" ? "end" : false, symbol: "none", z: 2, lineStyle: line }];
  };

  // px that the legend takes: its names are set in lines as they fit
  const namesOf = (chart) => [...new Set(chart.series.filter((item) => item.kind !== "guide").map((item) => item.name).filter(Boolean))];
  const roomOf = (chart, look, width) => {
    let lines = 0, left = 0;
    for (const name of namesOf(chart)) {
      const length = name.length * look.size * 0.58 + look.size * 1.6 + 14;
      if (!lines || length > left) { lines += 1; left = width; }
      left -= length;
    }
    return lines * (look.size * 1.2 + 10);
  };

  // axes on which a unit is as long on both: the shorter one is widened about its middle
  const makeEven = (chart, width, height) => {
    const marks = chart.series.flatMap((item) => item.marks);
    const ends = (values) => { const low = Math.min(...values), high = Math.max(...values), more = 0.04 * (high - low) || 1; return [low - more, high + more]; };
    const x = ends(marks.map((mark) => mark.x)), y = ends(marks.map((mark) => mark.y ?? 0));
    const unit = Math.max((x[1] - x[0]) / width, (y[1] - y[0]) / height);
    const stretch = (axis, [low, high], length) => ({ ...axis, low: (low + high - unit * length) / 2, high: (low + high + unit * length) / 2, is_free: true });
    return [stretch(chart.x, x, width), stretch(chart.y, y, height)];
  };

  const makeOption = (chart, look, width, height) => {
    const values = chart.colour ? chart.series.flatMap((item) => item.marks.map((mark) => mark.value)).filter(Number.isFinite) : [];
    const range = values.length ? [Math.min(...values), Math.max(...values)] : null;
    const series = chart.series.flatMap((item) => makeSeries(item, chart, look, range));
    const isParallel = Boolean(chart.x.labels && chart.y.is_bare);
    if (isParallel) for (const index of chart.x.labels.keys()) series.push({ type: "line", name: "", silent: true, symbol: "none", z: 0, lineStyle: { color: look.quiet, width: 1 }, data: [[index, 0], [index, 1]] });
    const names = namesOf(chart);
    const text = { color: look.ink, fontSize: look.size, fontFamily: look.font };
    const isNarrow = width < 500, isBare = chart.x.is_bare;
    const icons = Object.fromEntries(chart.series.map((item) => [item.name, item.kind === "points" ? SHAPES[item.shape] || item.shape || "circle" : "roundRect"]));
    const coloured = series.flatMap((item, index) => item.isColoured ? [index] : []);
    const legendRoom = roomOf(chart, look, width);
    const grid = { left: isBare ? look.size * 4.6 : isParallel ? 12 : look.size * 5.2, right: isNarrow ? 12 : 24, top: range ? look.size * 3.4 : look.size * 1.6, bottom: look.size * (isBare ? 2 : chart.x.labels ? 4.6 : 3.8) + legendRoom };
    const [x, y] = chart.is_equal ? makeEven(chart, width - grid.left - grid.right, height - grid.top - grid.bottom) : [chart.x, chart.y];
    return {
      animation: false, backgroundColor: "transparent", textStyle: { fontFamily: look.font }, grid,
      legend: { type: "plain", bottom: 0, itemWidth: look.size * 1.1, itemHeight: look.size * 0.9, left: 0, data: names.map((name) => ({ name, icon: icons[name] })), textStyle: text, itemGap: 10, inactiveColor: look.line },
      tooltip: { trigger: "item", confine: true, backgroundColor: look.paper, borderColor: look.line, textStyle: { ...text, color: look.ink },
        formatter: (params) => params.data?.mark ? tip(chart, { name: params.seriesName }, params.data.mark) : params.seriesName },
      toolbox: { show: true, itemSize: 0, right: -50, feature: { dataZoom: { filterMode: "none", title: { zoom: "", back: "" } } } },
      dataZoom: chart.x.labels ? [] : [0, 1].map((index) => ({ type: "inside", [index ? "yAxisIndex" : "xAxisIndex"]: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: false, moveOnMouseWheel: false, preventDefaultMouseMove: false })),
      xAxis: makeAxis(x, look, true, isNarrow), yAxis: makeAxis(y, look, false, isNarrow),
      visualMap: range ? [{ type: "continuous", show: true, min: range[0], max: range[1] === range[0] ? range[0] + 1e-9 : range[1], dimension: 2, seriesIndex: coloured, inRange: { color: VIRIDIS }, calculable: false,
        orient: "horizontal", top: 0, right: 0, itemWidth: look.size, itemHeight: isNarrow ? 80 : 140, precision: 4, text: [number(range[1]), `${chart.colour.title}   ${number(range[0])}`], textStyle: text }] : [],
      series,
    };
  };

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const csvOf = (chart) => {
    const told = chart.series.filter((item) => item.kind !== "guide");
    const extra = [...new Set(told.flatMap((item) => item.marks.flatMap((mark) => (mark.lines || []).map((row) => row[0]))))];
    const cell = (value) => value === undefined || value === null ? "" : /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
    const rows = [["series", chart.x.title, chart.y.title, "low", "high", "link", ...extra]];
    for (const item of told) for (const mark of item.marks) {
      const lines = Object.fromEntries(mark.lines || []);
      rows.push([item.name, mark.x, mark.path ? mark.path.join(" ") : mark.y ?? 0, mark.low, mark.high, mark.link && new URL(mark.link, location).href, ...extra.map((key) => lines[key])]);
    }
    return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };
  const titled = (chart, option, look) => ({ ...option, backgroundColor: look.paper, toolbox: [], dataZoom: [],
    grid: { ...option.grid, top: option.grid.top + look.size * 3 }, visualMap: option.visualMap.map((item) => ({ ...item, top: look.size * 2.2 })),
    title: { text: chart.title, subtext: chart.note, left: 0, top: 0, textStyle: { color: look.ink, fontSize: look.size * 1.1, fontFamily: look.font }, subtextStyle: { color: look.quiet } } });

  class Figure {
    constructor(place, isLow) {
      this.element = place.appendChild(document.createElement("figure"));
      this.element.className = "chart panel";
      this.isLow = isLow;
      this.heading = this.element.appendChild(document.createElement("h3"));
      this.drawing = this.element.appendChild(document.createElement("div"));
      this.drawing.className = "drawing";
      this.drawing.setAttribute("role", "img");
      this.caption = this.element.appendChild(document.createElement("figcaption"));
      const tools = this.element.appendChild(document.createElement("div"));
      tools.className = "chart-tools";
      const add = (words, act) => {
        const button = tools.appendChild(document.createElement("button"));
        Object.assign(button, { type: "button", className: "quiet", textContent: words });
        button.addEventListener("click", () => act(button));
        return button;
      };
      this.zoomButton = add("Zoom", (button) => this.zoom(button));
      this.wholeButton = add("Whole", () => this.whole());
      add("PNG", () => this.savePicture("png"));
      add("SVG", () => this.savePicture("svg"));
      add("CSV", () => save(new Blob([csvOf(this.chart)], { type: "text/csv" }), `${this.chart.name}.csv`));
      this.view = echarts.init(this.drawing);
      this.view.on("click", (params) => { const link = params.data?.mark?.link; if (link) location.assign(link); });
      this.watcher = new ResizeObserver(() => { this.view.resize(); this.draw(); });
      this.watcher.observe(this.drawing);
    }
    show(chart) {
      const known = JSON.stringify(chart);
      if (known === this.known) return;
      this.known = known;
      this.chart = chart;
      this.heading.textContent = chart.title;
      this.caption.textContent = chart.note;
      this.drawing.setAttribute("aria-label", `${chart.words} The numbers are in the CSV file, and in the tables of this page.`);
      // names of many axes need the whole width
      this.element.classList.toggle("across", chart.x.labels?.length > 6);
      this.zoomButton.hidden = this.wholeButton.hidden = Boolean(chart.x.labels);
      this.draw();
    }
    draw() {
      if (!this.chart) return;
      this.look = readLook();
      const width = this.drawing.clientWidth;
      const height = Math.round(this.look.size * (this.isLow ? 17 : width < 500 ? 22 : 27) + roomOf(this.chart, this.look, width));
      if (this.drawing.clientHeight !== height) { this.drawing.style.height = `${height}px`; this.view.resize(); }
      this.option = makeOption(this.chart, this.look, width, height);
      this.view.setOption(this.option, { replaceMerge: ["series", "visualMap"] });
    }
    zoom(button) {
      const isActive = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isActive));
      this.view.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: isActive });
    }
    whole() {
      for (const index of [0, 1]) this.view.dispatchAction({ type: "dataZoom", dataZoomIndex: index, start: 0, end: 100 });
    }
    savePicture(kind) {
      const size = { width: Math.max(720, this.drawing.clientWidth), height: 560 };
      const option = titled(this.chart, makeOption(this.chart, this.look, size.width, size.height), this.look);
      if (kind === "svg") {
        const copy = echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
        copy.setOption(option);
        save(new Blob([copy.renderToSVGString()], { type: "image/svg+xml" }), `${this.chart.name}.svg`);
        copy.dispose();
        return;
      }
      const place = document.createElement("div");
      const copy = echarts.init(place, null, { renderer: "canvas", ...size });
      copy.setOption(option);
      copy.renderToCanvas({ pixelRatio: 2, backgroundColor: this.look.paper }).toBlob((blob) => { save(blob, `${this.chart.name}.png`); copy.dispose(); });
    }
    end() { this.watcher.disconnect(); this.view.dispose(); this.element.remove(); }
  }

  class Board {
    constructor(place) {
      this.place = place;
      this.figures = new Map();
      this.isBusy = false;
      this.asked = 0;
      // what is folded away is asked for when it is opened
      this.fold = place.closest("details");
      this.fold?.addEventListener("toggle", () => this.load());
      this.load();
    }
    async load() {
      if (this.place.dataset.given) return this.show(JSON.parse(this.place.dataset.given));
      if (this.isBusy || (this.fold && !this.fold.open)) return;
      // data-pause: s between two looks at what is dear to make
      if (this.figures.size && Date.now() - this.asked < 1000 * (this.place.dataset.pause || 0)) return;
      this.asked = Date.now();
      this.isBusy = true;
      try {
        const reply = await fetch(this.place.dataset.charts, { credentials: "same-origin" });
        if (reply.ok) this.show(await reply.json());
        else if (!this.figures.size) this.place.textContent = `The figures cannot be shown (${reply.status}).`;
      } catch { /* the server is away: what is drawn stays, and the head of the page says that it is not live */ }
      this.isBusy = false;
    }
    show(found) {
      this.place.querySelector(".empty")?.toggleAttribute("hidden", found.charts.length > 0);
      const names = new Set(found.charts.map((chart) => chart.name));
      for (const [name, figure] of this.figures) if (!names.has(name)) { figure.end(); this.figures.delete(name); }
      for (const chart of found.charts) {
        if (!this.figures.has(chart.name)) this.figures.set(chart.name, new Figure(this.place, "low" in this.place.dataset));
        this.figures.get(chart.name).show(chart);
      }
      this.place.dataset.state = found.state;
    }
    draw() { for (const figure of this.figures.values()) figure.draw(); }
  }

  const boards = [];
  addEventListener("DOMContentLoaded", () => {
    for (const place of document.querySelectorAll("[data-charts]")) boards.push(new Board(place));
    document.addEventListener("finales:news", () => { for (const board of boards) if (board.place.isConnected) board.load(); });
    const redraw = () => { for (const board of boards) board.draw(); };
    document.addEventListener("finales:look", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
})();
