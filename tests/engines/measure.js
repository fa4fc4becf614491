// Writes into #measured, as JSON, what is seen of the page in #frame. Lengths are CSS pixels.

function luminance(color) {
  const parts = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
    const share = Number(part) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}

// https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function background(element) {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (!/, 0\)$|transparent/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
}

function describe(element) {
  return `${element.tagName}.${element.getAttribute("class") || ""}: ${element.textContent.trim().slice(0, 40)}`;
}

function texts(page) {
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && !element.closest("title, desc, style")) found.push(walker.currentNode);
  }
  return found;
}

function textContrast(node) {
  const element = node.parentElement;
  const style = getComputedStyle(element);
  const color = element.closest("svg") ? style.fill : style.color;
  return { contrast: contrast(color, background(element)), of: describe(element) };
}

function strokeContrast(element) {
  return { contrast: contrast(getComputedStyle(element).stroke, background(element)), of: describe(element.parentElement) };
}

function boxes(node) {
  const range = node.ownerDocument.createRange();
  range.selectNodeContents(node);
  return [...range.getClientRects()];
}

// Text of a drawing that reaches out of its frame, which the drawing hides.
function cutText(text) {
  const [box, frame] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
  return box.left < frame.left - 0.5 || box.right > frame.right + 0.5 || box.top < frame.top - 0.5 || box.bottom > frame.bottom + 0.5;
}

function lowest(list) {
  return list.reduce((one, other) => (one.contrast <= other.contrast ? one : other), { contrast: 21, of: "nothing" });
}

function measure() {
  const frame = document.getElementById("frame");
  const page = frame.contentDocument;
  page.querySelectorAll("details").forEach((each) => { each.open = true; });
  const elements = [...page.body.querySelectorAll("*")].filter((each) => !each.closest("svg") || each.tagName === "svg" || each.tagName === "text");
  const width = page.documentElement.clientWidth;
  const lines = [...page.querySelectorAll(".curve polyline, polyline.limit, line.marker")];
  return {
    width,
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
    scroll_width: page.documentElement.scrollWidth,
    outside: elements.filter((each) => { const box = each.getBoundingClientRect(); return box.width && (box.right > width + 0.5 || box.left < -0.5); }).map(describe),
    cut: elements.filter((each) => each.tagName === "text" ? cutText(each) : each.scrollWidth > each.clientWidth + 1 && each.clientWidth && getComputedStyle(each).display !== "inline").map(describe),
    outside_text: texts(page).filter((each) => boxes(each).some((box) => box.right > width + 0.5 || box.left < -0.5)).map((each) => each.data),
    points: Object.fromEntries(["expected", "actual", "difference"].map((side) => [side, [...page.querySelectorAll(`figure > svg .${side} polyline`)].map((each) => each.points.numberOfItems)])),
    marks: Object.fromEntries(["expected", "actual", "difference"].map((side) => [side, page.querySelectorAll(`figure > svg .${side} circle, figure > svg .${side} rect`).length])),
    dashes: Object.fromEntries(["expected", "actual"].map((side) => { const line = page.querySelector(`figure > svg .${side} polyline`); return [side, line ? getComputedStyle(line).strokeDasharray : null]; })),
    smallest_text: Math.min(...texts(page).map((each) => { const svg = each.parentElement.closest("svg"); const size = parseFloat(getComputedStyle(each.parentElement).fontSize); return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size; })),
    parts: [...page.querySelectorAll("svg.graph")].map((graph) => [...graph.querySelectorAll("rect.part")].map((each) => [each.classList[1], Math.round(each.getBoundingClientRect().height)])),
    bars: [...page.querySelectorAll("svg.bar")].map((bar) => [...bar.querySelectorAll("rect")].map((each) => [each.classList[1], Math.round(100 * each.getBoundingClientRect().width / bar.getBoundingClientRect().width)])),
    part_contrast: lowest([...page.querySelectorAll("rect.part, .dot")].map(strokeContrast)),
    text_contrast: lowest(texts(page).map(textContrast)),
    line_contrast: lowest(lines.map(strokeContrast)),
    scripts: page.querySelectorAll("script, iframe, img, link, object").length,
    fetched: frame.contentWindow.performance.getEntriesByType("resource").length,
    height: page.documentElement.scrollHeight,
  };
}

addEventListener("load", () => { document.getElementById("measured").textContent = JSON.stringify(measure()); });
