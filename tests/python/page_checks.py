"""What every page of Hoist must keep, checked in the browser: contrast and labels. Also counts failed checks."""

MIN_CONTRAST = 4.5

# Colours as WCAG 2 reckons their contrast; `ground` is what lies behind an element.
COLOURS = """
const parse = (color) => {
  const n = color.match(/[\\d.]+/g).map(Number);
  const scale = color.startsWith("color(") ? 255 : 1;
  return [n[0] * scale, n[1] * scale, n[2] * scale, n.length > 3 ? n[3] : 1];
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const ground = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
};
const light = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
"""

# Every visible text with its colour over the backgrounds behind it.
CONTRAST = COLOURS + """
const results = [];
const add = (element, color, text) => {
  const back = ground(element);
  results.push([ratio(over(parse(color), back), back), text.trim().slice(0, 40)]);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility()) continue;
  if (["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
  add(element, getComputedStyle(element).color, node.data);
}
for (const field of document.querySelectorAll("input, textarea")) {
  if (!field.checkVisibility()) continue;
  const style = getComputedStyle(field);
  if (field.id !== "text" && field.value && ["text", "number", "textarea"].includes(field.type))
    add(field, style.color, field.value);  // #text is transparent: what is seen is its mirror
  if (field.placeholder) add(field, getComputedStyle(field, "::placeholder").color, field.placeholder);
}
return results;
"""

LABELS = """
return [...document.querySelectorAll("button, input, textarea, select")].filter((e) =>
  !(e.labels && e.labels.length) && !e.getAttribute("aria-label") && !e.textContent.trim()).map((e) => e.outerHTML);
"""

failures = []


def check(condition, what):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        failures.append(what)


def check_contrast(page, what):
    results = page.script(CONTRAST)
    worst = min(results)
    check(len(results) > 20 and worst[0] >= MIN_CONTRAST,
          f"contrast {what}: at least {worst[0]:.2f} over {len(results)} texts ({worst[1]!r})")
