"use strict";
// The map: the point nearest to the pointer shows its picture; a class in the legend is picked out.
for (const map of document.querySelectorAll(".map")) {
  const svg = map.querySelector("svg");
  const tip = map.querySelector(".tip");
  const picture = tip.querySelector(".pic");
  const text = tip.querySelector("span:last-child");
  const groups = [...svg.querySelectorAll("g")];
  const points = [...svg.querySelectorAll("circle")];
  const places = points.map((p) => [p.cx.baseVal.value, p.cy.baseVal.value]);
  let shown = null;

  const hide = () => {
    if (shown) shown.classList.remove("at");
    shown = null;
    tip.hidden = true;
  };

  const show = (point) => {
    if (shown === point) return;
    hide();
    shown = point;
    point.classList.add("at");
    picture.style.setProperty("--c", point.dataset.c);
    picture.style.setProperty("--r", point.dataset.r);
    text.textContent = point.dataset.t;
    tip.hidden = false;
    const box = map.getBoundingClientRect();
    const at = point.getBoundingClientRect();
    const [x, y] = [at.left + at.width / 2 - box.left, at.top + at.height / 2 - box.top];
    const left = x + 14 + tip.offsetWidth > box.width ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = Math.max(0, left) + "px";
    tip.style.top = Math.max(0, y - tip.offsetHeight / 2) + "px";
  };

  const nearest = (event) => {
    const matrix = svg.getScreenCTM();
    const reach = 24 / matrix.a; // 24 px on the screen
    const x = (event.clientX - matrix.e) / matrix.a;
    const y = (event.clientY - matrix.f) / matrix.d;
    let [best, least] = [null, reach * reach];
    points.forEach((point, i) => {
      const d = (places[i][0] - x) ** 2 + (places[i][1] - y) ** 2;
      if (d < least && !point.parentNode.classList.contains("faint")) [best, least] = [point, d];
    });
    best ? show(best) : hide();
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointerleave", hide);

  const buttons = [...map.querySelectorAll(".legend button")];
  let picked = null;
  const pick = (button) => {
    picked = picked === button ? null : button;
    hide();
    buttons.forEach((b) => b.setAttribute("aria-pressed", b === picked));
    groups.forEach((g) => g.classList.toggle("faint", picked && g.dataset.class !== picked.dataset.class));
  };
  buttons.forEach((button) => button.addEventListener("click", () => pick(button)));
}
