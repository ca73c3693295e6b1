"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  const root = document.documentElement;
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  for (const tabs of all(".tabs")) {
    const panels = all(":scope > .panel", tabs);
    if (panels.length < 2) continue;
    const list = make("div", "", null);
    list.className = "tablist";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", tabs.dataset.label);
    const show = (chosen, focus) => {
      panels.forEach((panel, index) => {
        const button = list.children[index];
        panel.hidden = index !== chosen;
        button.setAttribute("aria-selected", String(index === chosen));
        button.tabIndex = index === chosen ? 0 : -1;
        if (focus && index === chosen) button.focus();
      });
    };
    panels.forEach((panel, index) => {
      const button = make("button", panel.dataset.name, list);
      button.type = "button";
      button.id = `${panel.id}-tab`;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", panel.id);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", button.id);
      button.addEventListener("click", () => show(index));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) show((index + step + panels.length) % panels.length, true);
      });
    });
    tabs.prepend(list);
    show(0);
  }

  const viewers = new Map();
  for (const viewer of all(".viewer")) {
    const select = viewer.querySelector("select");
    const show = (chosen) => {
      select.value = String(chosen);
      for (const drawn of all(".drawn", viewer)) drawn.hidden = drawn.dataset.index !== String(chosen);
    };
    select.closest("label").hidden = false;
    select.addEventListener("change", () => show(Number(select.value)));
    show(Number(select.value));
    viewers.set(viewer.closest("section"), (chosen) => {
      show(chosen);
      viewer.scrollIntoView({ block: "start" });
      select.focus({ preventScroll: true });
    });
  }

  const PAGE = 25;
  for (const listing of all(".listing")) {
    const { rules, kinds, rows } = JSON.parse(listing.querySelector("script").textContent);
    const [search, rule, kind] = ["input", ".rule", ".kind"].map((name) => listing.querySelector(name));
    const [body, where, back, on] = ["tbody", ".where", ".back", ".on"].map((name) => listing.querySelector(name));
    const view = viewers.get(listing.closest("section"));
    const texts = rows.map((row) => `${row[0]} ${rules[row[1]]} ${row[2]} ${row[4]}`.toLowerCase());
    let found = rows;
    let first = 0;
    const draw = () => {
      body.replaceChildren(
        ...found.slice(first, first + PAGE).map(([number, ruleAt, node, kindAt, text, region]) => {
          const line = make("tr", "", null);
          make("td", number || "", line).className = "number";
          make("td", rules[ruleAt], line);
          const cell = make("td", node, line);
          cell.className = "name";
          if (region >= 0 && view) {
            const button = make("button", "graph", cell);
            button.type = "button";
            button.setAttribute("aria-label", `show the graph around ${node}`);
            button.addEventListener("click", () => view(region));
          }
          make("td", kinds[kindAt], line);
          make("td", text, line);
          return line;
        }),
      );
      const last = Math.min(first + PAGE, found.length);
      where.textContent = found.length ? `${first + 1} to ${last} of ${found.length}` : "none";
      back.disabled = first === 0;
      on.disabled = last === found.length;
    };
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const [ruleAt, kindAt] = [Number(rule.value), Number(kind.value)];
      found = rows.filter(
        (row, index) =>
          (ruleAt < 0 || row[1] === ruleAt) &&
          (kindAt < 0 || row[3] === kindAt) &&
          words.every((word) => texts[index].includes(word)),
      );
      first = 0;
      draw();
    };
    for (const [select, names] of [[rule, rules], [kind, kinds]]) {
      names.forEach((name, index) => { make("option", name, select).value = String(index); });
      select.addEventListener("change", filter);
    }
    search.addEventListener("input", filter);
    back.addEventListener("click", () => { first -= PAGE; draw(); });
    on.addEventListener("click", () => { first += PAGE; draw(); });
    listing.querySelector(".controls").hidden = back.hidden = on.hidden = false;
    draw();
  }

  const tip = document.getElementById("tip");
  document.addEventListener("pointermove", (event) => {
    const marked = event.target.closest && event.target.closest("[data-tip]");
    tip.hidden = !marked;
    if (!marked) return;
    tip.textContent = marked.dataset.tip;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18}px`;
  });
})();
