"use strict";
// Sliders, what is under the pointer, and what belongs together. Everything is in the page already; this shows it.
(() => {
  const data = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const all = (selector, of = document) => [...of.querySelectorAll(selector)];
  const tips = data("tips") ?? [];
  const tip = Object.assign(document.createElement("div"), { id: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const say = (text, x, y) => {
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 12) : y + 18}px`;
  };

  // A slider shows one step of what it steers.
  for (const slider of all("input[data-steers]")) {
    const names = data(slider.dataset.names) ?? [];
    const steps = all(`[data-step-of="${slider.dataset.steers}"]`);
    const show = () => {
      for (const step of steps) step.hidden = step.dataset.step !== slider.value;
      const name = names[slider.value] ?? slider.value;
      slider.setAttribute("aria-valuetext", name);
      slider.parentElement.querySelector("output").textContent = name;
    };
    slider.addEventListener("input", show);
    show();
  }

  // What has one number is one thing, wherever it stands.
  let lit = [];
  const light = (number) => {
    for (const one of lit) one.classList.remove("lit");
    lit = number === undefined ? [] : all(`[data-i="${number}"]`);
    for (const one of lit) one.classList.add("lit");
  };
  const told = (target) => target.dataset.tip ?? tips[target.dataset.i];
  const over = (target, x, y) => {
    light(target?.dataset.i);
    say(target && told(target), x, y);
  };
  const found = (event) => event.target.closest?.("[data-tip], [data-i]");
  document.addEventListener("pointermove", (event) => {
    const heat = event.target.closest?.("[data-heat]");
    if (heat) cell(heat, event);
    else over(found(event), event.clientX, event.clientY);
  });
  document.addEventListener("pointerleave", () => over(undefined));
  document.addEventListener("focusin", (event) => {
    const target = found(event);
    const box = event.target.getBoundingClientRect();
    over(target, box.left, box.bottom);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && over(undefined));

  // A cell of a map of similarities: which two, and how alike.
  const heats = data("heats") ?? [];
  const cell = (image, event) => {
    const heat = heats[image.dataset.heat];
    const box = image.getBoundingClientRect();
    const place = (share) => Math.max(0, Math.min(heat.side - 1, Math.floor(share * heat.side)));
    const row = place((event.clientY - box.top) / box.height);
    const column = place((event.clientX - box.left) / box.width);
    heat.bytes ??= Uint8Array.from(atob(heat.values), (c) => c.charCodeAt(0));
    const value = heat.low + ((heat.high - heat.low) * heat.bytes[row * heat.side + column]) / 255;
    const name = (block) => tips[heat.order[Math.min(heat.order.length - 1, Math.floor(((block + 0.5) * heat.order.length) / heat.side))]];
    light(undefined);
    say(`${value.toFixed(2)}\n${name(row)}\n${name(column)}`, event.clientX, event.clientY);
  };

  // Heads are shown and hidden; a token shows its own lines.
  for (const box of all("input[data-head]")) {
    box.addEventListener("change", () => {
      for (const strand of all(`.strand[data-head="${box.dataset.head}"]`)) strand.style.display = box.checked ? "" : "none";
    });
  }
  for (const view of all("[data-tokens]")) {
    const only = (token) => {
      for (const group of all("g[data-from]", view)) group.classList.toggle("dim", token !== undefined && group.dataset.from !== token);
    };
    for (const token of all("[data-token]", view)) {
      token.addEventListener("pointerenter", () => only(token.dataset.token));
      token.addEventListener("pointerleave", () => only(undefined));
      token.addEventListener("focus", () => only(token.dataset.token));
      token.addEventListener("blur", () => only(undefined));
    }
  }
})();
