"use strict";
// Put at the head of a report by check.sh: what it finds is left in the attribute data-outcome of the root.
(() => {
  const failures = [];
  const expect = (holds, what) => { if (!holds) failures.push(what); };
  addEventListener("error", (e) => failures.push(`script: ${e.message}`));
  addEventListener("unhandledrejection", (e) => failures.push(`script: ${e.reason}`));
  document.addEventListener("securitypolicyviolation", (e) => failures.push(`refused: ${e.blockedURI}`));
  for (const kind of ["error", "warn"]) console[kind] = (...all) => failures.push(`console: ${all.join(" ")}`);

  const size = (element) => element.getBoundingClientRect();

  // WCAG 2: relative luminance of an opaque colour, as "rgb(1, 2, 3)".
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };

  const charts = () => {
    const all = [...document.querySelectorAll(".chart")];
    for (const chart of all) {
      if (chart.closest("details")) continue;
      const svg = chart.querySelector("svg");
      expect(svg && size(svg).width > 150 && size(svg).height > 100, "a chart has no size");
      const back = getComputedStyle(chart).backgroundColor;
      for (const text of chart.querySelectorAll("text")) {
        const ratio = contrast(getComputedStyle(text).fill, back);
        expect(ratio >= 3, `"${text.textContent}" has a contrast of ${ratio.toFixed(1)}`);
      }
    }
    return all.length;
  };

  const map = (map) => {
    const tip = map.querySelector(".tip");
    const points = [...map.querySelectorAll("circle")];
    const svg = map.querySelector("svg");
    const to = (kind, x, y) =>
      svg.dispatchEvent(new PointerEvent(kind, { clientX: x, clientY: y, bubbles: true }));
    const texts = new Set();
    for (const point of [points[0], points[points.length >> 1], points[points.length - 1]]) {
      point.scrollIntoView({ block: "center", behavior: "instant" });
      const box = size(point);
      to("pointermove", box.x + box.width / 2, box.y + box.height / 2);
      expect(!tip.hidden && size(tip).width > 50, "no picture comes up over a point");
      const shown = map.querySelector("circle.at");
      expect(shown && tip.textContent.trim() === shown.dataset.t, "the text is not that of the point");
      // Another point may lie on top of this one, but none is nearer.
      if (shown) expect(Math.abs(size(shown).x - box.x) < 1, "the nearest point is not the one shown");
      texts.add(tip.textContent);
      const picture = tip.querySelector(".pic");
      const image = getComputedStyle(picture).backgroundImage;
      expect(image.startsWith('url("data:image/') && size(picture).width > 20, "the picture is empty");
      to("pointerleave", 0, 0);
      expect(tip.hidden, "the picture stays");
    }
    expect(points.length < 3 || texts.size > 1, "all points show the same");
    const buttons = [...map.querySelectorAll(".legend button")];
    const faint = () => map.querySelectorAll("g.faint").length;
    buttons[0].click();
    expect(faint() === buttons.length - 1, "a class is not picked out");
    buttons[0].click();
    expect(faint() === 0, "a class is not given back");
    return points.length;
  };

  const pictures = () => {
    const all = [...document.querySelectorAll("main .pic")].filter((p) => !p.closest(".tip"));
    for (const picture of all) {
      const image = getComputedStyle(picture).backgroundImage;
      expect(image.startsWith('url("data:image/') && size(picture).width > 20, "a picture is empty");
    }
    // The pages of `search --html` have theirs as images.
    for (const image of document.images) {
      const there = image.complete && image.naturalWidth > 0;
      expect(there && size(image).width > 4, "a picture is empty");
    }
    return all.length + document.images.length;
  };

  addEventListener("load", () => setTimeout(() => {
    let seen = "";
    try {
      for (const section of document.querySelectorAll("section")) {
        expect(size(section).height > 40, `section ${section.id} is empty`);
      }
      const root = document.documentElement;
      expect(root.scrollWidth <= innerWidth, `${root.scrollWidth} px wide in ${innerWidth} px`);
      const dark = matchMedia("(prefers-color-scheme: dark)").matches;
      const paper = luminance(getComputedStyle(document.body).backgroundColor);
      expect(dark ? paper < 0.1 : paper > 0.9, "the background is not that of the scheme");
      const counts = [`${charts()} charts`, `${pictures()} pictures`];
      for (const one of document.querySelectorAll(".map")) counts.push(`${map(one)} points`);
      const loaded = performance.getEntriesByType("resource").filter((r) => !r.name.startsWith("data:"));
      expect(loaded.length === 0, `loaded ${loaded.map((r) => r.name)}`);
      seen = `${counts.join(", ")}, ${dark ? "dark" : "light"}, ${innerWidth} px`;
    } catch (e) {
      failures.push(`probe: ${e}`);
    }
    document.documentElement.dataset.outcome = failures.length ? [...new Set(failures)].join("; ") : `ok: ${seen}`;
  }, 100));
})();
